//! The picks of a group, written down for `tblb_record`: each is a line of JSON, which goes to the file as a whole.

use crate::conf::UpstreamConf;
use crate::directives::wrong;
use crate::log::{self, Level};
use ngx::ffi::{ngx_conf_open_file, ngx_conf_t, ngx_cycle, ngx_open_file_t, ngx_str_t};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;
use tblb_core::picker::{Candidate, Picked, Record};

/// Asks nginx to open the file that the directive names when the configuration is whole; it also opens it again when
/// logs are rotated.
///
/// # Safety
/// `cf` is the configuration that nginx parses, at a directive whose first word is the name of a file.
pub unsafe fn open(cf: *mut ngx_conf_t) -> Result<*mut ngx_open_file_t, Box<dyn Display>> {
    // SAFETY: as the caller says: behind the directive's name stands the file's, which ends with a NUL and lives as
    // long as the cycle.
    let file = unsafe {
        let words = (*(*cf).args).elts.cast::<ngx_str_t>();
        ngx_conf_open_file((*cf).cycle, words.add(1))
    };
    if file.is_null() { Err(wrong("no memory")) } else { Ok(file) }
}

/// Writes down the picks of a group.
pub struct Recorder {
    file: NonNull<ngx_open_file_t>,
    max_size: u64,
    backup: bool,
    directives: String,
    /// The candidates as they were before the pick.
    candidates: Vec<Candidate>,
    /// The random numbers before the pick, None where no pick is noted.
    seed: Option<u64>,
    line: Vec<u8>,
    /// Whether picks go into the file now.
    writes: bool,
}

impl Recorder {
    /// For a group of the upstream's primary servers or of its backup ones; None where picks are not recorded.
    pub fn new(upstream: &UpstreamConf, backup: bool) -> Option<Self> {
        let max_size = upstream.block.recording.as_ref()?.max_size;
        Some(Recorder {
            file: NonNull::new(upstream.record)?,
            max_size,
            backup,
            directives: upstream.block.of_picks(),
            candidates: Vec::new(),
            seed: None,
            line: Vec::new(),
            writes: true,
        })
    }

    /// Makes room for so many peers.
    pub fn make_room(&mut self, peers: usize) {
        self.candidates.clear();
        self.candidates.reserve(peers);
    }

    /// Keeps what the next pick is made of. This runs under the list's lock: it copies, and allocates nothing.
    pub fn note(&mut self, candidates: &[Candidate], rng: &fastrand::Rng) {
        self.candidates.clear();
        self.seed = None;
        if candidates.len() <= self.candidates.capacity() {
            self.candidates.extend_from_slice(candidates);
            self.seed = Some(rng.get_seed());
        }
    }

    /// What was picked, among the candidates that were there: places that were empty are not recorded.
    fn without_absent(&mut self, picked: Picked) -> Picked {
        let before = self.candidates.iter().take(picked.index);
        let index = before.filter(|candidate| !candidate.absent).count();
        self.candidates.retain(|candidate| !candidate.absent);
        Picked { index, ..picked }
    }

    /// Writes down what the pick came to that was noted last. What goes wrong is said in the log when it begins, and
    /// the request goes on.
    pub fn record(&mut self, upstream: &UpstreamConf, prompt: u32, picked: Option<Picked>) {
        let (Some(seed), Some(picked)) = (self.seed.take(), picked) else { return };
        let picked = self.without_absent(picked);
        let record = Record {
            upstream: (&*upstream.name).into(),
            backup: self.backup,
            pid: std::process::id(),
            directives: (&*self.directives).into(),
            prompt,
            seed,
            candidates: (&*self.candidates).into(),
            picked,
        };
        self.line.clear();
        let file = self.file;
        let wrote = serde_json::to_writer(&mut self.line, &record).map_err(io::Error::from).and_then(|()| {
            self.line.push(b'\n');
            write(file, &self.line, self.max_size)
        });
        if self.writes && wrote.is_err() {
            let why = wrote.as_ref().err().map(ToString::to_string).unwrap_or_default();
            let text = format!("tblb: picks of upstream \"{}\" are not recorded: {why}", upstream.name);
            // SAFETY: the cycle and its log are there as long as this process handles requests.
            unsafe { log::line((*ngx_cycle).log, Level::Warn, &text) };
        }
        self.writes = wrote.is_ok();
    }
}

/// Writes a line to the end of a file in one piece, unless the file would become larger than `max_size`.
fn write(file: NonNull<ngx_open_file_t>, line: &[u8], max_size: u64) -> io::Result<()> {
    // SAFETY: nginx keeps its list of open files as long as the cycle; another descriptor comes in when logs are
    // rotated, in this thread.
    let fd = unsafe { (*file.as_ptr()).fd };
    if fd < 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: the descriptor is open, and is not closed here: the file is never dropped.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    if file.metadata()?.len().saturating_add(line.len() as u64) > max_size {
        return Err(io::Error::other("the file has reached its max_size"));
    }
    file.write_all(line)
}

//! What nginx says of configurations.

use super::{Ports, command, directory, from_environment};
use crate::process;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

/// What `nginx -t` says.
#[derive(Debug)]
pub struct Checked {
    /// Whether the configuration is right.
    pub right: bool,
    /// What it says.
    pub said: String,
    /// How many threads it was seen to have at once.
    pub threads: usize,
    file: PathBuf,
    text: String,
}

impl Checked {
    /// What nginx says of the configuration in a directory.
    pub(super) fn by_nginx(directory: &Path, file: PathBuf) -> Checked {
        let mut command = command(directory);
        let mut child = command.arg("-t").stderr(Stdio::piped()).spawn().expect("nginx runs");
        let mut threads = 0;
        // What it says fits into the pipe.
        while child.try_wait().expect("a child").is_none() {
            threads = threads.max(process::threads(child.id()).len());
            std::thread::sleep(Duration::from_micros(200));
        }
        Checked::of(&child.wait_with_output().expect("what it says"), file, threads)
    }

    fn of(output: &Output, file: PathBuf, threads: usize) -> Checked {
        let text = fs::read_to_string(&file).expect("the configuration");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Checked { right: output.status.success(), said, threads, file, text }
    }

    /// The place of a text in the configuration, as nginx says it: `FILE:LINE`.
    pub fn place(&self, of: &str) -> String {
        let before = self.text.split_once(of).unwrap_or_else(|| panic!("{of:?} is not in {}", self.text)).0;
        format!("{}:{}", self.file.display(), before.matches('\n').count() + 1)
    }
}

/// What `nginx -t` says of a whole configuration, but for the module's file and the port 8080, which are those of the test.
pub fn check_text(text: &str) -> Checked {
    let directory = directory();
    let module = from_environment("TBLB_MODULE", "the module that was built for that nginx");
    let text = text.replace("modules/ngx_http_upstream_tblb_module.so", &module.display().to_string());
    let file = directory.path().join("nginx.conf");
    fs::write(&file, text.replace("listen 8080", &format!("listen {}", Ports::free().http))).expect("a file");
    fs::create_dir(directory.path().join("logs")).expect("a directory");
    Checked::by_nginx(directory.path(), file)
}

//! Processes and threads as /proc shows them.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its title, as nginx sets it: `nginx: worker process` and the like.
    pub title: String,
}

/// The processes whose working directory is `directory`, zombies left out: nginx and all that it starts never leave
/// the one that nginx was started in.
pub fn of_directory(directory: &Path) -> Vec<Process> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory))
        .filter_map(of_pid)
        .collect()
}

/// A process that is alive, None for a zombie or where there is none.
pub fn of_pid(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; then come the state and the parent.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title).replace('\0', " ").trim().to_owned();
    Some(Process { pid, parent, title })
}

/// The names of a process's threads, its first one included.
pub fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// How many of a process's threads are the poller's.
pub fn poller_threads(pid: u32) -> usize {
    threads(pid).iter().filter(|name| name.starts_with("tblb-")).count()
}

/// How many descriptors a process has open, 0 if it is gone.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A size in kB that /proc tells of a process: `VmRSS`, what it has in memory, or `VmHWM`, the most it ever had.
pub fn memory_kb(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    size.unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// What processes take.
#[derive(Debug)]
pub struct Taken {
    /// Descriptors of all of them.
    pub descriptors: usize,
    /// The most memory that one ever had, of the one that had the most, in kB.
    pub most_kb: u64,
    /// The memory of all of them, in kB.
    pub kb: u64,
}

/// Descriptors that come and go: two of each request under way, and one of a poll or of a look at the status.
const PASSING: usize = 8;

impl Taken {
    /// What these take.
    pub fn by(processes: &[u32]) -> Taken {
        let memory = |name: &'static str| processes.iter().map(move |pid| memory_kb(*pid, name));
        Taken {
            descriptors: processes.iter().map(|pid| descriptors(*pid)).sum(),
            most_kb: memory("VmHWM").max().unwrap_or(0),
            kb: memory("VmRSS").sum(),
        }
    }

    /// Fails the test if this is not what was taken before: the peak of memory has grown by 1 MiB, or there are more
    /// descriptors than those that come and go.
    pub fn is_as(&self, before: &Taken) {
        println!("{before:?}\n{self:?}");
        assert!(self.most_kb < before.most_kb + 1024, "{before:?}, {self:?}");
        assert!(self.descriptors <= before.descriptors + PASSING, "{before:?}, {self:?}");
    }
}

/// The time that a process has had of the processors, in ms, 0 if it is gone.
pub fn processor_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name in brackets: the times in user and in kernel mode are the 12th and the 13th field from there.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 1000 / rustix::param::clock_ticks_per_second()
}

/// Sends a signal; that the process is gone already is no matter.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let _ = kill_process(pid, signal);
}

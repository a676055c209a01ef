//! What processes hold, as /proc shows it.

use std::fs;
use std::ops::Add;

/// What a process holds, or several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory that is resident, in KiB. Pages that processes share count for each of them, so that what other processes
    /// of the machine map does not move it, as it would move the proportional size.
    pub rss: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Those of them that poll engines.
    pub pollers: u64,
}

impl Usage {
    /// Of the process `pid`; None if it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let names: Vec<String> = fs::read_dir(format!("/proc/{pid}/task"))
            .ok()?
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
            .collect();
        Some(Self {
            rss: kilobytes(&memory, "Rss:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
            threads: names.len() as u64,
            pollers: names.iter().filter(|name| name.starts_with("tblb-")).count() as u64,
        })
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rss: self.rss + other.rss,
            descriptors: self.descriptors + other.descriptors,
            threads: self.threads + other.threads,
            pollers: self.pollers + other.pollers,
        }
    }
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The processes that the first thread of `pid` started and that it has not seen end.
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_what_it_opened_and_started() {
        let usage = || Usage::of(std::process::id()).expect("this process");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
        let theirs = Usage::of(child.id());
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert!(theirs.is_some_and(|usage| usage.threads == 1 && usage.rss > 0), "{theirs:?}");
        assert_eq!(Usage::of(child.id()), None);
        assert!(usage().rss > 0 && usage().descriptors >= 3);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let text =
            "5580-7ffc ---p 00000000 00:00 0 [rollup]\nRss:    1234 kB\nPss:     56 kB\nPss_Dirty: 7 kB\n";
        assert_eq!((kilobytes(text, "Rss:"), kilobytes(text, "Pss:")), (Some(1234), Some(56)));
        assert_eq!(kilobytes(text, "Swap:"), None);
    }
}

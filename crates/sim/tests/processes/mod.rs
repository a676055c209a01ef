//! Processes that a command starts, and the nginx before them (the one on the PATH, or `NGINX`).

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Patience with a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// nginx's binary.
pub fn nginx() -> String {
    std::env::var("NGINX").unwrap_or_else(|_| "nginx".to_owned())
}

/// The processes whose parent is `parent`, and theirs.
pub fn descendants(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let children = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in parentheses, may hold anything; state and parent follow it.
        let of: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then_some(pid)
    });
    children.flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// Waits until `reached` says so.
pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let since = Instant::now();
    while !reached() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a command that says nothing and waits until it has started so many processes.
pub fn start(command: &mut Command, count: usize) -> (Child, Vec<u32>) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut started = Vec::new();
    wait_until("all are started", || {
        started = descendants(child.id());
        started.len() == count
    });
    (child, started)
}

/// A command that starts so many processes ends with all of them when a signal says so.
pub fn assert_ends_all(command: &mut Command, count: usize) {
    let (mut child, started) = start(command, count);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is there");
    assert!(!child.wait().expect("it ends").success());
    wait_until("all are gone", || started.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
}

/// All that a command said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

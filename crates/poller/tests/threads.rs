//! How many threads polling takes, and that they end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tblb_poller::{MAX_THREADS, Settings};
use tblb_poller_tests::*;

/// The names of this process's threads. A thread that a polling thread started would have its name.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks
        .filter_map(name)
        .map(|name| name.trim().to_string())
        .filter(|name| name.starts_with("tblb-"))
        .collect()
}

#[test]
fn threads_are_few_and_end() {
    if in_child("threads_are_few_and_end", || (vec![], String::new(), Box::new(()))).is_none() {
        return;
    }
    let most = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&most);
    let servers: Vec<_> = (0..50)
        .map(|_| {
            let seen = Arc::clone(&seen);
            // New connections all the time, which is when a library may look names up.
            Server::start(move |mut stream| {
                request(&mut stream)?;
                let count = threads().len();
                let mut most = seen.lock().unwrap();
                *most = count.max(*most);
                stream.write_all(ok(PAGE).as_bytes())
            })
        })
        .collect();
    let (poller, recorder) = start(targets(0, &servers, &settings()));
    for key in 0..50 {
        recorder.wait(key, 3);
    }
    assert_eq!(threads().len(), MAX_THREADS, "{:?}", threads());
    poller.join();
    assert_eq!(*most.lock().unwrap(), MAX_THREADS);
    // A thread that was joined may stand in /proc for a moment longer.
    until(|| threads().is_empty());
}

#[test]
fn what_is_under_way_does_not_delay_the_end() {
    let server = hung();
    let settings = Settings { timeout: Duration::from_secs(600), ..settings() };
    let (poller, recorder) = start(vec![target(1, server.address, &settings)]);
    until(|| server.connections() >= 1);
    let start = Instant::now();
    poller.stop();
    poller.join();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(recorder.of(1).is_empty());
}

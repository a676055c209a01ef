//! What a poll may take of memory. A file of its own, so that no other test runs in this process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::io::Write;
use tblb_core::fault::Fault;
use tblb_poller_tests::*;

/// Largest resident memory of this process so far, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A body that goes on with that piece until the poller has had enough of it.
fn endless(first: &'static str, piece: String) -> Server {
    Server::start(move |mut stream| {
        request(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")?;
        stream.write_all(first.as_bytes())?;
        loop {
            stream.write_all(piece.as_bytes())?;
        }
    })
}

#[test]
fn bodies_without_end_take_no_memory() {
    let before = peak_memory();
    assert_eq!(outcome(&endless("", "other{a=\"b\"} 1\n".repeat(5000))), Err(Fault::TooLarge));
    assert_eq!(outcome(&endless("", "x".repeat(100_000))), Err(Fault::LineTooLong));
    // What is wanted stands before the flood.
    let reading = outcome(&endless(PAGE, "other{a=\"b\"} 1\n".repeat(5000))).unwrap();
    assert_eq!((reading.load.waiting, reading.load.running), (Some(4.0), Some(4.0)));
    assert!(peak_memory() - before < 50_000_000, "{before} to {}", peak_memory());
}

//! The end of all polling.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Says to every thread that it shall end, also to those that wait for a socket.
#[derive(Debug)]
pub(crate) struct Stop {
    said: AtomicBool,
    /// Readable, for ever, once it is said.
    event: OwnedFd,
}

impl Stop {
    pub fn new() -> io::Result<Stop> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stop { said: AtomicBool::new(false), event })
    }

    /// Says it; saying it again changes nothing.
    pub fn say(&self) {
        if !self.said.swap(true, Ordering::AcqRel) {
            // It cannot fail: the counter was 0. If it did, threads would end at the deadlines of their polls.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    pub fn is_said(&self) -> bool {
        self.said.load(Ordering::Acquire)
    }

    /// What to wait for beside a socket.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

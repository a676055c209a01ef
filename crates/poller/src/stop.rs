//! The end of all polling, and other events that wake a thread.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// An event for which a thread can wait beside sockets.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    pub fn new() -> io::Result<Event> {
        Ok(Event(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes it readable. It cannot fail: the counter never comes near its end.
    pub fn set(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it readable no more.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }

    /// What to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Says to every thread that it shall end, also to those that wait for sockets.
#[derive(Debug)]
pub(crate) struct Stop {
    said: AtomicBool,
    /// Readable, for ever, once it is said.
    event: Event,
}

impl Stop {
    pub fn new() -> io::Result<Stop> {
        Ok(Stop { said: AtomicBool::new(false), event: Event::new()? })
    }

    /// Says it; saying it again changes nothing.
    pub fn say(&self) {
        if !self.said.swap(true, Ordering::AcqRel) {
            self.event.set();
        }
    }

    pub fn is_said(&self) -> bool {
        self.said.load(Ordering::Acquire)
    }

    /// What to wait for beside a socket.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.fd()
    }
}

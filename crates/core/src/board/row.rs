//! A row: the requests that one worker process has in flight, by slot.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Words before the counts: the process id, and padding to a cache line.
pub(super) const HEADER: usize = 8;

/// A view of a row. Counts are changed by their own worker alone, so a load and a store do for an addition.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a>(&'a [AtomicU64]);

impl<'a> Row<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Row(words)
    }

    /// The process that counts here, 0 if none does.
    pub fn pid(&self) -> u32 {
        self.0[0].load(Acquire) as u32
    }

    /// A worker begins here: whatever its predecessor left is forgotten.
    pub fn begin(&self, pid: u32) {
        self.0[0].store(u64::from(pid), Release);
        self.0[1..].iter().for_each(|count| count.store(0, Relaxed));
    }

    /// Forgets the counts of `pid`, a process that is gone, unless another has begun here.
    pub fn forget(&self, pid: u32) {
        if self.0[0].compare_exchange(u64::from(pid), 0, AcqRel, Relaxed).is_ok() {
            self.0[1..].iter().for_each(|count| count.store(0, Relaxed));
        }
    }

    /// Requests in flight at the peer of a slot.
    pub fn in_flight(&self, slot: usize) -> u64 {
        self.count(slot).map_or(0, |count| count.load(Relaxed))
    }

    /// One more.
    pub fn enter(&self, slot: usize) {
        if let Some(count) = self.count(slot) {
            count.store(count.load(Relaxed).saturating_add(1), Relaxed);
        }
    }

    /// One less, never under 0.
    pub fn leave(&self, slot: usize) {
        if let Some(count) = self.count(slot) {
            count.store(count.load(Relaxed).saturating_sub(1), Relaxed);
        }
    }

    fn count(&self, slot: usize) -> Option<&'a AtomicU64> {
        self.0.get(HEADER.checked_add(slot)?)
    }
}

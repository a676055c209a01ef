//! The lease: which process may poll.

use crate::failpoint::{Point, hit};
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Words of a lease: holder, heartbeat.
pub(super) const WORDS: usize = 2;

/// A lease whose holder has been silent for so long may be taken: six of the poller's heartbeats, so that a
/// busy machine does not make two pollers, and two polls at most are lost when a worker is killed.
const EXPIRY_MS: u64 = 1500;

/// Who holds the lease: the process, and which holder in turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The id of the worker process.
    pub pid: u32,
    /// Counts the holders; a process that loses the lease and gets it again is another holder.
    pub epoch: u32,
}

impl Holder {
    fn word(self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.pid)
    }

    fn of(word: u64) -> Self {
        Holder { pid: word as u32, epoch: (word >> 32) as u32 }
    }
}

/// A view of the lease.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a>(&'a [AtomicU64]);

impl<'a> Lease<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Lease(words)
    }

    /// Who holds it, None if it was given back or never taken.
    pub fn holder(&self) -> Option<Holder> {
        let holder = Holder::of(self.0[0].load(Acquire));
        (holder.pid != 0).then_some(holder)
    }

    /// When the holder last gave a sign of life, in ms of the monotonic clock; 0 if nobody ever did.
    pub fn heartbeat(&self) -> u64 {
        self.0[1].load(Acquire)
    }

    /// Takes the lease for `pid` if it is free: given back, silent for 1.5 s, or held by a process of which
    /// `alive` says that it is gone.
    pub fn acquire(&self, pid: u32, now: u64, alive: impl Fn(u32) -> bool) -> Option<Holder> {
        let word = self.0[0].load(Acquire);
        let old = Holder::of(word);
        let silent = now.saturating_sub(self.heartbeat()) > EXPIRY_MS;
        if old.pid != 0 && !silent && alive(old.pid) {
            return None;
        }
        // Before it is held: who sees the new holder must not take it for the one that was silent.
        self.beat(now);
        let new = Holder { pid, epoch: old.epoch.wrapping_add(1) };
        self.0[0].compare_exchange(word, new.word(), AcqRel, Relaxed).ok()?;
        hit(Point::LeaseTaken);
        Some(new)
    }

    /// Gives a sign of life; false if the lease is another's now.
    pub fn renew(&self, holder: Holder, now: u64) -> bool {
        let mine = self.0[0].load(Acquire) == holder.word();
        if mine {
            self.beat(now);
            hit(Point::LeaseRenewed);
        }
        mine
    }

    /// A process that is late, with a time that has passed, must not make silent whoever has the lease now.
    fn beat(&self, now: u64) {
        self.0[1].fetch_max(now, AcqRel);
    }

    /// Gives the lease back, if it is still `holder`'s.
    pub fn release(&self, holder: Holder) {
        let free = Holder { pid: 0, epoch: holder.epoch };
        // Where the exchange fails the lease is another's already, and there is nothing to give back.
        let _ = self.0[0].compare_exchange(holder.word(), free.word(), AcqRel, Relaxed);
        hit(Point::LeaseReleased);
    }

    pub(super) fn copy_from(&self, old: &Lease) {
        for (new, old) in self.0.iter().zip(old.0) {
            new.store(old.load(Acquire), Release);
        }
    }
}

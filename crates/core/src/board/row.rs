//! A row: the requests that one worker process has in flight, by slot.

use crate::failpoint::{Point, hit};
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::ops::Add;

/// Words before the counts: the process id, and padding to a cache line.
pub(super) const HEADER: usize = 8;

/// A count holds prompt tokens in its low bits, then streams, then requests: one word for all makes each reading of a
/// peer one load, and all numbers of one moment. A worker has fewer requests than ports, so that 16 bits do for those.
const PREFILL_BITS: u32 = 32;
const REQUEST_BITS: u32 = 16;

/// Requests at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Requests that have not ended.
    pub active: u64,
    /// Those among them of whose answers something has come.
    pub streams: u64,
    /// The prompt tokens of the others.
    pub prefill: u64,
}

impl InFlight {
    /// One request whose prompt has so many tokens.
    pub fn one(prompt: u32) -> Self {
        InFlight { active: 1, streams: 0, prefill: u64::from(prompt) }
    }

    fn of(word: u64) -> Self {
        let packed = Packed(word);
        InFlight {
            active: packed.requests().into(),
            streams: packed.streams().into(),
            prefill: packed.prefill().into(),
        }
    }

    fn word(self) -> u64 {
        let active = self.active.min(most(REQUEST_BITS)) << (PREFILL_BITS + REQUEST_BITS);
        let streams = self.streams.min(most(REQUEST_BITS)) << PREFILL_BITS;
        active | streams | self.prefill.min(most(PREFILL_BITS))
    }

    fn less(self, other: Self) -> Self {
        InFlight {
            active: self.active.saturating_sub(other.active),
            streams: self.streams.saturating_sub(other.streams),
            prefill: self.prefill.saturating_sub(other.prefill),
        }
    }
}

/// The largest number of so many bits.
const fn most(bits: u32) -> u64 {
    (1 << bits) - 1
}

impl Add for InFlight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        InFlight {
            active: self.active.saturating_add(other.active),
            streams: self.streams.saturating_add(other.streams),
            prefill: self.prefill.saturating_add(other.prefill),
        }
    }
}

/// Requests at a peer in one word, as rows have them. Words of many workers are added up as they are: it would take 2^32
/// prompt tokens or 65,536 requests at one peer for a sum to run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed(pub(super) u64);

impl Packed {
    /// The sum of both.
    pub(super) fn plus(self, other: Packed) -> Packed {
        Packed(self.0.wrapping_add(other.0))
    }

    /// Requests that have not ended.
    pub fn requests(self) -> u16 {
        (self.0 >> (PREFILL_BITS + REQUEST_BITS)) as u16
    }

    /// Those among them of whose answers something has come.
    pub fn streams(self) -> u16 {
        (self.0 >> PREFILL_BITS) as u16
    }

    /// The prompt tokens of the others.
    pub fn prefill(self) -> u32 {
        self.0 as u32
    }
}

impl From<Packed> for InFlight {
    fn from(packed: Packed) -> Self {
        InFlight::of(packed.0)
    }
}

/// A view of a row. Counts are changed by their own worker alone, so a load and a store do for an addition.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    words: &'a [AtomicU64],
    number: usize,
    /// The board's count of rows in which a worker has ever begun, which readers go through.
    begun: &'a AtomicU64,
}

impl<'a> Row<'a> {
    pub(super) fn new(words: &'a [AtomicU64], number: usize, begun: &'a AtomicU64) -> Self {
        Row { words, number, begun }
    }

    /// The process that counts here, 0 if none does.
    pub fn pid(&self) -> u32 {
        self.words[0].load(Acquire) as u32
    }

    /// A worker begins here: whatever its predecessor left is forgotten. The row is nobody's until it is empty, so that a
    /// worker that is killed in between does not count for what its predecessor had.
    pub fn begin(&self, pid: u32) {
        // A swap and no store, so that it clearly comes after a `forget` that found the predecessor here, or before it.
        self.words[0].swap(0, AcqRel);
        self.words[1..].iter().for_each(|count| count.store(0, Relaxed));
        hit(Point::RowEmptied);
        self.begun.fetch_max(self.number as u64 + 1, Relaxed);
        self.words[0].store(u64::from(pid), Release);
    }

    /// Forgets the counts of `pid`, a process that is gone, unless another has begun here. A row of nobody does not count,
    /// and who begins in it empties it: to do that here as well could wipe out what a successor counts already.
    pub fn forget(&self, pid: u32) {
        if self.words[0].compare_exchange(u64::from(pid), 0, AcqRel, Relaxed).is_ok() {
            hit(Point::RowForgotten);
        }
    }

    /// What is in flight at the peer of a slot.
    pub fn in_flight(&self, slot: usize) -> InFlight {
        self.packed(slot).into()
    }

    pub(super) fn packed(&self, slot: usize) -> Packed {
        self.count(slot).map_or(Packed::default(), |count| Packed(count.load(Relaxed)))
    }

    /// Adds what is in flight at the peers of several slots to the sums, each in its place.
    pub(super) fn add_to(&self, slots: &[Option<u32>], sums: &mut [Packed]) {
        for (sum, count) in sums.iter_mut().zip(self.counts(slots)) {
            *sum = sum.plus(Packed(count));
        }
    }

    /// The counts at the peers of several slots, 0 for a peer without one.
    pub(super) fn counts(&self, slots: &[Option<u32>]) -> impl Iterator<Item = u64> {
        let counts = self.words.get(HEADER..).unwrap_or_default();
        slots.iter().map(|slot| {
            slot.and_then(|slot| counts.get(slot as usize)).map_or(0, |count| count.load(Relaxed))
        })
    }

    /// So much more.
    pub fn enter(&self, slot: usize, more: InFlight) {
        if let Some(count) = self.count(slot) {
            count.store((InFlight::of(count.load(Relaxed)) + more).word(), Relaxed);
        }
    }

    /// So much less, never under 0.
    pub fn leave(&self, slot: usize, less: InFlight) {
        if let Some(count) = self.count(slot) {
            count.store(InFlight::of(count.load(Relaxed)).less(less).word(), Relaxed);
        }
    }

    fn count(&self, slot: usize) -> Option<&'a AtomicU64> {
        self.words.get(HEADER.checked_add(slot)?)
    }
}

//! A slot: what is known of one peer.

use super::health::{self, Health};
use super::learned::{self, Learned};
use super::models::{self, List, Served};
use super::ttft::{self, Histogram};
use crate::failpoint::{Point, hit};
use crate::load::Load;
use crate::model::Models;
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

/// Kinds of fault that there is room for.
pub const FAULTS: usize = 32;

/// Words of one sample: time, waiting, running, cache, engine, our own requests.
const SAMPLE: usize = 6;

/// Beside the engine's number in its word: the engine says that it is closed.
const CLOSED: u64 = 1 << 8;

/// Words of a slot.
mod word {
    use super::{FAULTS, SAMPLE, health, learned, models, ttft};
    pub const UPSTREAM: usize = 0;
    pub const SEEN_AT: usize = 1;
    pub const VERSION: usize = 2;
    pub const SAMPLES: usize = 3; // two of them
    pub const LAST_FAULT: usize = SAMPLES + 2 * SAMPLE;
    pub const POLLED_AT: usize = LAST_FAULT + 1;
    pub const TOOK: usize = LAST_FAULT + 2;
    pub const POLLS: usize = LAST_FAULT + 3;
    pub const FAULT_COUNTS: usize = LAST_FAULT + 4;
    pub const PICKS: usize = FAULT_COUNTS + FAULTS;
    pub const COMPLETIONS: usize = PICKS + 1;
    pub const FAILURES: usize = PICKS + 2;
    pub const ABORTS: usize = PICKS + 3;
    pub const CHANGED_AT: usize = PICKS + 4;
    pub const READ_AT: usize = CHANGED_AT + 1;
    pub const HEALTH: usize = READ_AT + 1;
    pub const TTFT: usize = HEALTH + health::WORDS;
    // From a cache line's begin.
    pub const LEARNED: usize = (TTFT + ttft::WORDS).next_multiple_of(8);
    pub const MODELS: usize = LEARNED + learned::WORDS;
    pub const END: usize = MODELS + models::WORDS;
}

/// Words of a slot, in whole cache lines.
pub(super) const WORDS: usize = word::END.next_multiple_of(8);

/// What a poll ended in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// When it ended, in ms of the monotonic clock.
    pub at: u64,
    /// How long it took, in µs.
    pub took: u64,
    /// The number of the engine's row in the table and what it reported, or the number of the fault.
    pub result: Result<(u8, Load), u8>,
}

/// The last good answer of an engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it came, in ms of the monotonic clock.
    pub at: u64,
    /// The number of the engine's row in the table.
    pub engine: u8,
    /// What it said.
    pub load: Load,
    /// Our own requests at the peer when the answer came.
    pub own: u64,
}

impl Sample {
    /// Its age in ms; 0 for one that seems to come from the future.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.at)
    }

    /// Requests at the peer that are not ours: those that others send, and those of workers that a reload left behind.
    /// None if the engine does not say how many run.
    pub fn background(&self) -> Option<f64> {
        Some((self.load.running? + self.load.waiting.unwrap_or(0.0) - self.own as f64).max(0.0))
    }
}

/// What the workers counted of their requests to a peer, since the first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Times that it was picked.
    pub picks: u64,
    /// Answers that came whole.
    pub completions: u64,
    /// Tries that failed: no connection, an error of the engine (5xx), an answer that broke off.
    pub failures: u64,
    /// Requests that the client gave up.
    pub aborts: u64,
}

/// A view of one slot. Its key stands apart, beside the keys of the other slots.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a>(&'a [AtomicU64], &'a AtomicU64);

impl<'a> Slot<'a> {
    /// `words` are [`WORDS`] long.
    pub(super) fn new(words: &'a [AtomicU64], key: &'a AtomicU64) -> Self {
        Slot(words, key)
    }

    fn get(&self, word: usize) -> u64 {
        self.0[word].load(Relaxed)
    }

    fn set(&self, word: usize, value: u64) {
        self.0[word].store(value, Relaxed);
    }

    fn add(&self, word: usize) {
        self.0[word].fetch_add(1, Relaxed);
    }

    /// The key of its peer, 0 if it is free.
    pub fn key(&self) -> u64 {
        self.1.load(Acquire)
    }

    /// The number of the peer's upstream.
    pub fn upstream(&self) -> usize {
        usize::try_from(self.get(word::UPSTREAM)).unwrap_or(usize::MAX)
    }

    /// Says which upstream its peer belongs to.
    pub(super) fn belong(&self, upstream: usize) {
        if self.upstream() != upstream {
            self.set(word::UPSTREAM, upstream as u64);
        }
    }

    /// When the peer was last seen in its upstream, in ms.
    pub fn seen_at(&self) -> u64 {
        self.get(word::SEEN_AT)
    }

    /// Says that the peer is in its upstream.
    pub fn see(&self, now: u64) {
        self.set(word::SEEN_AT, now);
    }

    /// Takes a slot that is free for this peer; whether it is the peer's now. The time, and what [`Slot::belong`] says, are
    /// written after the key: who reads them in between sees those of nobody, for a moment and without harm.
    pub(super) fn claim(&self, key: u64, now: u64) -> bool {
        match self.1.compare_exchange(0, key, AcqRel, Acquire) {
            Ok(_) => {
                hit(Point::SlotClaimed);
                self.see(now);
            }
            Err(taken) => return taken == key,
        }
        true
    }

    /// Frees the slot. The key goes last, so that nobody claims a slot that still holds another's numbers.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
        hit(Point::SlotEmptied);
        self.1.store(0, Release);
    }

    /// Takes all from `old` but key, upstream number and the time it was seen. Its poller may be at work, and if it is too
    /// quick there is no sample until the next.
    pub(super) fn copy_from(&self, old: &Slot, upstream: usize) {
        let copied = old.of_one_version(|old, _| {
            for (new, old) in self.0.iter().zip(old.0).skip(word::VERSION) {
                new.store(old.load(Relaxed), Relaxed);
            }
        });
        if copied.is_none() {
            self.set(word::VERSION, 0);
        }
        self.set(word::UPSTREAM, upstream as u64);
    }

    /// Writes what a poll ended in and which models a good answer named, while so many requests are our own; one writer
    /// at a time.
    pub(super) fn publish(&self, outcome: &Outcome, models: Option<&Models>, own: u64) {
        self.set(word::POLLED_AT, outcome.at);
        self.set(word::TOOK, outcome.took);
        self.add(word::POLLS);
        match outcome.result {
            Ok((engine, load)) => {
                self.set(word::LAST_FAULT, 0);
                if self.sample().is_none_or(|before| before.load != load) {
                    self.set(word::CHANGED_AT, outcome.at);
                }
                self.write_sample(&Sample { at: outcome.at, engine, load, own }, models);
            }
            Err(fault) => {
                self.set(word::LAST_FAULT, u64::from(fault) + 1);
                hit(Point::FaultWritten);
                if usize::from(fault) < FAULTS {
                    self.add(word::FAULT_COUNTS + usize::from(fault));
                }
            }
        }
    }

    /// Counts a fault of a page that gave a sample all the same: something in it cannot be used. The poller calls it after it
    /// published the sample.
    pub fn count_flaw(&self, fault: u8) {
        self.set(word::LAST_FAULT, u64::from(fault) + 1);
        if usize::from(fault) < FAULTS {
            self.add(word::FAULT_COUNTS + usize::from(fault));
        }
    }

    /// Writes beside the newest sample, then makes that the newest.
    fn write_sample(&self, sample: &Sample, models: Option<&Models>) {
        let next = self.get(word::VERSION).wrapping_add(1);
        // Readers that see any of what follows also see that the version moves on (see `sample`).
        fence(Release);
        let at = sample_at(next);
        self.set(at, sample.at);
        hit(Point::SampleBegun);
        self.set(at + 1, bits(sample.load.waiting));
        self.set(at + 2, bits(sample.load.running));
        self.set(at + 3, bits(sample.load.cache));
        self.set(at + 4, u64::from(sample.engine) | if sample.load.closed { CLOSED } else { 0 });
        self.set(at + 5, sample.own);
        self.list().write(half(next), models);
        hit(Point::SampleWritten);
        self.0[word::VERSION].store(next, Release);
    }

    /// The newest sample; None if there is none yet, or if the writer overtook three times in a row.
    pub fn sample(&self) -> Option<Sample> {
        self.newest(|slot, version| {
            let at = sample_at(version);
            Sample {
                at: slot.get(at),
                engine: slot.get(at + 4) as u8,
                load: Load {
                    waiting: number(slot.get(at + 1)),
                    running: number(slot.get(at + 2)),
                    cache: number(slot.get(at + 3)),
                    closed: slot.get(at + 4) & CLOSED != 0,
                },
                own: slot.get(at + 5),
            }
        })
    }

    /// The models of the newest sample; None as there, or if the engine says nothing of them.
    pub fn served(&self) -> Option<Served> {
        self.newest(|slot, version| slot.list().read(half(version)))?
    }

    /// The name of a model of [`Slot::served`], by its place there and its key; None if it is being written.
    pub fn model_name(&self, place: usize, key: u64) -> Option<String> {
        self.list().name(place, key)
    }

    fn list(&self) -> List<'a> {
        List::new(&self.0[word::MODELS..word::MODELS + models::WORDS])
    }

    /// What `read` finds of the newest sample, by the version that it is given.
    fn newest<T>(&self, read: impl Fn(&Self, u64) -> T) -> Option<T> {
        self.of_one_version(|slot, version| (version != 0).then(|| read(slot, version)))?
    }

    /// What `read` finds while there is no newer sample; None if the writer overtook it three times in a row.
    fn of_one_version<T>(&self, read: impl Fn(&Self, u64) -> T) -> Option<T> {
        for _ in 0..3 {
            let version = self.0[word::VERSION].load(Acquire);
            let found = read(self, version);
            // The words read above belong to `version` unless a writer has come round to this half, and before
            // it did that it had published the version after ours.
            fence(Acquire);
            if self.0[word::VERSION].load(Relaxed) == version {
                return Some(found);
            }
        }
        None
    }

    /// The number of the fault that the last poll ended in or found, None if it was a good one or there was none.
    pub fn last_fault(&self) -> Option<u8> {
        self.get(word::LAST_FAULT).checked_sub(1).and_then(|fault| u8::try_from(fault).ok())
    }

    /// When the last poll ended (ms), how long it took (µs), and how many there were; None before the first.
    pub fn last_poll(&self) -> Option<(u64, u64, u64)> {
        let polls = self.get(word::POLLS);
        (polls > 0).then(|| (self.get(word::POLLED_AT), self.get(word::TOOK), polls))
    }

    /// How often polls ended in the fault of that number.
    pub fn faults(&self, fault: u8) -> u64 {
        if usize::from(fault) < FAULTS { self.get(word::FAULT_COUNTS + usize::from(fault)) } else { 0 }
    }

    /// Counts a pick.
    pub fn count_pick(&self) {
        self.add(word::PICKS);
    }

    /// Counts an answer that came whole.
    pub fn count_completion(&self) {
        self.add(word::COMPLETIONS);
    }

    /// Counts a try that failed.
    pub fn count_failure(&self) {
        self.add(word::FAILURES);
    }

    /// Counts a request that the client gave up.
    pub fn count_abort(&self) {
        self.add(word::ABORTS);
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        Totals {
            picks: self.get(word::PICKS),
            completions: self.get(word::COMPLETIONS),
            failures: self.get(word::FAILURES),
            aborts: self.get(word::ABORTS),
        }
    }

    /// Whether it fails, as its answers show.
    pub fn health(&self) -> Health<'a> {
        Health::new(&self.0[word::HEALTH..word::HEALTH + health::WORDS])
    }

    /// When the numbers that the engine reports changed last, in ms; 0 before the first sample.
    pub fn changed_at(&self) -> u64 {
        self.get(word::CHANGED_AT)
    }

    /// When the last answer began that is read to its end, in ms; 0 before the first.
    pub fn read_at(&self) -> u64 {
        self.get(word::READ_AT)
    }

    /// An answer that begins at `now` (ms) is read to its end.
    pub fn set_read_at(&self, now: u64) {
        self.set(word::READ_AT, now);
    }

    /// The times to the first body byte.
    pub fn ttft(&self) -> Histogram<'a> {
        Histogram::new(&self.0[word::TTFT..word::TTFT + ttft::WORDS])
    }

    /// What was learnt from its answers.
    pub fn learned(&self) -> Learned<'a> {
        Learned::new(&self.0[word::LEARNED..word::LEARNED + learned::WORDS])
    }
}

/// Which of the two halves a version is in.
fn half(version: u64) -> usize {
    usize::from(version % 2 != 0)
}

/// Where the sample of a version stands.
fn sample_at(version: u64) -> usize {
    word::SAMPLES + half(version) * SAMPLE
}

/// An unknown number is kept as NaN, which no known one is.
fn bits(value: Option<f64>) -> u64 {
    value.unwrap_or(f64::NAN).to_bits()
}

fn number(bits: u64) -> Option<f64> {
    Some(f64::from_bits(bits)).filter(|x| x.is_finite() && *x >= 0.0)
}

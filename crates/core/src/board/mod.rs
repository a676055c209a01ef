//! The board: what the poller learnt of each peer and what the workers count of their requests, in a zone that
//! all worker processes share.
//!
//! The board is a view of a slice of atomic words, so that none of it needs `unsafe`; the shell casts the zone
//! to that slice once. Any words at all are a board or are refused: nothing here panics or loops on what it
//! reads.
//!
//! # Why no lock
//!
//! - A *sample* has one writer, the poller that holds the [lease](Lease), and is written beside the one before
//!   it; readers take the newer one and notice if the writer came round again. A writer that is killed leaves
//!   the last whole sample in place.
//! - An *in-flight count* has one writer, its worker process, in a [row](Row) of its own; readers add the rows.
//! - What is [learnt](Learned) of a peer are moving averages, for which plain loads and stores do.
//! - All other words are counters that only grow; several workers add to them with atomic additions.
//! - A slot is claimed for a peer by one compare-and-swap of its key.
//!
//! # What it costs
//!
//! A board has room for more peers and workers than there are. Slots and rows are used from the first on, and the header
//! records how many have ever been used. Nothing reads or writes beyond that, so the system never has to give memory for
//! the rest (of memory that processes share it gives a page for a read, too).
//!
//! # Layout, in words of 64 bits
//!
//! header, then a record for each upstream, then the keys of the slots, the slots, and the rows.

mod health;
mod learned;
mod lease;
mod models;
mod prompts;
mod row;
mod slot;
mod ttft;

pub use health::{Condition, Health};
pub use learned::{Average, Learned};
pub use lease::{Holder, Lease};
pub use models::Served;
pub use prompts::Prompts;
pub use row::{InFlight, Packed, Row};
pub use slot::{FAULTS, Outcome, Sample, Slot, Totals};
pub use ttft::{BUCKETS, Histogram};

use crate::failpoint::{Point, hit};
use crate::model::Models;
use crate::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Marks the zone as a board of this layout; changes with the layout, so that a board of another version is not
/// carried over.
const MAGIC: u64 = u64::from_be_bytes(*b"tblb0007");

const HEADER: usize = 16;
const UPSTREAM: usize = 8;

/// Words of the header.
mod header {
    pub const MAGIC: usize = 0;
    pub const UPSTREAMS: usize = 1;
    pub const SLOTS: usize = 2;
    pub const ROWS: usize = 3;
    pub const LEASE: usize = 4; // two words
    pub const REFUSED: usize = 7;
    pub const THREADS: usize = 8;
    pub const ROWS_BEGUN: usize = 9;
    pub const SLOTS_USED: usize = 10;
}

/// The key of something that has these names: the same in all processes of one build, and never 0.
pub fn key(names: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Words of an upstream's record.
mod upstream_word {
    pub const VERSION: usize = 0;
    pub const KEY: usize = 1;
    pub const PROMPTS: usize = 2; // two words
}

/// How many records a board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// Upstreams with a `tblb` directive.
    pub upstreams: usize,
    /// Peers that there is room for.
    pub slots: usize,
    /// Worker processes.
    pub rows: usize,
}

impl Shape {
    /// The words that such a board takes, or None if that overflows.
    pub fn words(&self) -> Option<usize> {
        HEADER
            .checked_add(self.upstreams.checked_mul(UPSTREAM)?)?
            .checked_add(self.slots.checked_mul(slot::WORDS + 1)?)?
            .checked_add(self.rows.checked_mul(self.row_words())?)
    }

    /// The words of each row.
    pub fn row_words(&self) -> usize {
        row::HEADER.saturating_add(self.slots)
    }

    fn keys_at(&self) -> usize {
        HEADER + self.upstreams * UPSTREAM
    }

    fn slots_at(&self) -> usize {
        self.keys_at() + self.slots
    }

    fn rows_at(&self) -> usize {
        self.slots_at() + self.slots * slot::WORDS
    }
}

/// A view of a board.
#[derive(Debug, Clone, Copy)]
pub struct Board<'a> {
    words: &'a [AtomicU64],
    shape: Shape,
}

impl<'a> Board<'a> {
    /// Makes an empty board of `words`, which must be all 0; None if they are too few.
    pub fn format(words: &'a [AtomicU64], shape: Shape) -> Option<Self> {
        if words.len() < shape.words()? {
            return None;
        }
        words[header::UPSTREAMS].store(shape.upstreams as u64, Relaxed);
        words[header::SLOTS].store(shape.slots as u64, Relaxed);
        words[header::ROWS].store(shape.rows as u64, Relaxed);
        words[header::MAGIC].store(MAGIC, Relaxed);
        Some(Board { words, shape })
    }

    /// The board that `words` hold; None if they hold none, or one that is longer than they are.
    pub fn open(words: &'a [AtomicU64]) -> Option<Self> {
        let word = |i: usize| words.get(i).map(|w| w.load(Relaxed));
        let count = |i: usize| word(i).and_then(|n| usize::try_from(n).ok());
        let shape = Shape {
            upstreams: count(header::UPSTREAMS)?,
            slots: count(header::SLOTS)?,
            rows: count(header::ROWS)?,
        };
        (word(header::MAGIC)? == MAGIC && shape.words()? <= words.len()).then_some(Board { words, shape })
    }

    /// How many records there are.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The right to poll.
    pub fn lease(&self) -> Lease<'a> {
        Lease::new(&self.words[header::LEASE..header::LEASE + lease::WORDS])
    }

    /// Slot number `index`.
    pub fn slot(&self, index: usize) -> Option<Slot<'a>> {
        let at = self.shape.slots_at() + (index < self.shape.slots).then_some(index)? * slot::WORDS;
        let key = self.words.get(self.shape.keys_at() + index)?;
        self.words.get(at..at + slot::WORDS).map(|words| Slot::new(words, key))
    }

    /// All slots with their numbers.
    pub fn slots(&self) -> impl Iterator<Item = (usize, Slot<'a>)> + use<'a> {
        let board = *self;
        (0..self.shape.slots).filter_map(move |i| board.slot(i).map(|slot| (i, slot)))
    }

    /// The slots that have ever been used.
    fn used_slots(&self) -> impl Iterator<Item = (usize, Slot<'a>)> + use<'a> {
        self.slots().take(self.slots_used())
    }

    /// The row of worker number `index`.
    pub fn row(&self, index: usize) -> Option<Row<'a>> {
        let length = self.shape.row_words();
        let at = self.shape.rows_at() + (index < self.shape.rows).then_some(index)? * length;
        let begun = self.words.get(header::ROWS_BEGUN)?;
        self.words.get(at..at + length).map(|words| Row::new(words, index, begun))
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let board = *self;
        (0..self.shape.rows).filter_map(move |i| board.row(i))
    }

    /// The rows in which a worker has ever begun. Other rows are not looked at.
    fn used_rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        self.rows().take(self.used(header::ROWS_BEGUN, self.shape.rows))
    }

    /// The rows of workers that are there.
    fn begun_rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        self.used_rows().filter(|row| row.pid() != 0)
    }

    /// How many of `all` records have ever been used, as that word of the header records.
    fn used(&self, word: usize, all: usize) -> usize {
        usize::try_from(self.words[word].load(Relaxed)).map_or(all, |used| used.min(all))
    }

    /// How many slots have ever been used.
    pub fn slots_used(&self) -> usize {
        self.used(header::SLOTS_USED, self.shape.slots)
    }

    /// Forgets what workers had in flight of which `alive` says that they are gone. The process that was asked about is the
    /// one that is forgotten: another may begin in its row at any time.
    pub fn forget_gone(&self, alive: impl Fn(u32) -> bool) {
        for row in self.used_rows() {
            let pid = row.pid();
            if pid != 0 && !alive(pid) {
                row.forget(pid);
            }
        }
    }

    /// What all workers have in flight at the peer of slot `index`.
    pub fn in_flight(&self, index: usize) -> InFlight {
        // As they are packed, counts are added in one step.
        self.begun_rows().map(|row| row.packed(index)).fold(Packed::default(), Packed::plus).into()
    }

    /// The same for the peers of several slots, row by row; nothing for a peer that has none.
    pub fn all_in_flight(&self, slots: &[Option<u32>], sums: &mut Vec<Packed>) {
        let mut rows = self.begun_rows();
        sums.clear();
        match rows.next() {
            Some(first) => sums.extend(first.counts(slots).map(Packed)),
            None => sums.resize(slots.len(), Packed::default()),
        }
        rows.for_each(|row| row.add_to(slots, sums));
    }

    /// The slot of the peer `key` (not 0), claimed for `upstream` if it has none yet; None if all are taken,
    /// which is counted. A slot that another process claims for the same peer at the same time is found, since all
    /// processes look for a free slot from the first one on.
    pub fn claim(&self, key: u64, upstream: usize, now: u64) -> Option<usize> {
        let open = |(_, slot): &(usize, Slot)| [0, key].contains(&slot.key()) && slot.claim(key, now);
        let free = || self.slots().find(open).map(|(index, _)| index);
        let found = self.find(key).or_else(free);
        match found.and_then(|index| Some((index, self.slot(index)?))) {
            // Also for a slot that was found: the process that claimed it may have been killed before it recorded this.
            Some((index, slot)) => {
                let used = index as u64 + 1;
                if self.words[header::SLOTS_USED].load(Relaxed) < used {
                    self.words[header::SLOTS_USED].fetch_max(used, Relaxed);
                }
                slot.belong(upstream);
            }
            None => _ = self.words[header::REFUSED].fetch_add(1, Relaxed),
        }
        found
    }

    /// The slot of the peer `key`, None if it has none.
    pub fn find(&self, key: u64) -> Option<usize> {
        let at = self.shape.keys_at();
        let keys = self.words.get(at..at + self.slots_used())?;
        keys.iter().position(|word| word.load(Acquire) == key)
    }

    /// Peers that found no free slot so far.
    pub fn refused(&self) -> u64 {
        self.words[header::REFUSED].load(Relaxed)
    }

    /// The threads that poll now.
    pub fn threads(&self) -> u64 {
        self.words[header::THREADS].load(Relaxed)
    }

    /// Says how many threads poll now.
    pub fn set_threads(&self, n: u64) {
        self.words[header::THREADS].store(n, Relaxed);
    }

    /// A number that changes whenever a sample of `upstream` does, or a peer there fails or is well again; 0 for an upstream that there is not.
    pub fn version(&self, upstream: usize) -> u64 {
        self.version_word(upstream).map_or(0, |word| word.load(Acquire))
    }

    fn version_word(&self, upstream: usize) -> Option<&'a AtomicU64> {
        self.upstream_word(upstream, upstream_word::VERSION)
    }

    fn upstream_word(&self, upstream: usize, word: usize) -> Option<&'a AtomicU64> {
        (upstream < self.shape.upstreams).then(|| self.words.get(HEADER + upstream * UPSTREAM + word))?
    }

    /// Writes the outcome of a poll into slot `index`. Only the holder of the lease may call it.
    pub fn publish(&self, index: usize, outcome: &Outcome) {
        self.publish_with(index, outcome, None);
    }

    /// The same of an engine that says which models it serves.
    pub fn publish_with(&self, index: usize, outcome: &Outcome, models: Option<&Models>) {
        let Some(slot) = self.slot(index) else { return };
        slot.publish(outcome, models, self.in_flight(index).active);
        hit(Point::SamplePublished);
        self.touch(&slot);
    }

    /// Has every worker look anew at what a pick needs of the peers of a slot's upstream: the metrics of one have changed,
    /// or one fails or is well again.
    pub fn touch(&self, slot: &Slot) {
        if let Some(word) = self.version_word(slot.upstream()) {
            word.fetch_add(1, crate::sync::Ordering::Release);
        }
    }

    /// What is known of the prompts of `upstream`; None for an upstream that there is not.
    pub fn prompts(&self, upstream: usize) -> Option<Prompts<'a>> {
        let at = HEADER
            + (upstream < self.shape.upstreams).then_some(upstream)? * UPSTREAM
            + upstream_word::PROMPTS;
        self.words.get(at..at + prompts::WORDS).map(Prompts::new)
    }

    /// Frees the slots of peers that nobody has seen for `grace` ms and at which there is no request. One that nobody ever saw
    /// is about to be claimed, or whoever did that was killed: its time begins now.
    pub fn reclaim(&self, now: u64, grace: u64) -> usize {
        let taken = self.used_slots().filter(|(_, slot)| slot.key() != 0);
        let unused = |(index, slot): &(usize, Slot)| match slot.seen_at() {
            0 => {
                slot.see(now);
                false
            }
            seen_at => now.saturating_sub(seen_at) > grace && self.in_flight(*index).active == 0,
        };
        taken.filter(unused).map(|(_, slot)| slot.clear()).count()
    }

    /// The key of the upstream's name, 0 for an upstream that there is not.
    pub fn upstream_key(&self, upstream: usize) -> u64 {
        self.upstream_word(upstream, upstream_word::KEY).map_or(0, |word| word.load(Relaxed))
    }

    /// Says the key of the upstream's name.
    pub fn set_upstream_key(&self, upstream: usize, key: u64) {
        if let Some(word) = self.upstream_word(upstream, upstream_word::KEY) {
            word.store(key, Relaxed);
        }
    }

    /// Copies from `old`, the board before a reload, what is known of the peers of the upstreams that have the
    /// same keys. The lease comes along, so that nobody polls before the old poller's heartbeat has run out.
    pub fn carry_over(&self, old: &Board, now: u64) {
        let number_here =
            |key| (0..self.shape.upstreams).find(|number| key != 0 && self.upstream_key(*number) == key);
        for (_, slot) in old.used_slots().filter(|(_, slot)| slot.key() != 0) {
            let Some(number) = number_here(old.upstream_key(slot.upstream())) else { continue };
            if let Some(new) = self.claim(slot.key(), number, now).and_then(|index| self.slot(index)) {
                new.copy_from(&slot, number);
            }
        }
        for number in 0..old.shape.upstreams {
            let new = number_here(old.upstream_key(number)).and_then(|new| self.prompts(new));
            if let (Some(new), Some(old)) = (new, old.prompts(number)) {
                new.copy_from(&old);
            }
        }
        self.lease().copy_from(&old.lease());
    }
}

#[cfg(test)]
mod tests;

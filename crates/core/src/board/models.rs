//! The models that an engine says it serves.
//!
//! For each of the two samples there is a list of numbers, so that who reads them sees those of one answer; the names,
//! which only the status needs, are there once. A name that does not fit is cut there, and known by its key all the same.

use crate::model::{CAPACITY, Models, key};
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Words of a name.
const NAME: usize = 8;

/// Bytes of a name that are kept for the status.
pub const NAME_BYTES: usize = NAME * size_of::<u64>();

/// Words of one list: how many there are, and for each its key and its utilization.
const LIST: usize = 1 + 2 * CAPACITY;

pub(super) const WORDS: usize = 2 * LIST + NAME * CAPACITY;

/// Beside the number of models: the engine says something of its models.
const LISTED: u64 = 1 << 32;
/// The same: there may be more.
const MORE: u64 = 1 << 33;

/// The models that an engine serves, as numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Served {
    models: [(u64, f64); CAPACITY],
    count: usize,
    /// Whether it may serve others.
    pub more: bool,
}

impl Served {
    /// The key of each model, and how busy the engine is with it if it says so.
    pub fn models(&self) -> impl Iterator<Item = (u64, Option<f64>)> + '_ {
        let utilization = |x: f64| Some(x).filter(|x| x.is_finite() && *x >= 0.0);
        self.models.iter().take(self.count).map(move |&(key, x)| (key, utilization(x)))
    }
}

/// A view of what is known of the models of one peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a>(&'a [AtomicU64]);

impl<'a> List<'a> {
    /// `words` are [`WORDS`] long.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        List(words)
    }

    /// Writes what belongs to the sample of that number, 0 or 1; None where the engine says nothing of its models.
    pub fn write(&self, sample: usize, models: Option<&Models>) {
        let list = &self.0[sample * LIST..(sample + 1) * LIST];
        let Some(models) = models else { return list[0].store(0, Relaxed) };
        let listed = models.list.iter().take(CAPACITY).enumerate();
        for (i, model) in listed {
            list[1 + 2 * i].store(key(model.name.as_bytes()), Relaxed);
            list[2 + 2 * i].store(model.utilization.unwrap_or(f64::NAN).to_bits(), Relaxed);
            self.write_name(i, model.name.as_bytes());
        }
        let count = models.list.len().min(CAPACITY) as u64;
        let more = models.more || models.list.len() > CAPACITY;
        list[0].store(count | LISTED | if more { MORE } else { 0 }, Relaxed);
    }

    /// What belongs to that sample.
    pub fn read(&self, sample: usize) -> Option<Served> {
        let word = |i: usize| self.0[sample * LIST + i].load(Relaxed);
        let head = word(0);
        (head & LISTED != 0).then_some(())?;
        let count = (head as u32 as usize).min(CAPACITY);
        let mut models = [(0, f64::NAN); CAPACITY];
        for (i, model) in models.iter_mut().take(count).enumerate() {
            *model = (word(1 + 2 * i), f64::from_bits(word(2 + 2 * i)));
        }
        Some(Served { models, count, more: head & MORE != 0 })
    }

    fn name_words(&self, i: usize) -> &'a [AtomicU64] {
        &self.0[2 * LIST + i * NAME..][..NAME]
    }

    fn write_name(&self, i: usize, name: &[u8]) {
        let mut chunks = name.chunks(size_of::<u64>());
        for word in self.name_words(i) {
            let mut bytes = [0; size_of::<u64>()];
            bytes.iter_mut().zip(chunks.next().unwrap_or_default()).for_each(|(to, from)| *to = *from);
            word.store(u64::from_le_bytes(bytes), Relaxed);
        }
    }

    /// The name at a place of a list, where the key is that. The writer may be at it, so that it is the name only if it
    /// has the key; if it fills its room it may have been cut, which an ellipsis says.
    pub fn name(&self, i: usize, expected: u64) -> Option<String> {
        let words = (i < CAPACITY).then(|| self.name_words(i))?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..length]).into_owned();
        match key(&bytes[..length]) == expected {
            true => Some(name),
            false => (length == NAME_BYTES).then(|| name.trim_end_matches('\u{fffd}').to_owned() + "…"),
        }
    }
}

//! What the workers learn of a peer from the answers to its requests.
//!
//! # Why plain loads and stores do
//!
//! Every number here is a moving average that any worker may move. Two that move it at the same time start from the same
//! value, and the later store wins: one answer of the two taught nothing. The average stays between the values that it
//! was made of, since each store is a mean of what was read and what was seen, and the next answer moves it on. A count
//! only says how far: one that was lowered while an answer was added may be high again, and the average then moves slower
//! until it is lowered the next time. A worker that is killed has stored or has not; a word is never half written.

use crate::failpoint::{Point, hit};
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// How far an answer moves an average. The last 33 answers make up two thirds of it: few enough that a node which
/// slows down is known for it within seconds, enough that one odd answer does not count for much.
const ALPHA: f64 = 0.03;

/// After this time in ms without a byte from an idle peer, what the peer taught is old: the machine may have been busy then.
const OLD_MS: u64 = 2_000;

/// Streams of a peer pause for unusually long after as many of its usual gaps.
const GAPS: f64 = 20.0;

/// Averages that there are.
const AVERAGES: usize = 6;

/// Words: the values of the averages side by side, since a pick reads several of them, then how many answers each is made
/// of, and the time of the last byte.
mod word {
    use super::AVERAGES;
    pub const TPOT: usize = 0;
    pub const SLOPE: usize = 1;
    pub const PREFILL: usize = 2;
    pub const GAP: usize = 3;
    pub const PIECES: usize = 4;
    pub const WAIT: usize = 5;
    pub const COUNTS: usize = AVERAGES;
    pub const BYTE_AT: usize = COUNTS + AVERAGES;
    pub const END: usize = BYTE_AT + 1;
}

pub(super) const WORDS: usize = word::END;

/// A view of what was learnt of one peer.
#[derive(Debug, Clone, Copy)]
pub struct Learned<'a>(&'a [AtomicU64]);

impl<'a> Learned<'a> {
    /// `words` are [`WORDS`] long.
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Learned(words)
    }

    /// Time per output token in µs.
    pub fn tpot(&self) -> Average<'a> {
        self.average(word::TPOT)
    }

    /// Time per output token in µs for each request that was there, with those that
    /// [stand for an empty step](crate::algorithm::requests): what tells nodes apart whatever their load.
    pub fn slope(&self) -> Average<'a> {
        self.average(word::SLOPE)
    }

    /// Time to first token in µs for each token of prompts that were to be computed, the request's own included.
    pub fn prefill(&self) -> Average<'a> {
        self.average(word::PREFILL)
    }

    /// Time in ms from one byte of any answer to the next, while answers are coming.
    pub fn gap(&self) -> Average<'a> {
        self.average(word::GAP)
    }

    /// From which time on in ms a pause of its streams is unusual; 0 while nothing is known of its gaps.
    pub fn unusual_pause_ms(&self) -> f64 {
        GAPS * self.gap().get().unwrap_or(0.0)
    }

    /// In how many pieces answers come: 1 for an answer in one piece, 2 for a stream.
    pub fn pieces(&self) -> Average<'a> {
        self.average(word::PIECES)
    }

    /// Time in µs from the pick to the first token, or to the whole answer where answers come in one piece.
    pub fn wait(&self) -> Average<'a> {
        self.average(word::WAIT)
    }

    /// A byte came at `now` (ms). `coming` says whether answers were coming before it: then the gap since the last one
    /// teaches how long gaps are. Bytes within one millisecond are one.
    pub fn hear(&self, now: u64, coming: bool) {
        let before = self.heard_at();
        if now > before {
            self.0[word::BYTE_AT].store(now, Relaxed);
            hit(Point::ByteHeard);
            if coming && before > 0 {
                self.gap().learn((now - before) as f64);
            }
        }
    }

    /// When a byte came last (ms), 0 if none ever did.
    pub fn heard_at(&self) -> u64 {
        self.0[word::BYTE_AT].load(Relaxed)
    }

    /// Whether what the peer taught is old: of its requests none is `active`, and no byte has come for long.
    pub fn is_old(&self, active: u64, now: u64) -> bool {
        active == 0 && now.saturating_sub(self.heard_at()) > OLD_MS
    }

    /// What was learnt up to now counts as one answer from now on: it is old.
    pub fn age(&self) {
        self.0[word::COUNTS..word::BYTE_AT].iter().for_each(|count| {
            count.store(count.load(Relaxed).min(1), Relaxed);
        });
    }

    fn average(&self, at: usize) -> Average<'a> {
        Average { value: &self.0[at], count: &self.0[word::COUNTS + at] }
    }
}

/// A moving average of positive numbers.
#[derive(Debug, Clone, Copy)]
pub struct Average<'a> {
    value: &'a AtomicU64,
    count: &'a AtomicU64,
}

impl Average<'_> {
    /// Its value, finite and above 0; None before the first answer.
    pub fn get(&self) -> Option<f64> {
        let value = f64::from_bits(self.value.load(Relaxed));
        (value.is_finite() && value > 0.0).then_some(value)
    }

    /// How many answers it is made of.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Moves it by what was seen, a mean of all until there are 33; what is no positive number teaches nothing.
    pub fn learn(&self, seen: f64) {
        if !(seen.is_finite() && seen > 0.0) {
            return;
        }
        let count = self.count().saturating_add(1);
        let alpha = ALPHA.max(1.0 / count as f64);
        let value = self.get().map_or(seen, |old| old + alpha * (seen - old));
        self.value.store(value.to_bits(), Relaxed);
        hit(Point::AverageMoved);
        self.count.store(count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn an_average_is_the_mean_at_first_and_follows_later() {
        let words = words();
        let tpot = Learned::new(&words).tpot();
        assert_eq!(tpot.get(), None);
        [10.0, 20.0, 30.0].iter().for_each(|us| tpot.learn(*us));
        assert!((tpot.get().unwrap() - 20.0).abs() < 1e-9);
        (0..200).for_each(|_| tpot.learn(100.0));
        assert!((tpot.get().unwrap() - 100.0).abs() < 1.0);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            tpot.learn(odd);
        }
        assert_eq!(tpot.count(), 203, "what is no positive number teaches nothing");
    }

    #[test]
    fn gaps_are_learnt_from_byte_to_byte() {
        let words = words();
        let learned = Learned::new(&words);
        learned.hear(1000, false);
        [1020, 1020, 1040, 1060].iter().for_each(|ms| learned.hear(*ms, true));
        assert_eq!((learned.gap().get(), learned.gap().count(), learned.heard_at()), (Some(20.0), 3, 1060));
    }

    #[test]
    fn any_words_give_a_positive_number_or_none() {
        for bits in [u64::MAX, 1, f64::NEG_INFINITY.to_bits(), (-3.0f64).to_bits()] {
            let words = words();
            words.iter().for_each(|word| word.store(bits, Relaxed));
            let tpot = Learned::new(&words).tpot();
            assert!(tpot.get().is_none_or(|us| us.is_finite() && us > 0.0));
            tpot.learn(5.0);
            assert!(tpot.get().is_some_and(|us| us.is_finite() && us > 0.0));
        }
    }
}

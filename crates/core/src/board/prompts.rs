//! How long the prompts of an upstream are, so that one body that is no prompt can be told from those that are.

use crate::failpoint::{Point, hit};
use crate::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Words: the quantile in tokens, and how many prompts it is made of.
pub(super) const WORDS: usize = 2;

/// The part of prompts that are at most as long as the quantile.
const QUANTILE: f64 = 0.9;

/// A prompt counts for this many times the quantile at most: the tail of real prompts is heavy, that of bodies with an
/// image in base64 is heavier by far.
const TIMES: f64 = 4.0;

/// The longest prompt that is believed, in tokens.
const LONGEST: f64 = 8192.0;

/// Prompts before the quantile is believed.
const ENOUGH: u64 = 20;

/// The part of itself by which a prompt moves the quantile once it has settled: a change of the users' habits is
/// followed within a hundred requests.
const STEP: f64 = 0.05;

/// A view of what is known of the prompts of one upstream. The quantile is one of many that an update would leave right,
/// so one that is lost to another worker's does no harm (see [`Learned`](super::Learned)).
#[derive(Debug, Clone, Copy)]
pub struct Prompts<'a>(&'a [AtomicU64]);

impl<'a> Prompts<'a> {
    /// `words` are [`WORDS`] long.
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Prompts(words)
    }

    /// The tokens that a request counts for whose body is so long: a quarter of its bytes, as much as is believed, and at
    /// least one.
    pub fn tokens(&self, bytes: u64) -> u32 {
        let longest = if self.count() < ENOUGH { LONGEST } else { self.longest() };
        (bytes as f64 / 4.0).min(longest).max(1.0) as u32
    }

    /// Learns from a request whose body is so long.
    pub fn learn(&self, bytes: u64) {
        let seen = (bytes as f64 / 4.0).max(1.0);
        let count = self.count().saturating_add(1);
        let quantile = f64::from_bits(self.0[0].load(Relaxed));
        // Stochastic approximation (Robbins and Monro): the quantile rests where as much pulls it up as down.
        let step = STEP.max(2.0 / count as f64);
        let by = if seen > quantile { 1.0 + step * QUANTILE } else { 1.0 - step * (1.0 - QUANTILE) };
        let moved = quantile * by;
        let quantile = if count == 1 || !(moved.is_finite() && moved > 0.0) { seen } else { moved };
        self.0[0].store(quantile.to_bits(), Relaxed);
        hit(Point::PromptLearnt);
        self.0[1].store(count, Release);
    }

    /// How many prompts the quantile is made of. Read before it, this is never ahead of it: a quantile that nothing was learnt
    /// for is no length.
    fn count(&self) -> u64 {
        self.0[1].load(Acquire)
    }

    pub(super) fn copy_from(&self, old: &Prompts) {
        let count = old.count();
        self.0[0].store(old.0[0].load(Relaxed), Relaxed);
        self.0[1].store(count, Release);
    }

    fn longest(&self) -> f64 {
        let quantile = f64::from_bits(self.0[0].load(Relaxed));
        if quantile.is_finite() && quantile > 0.0 { (TIMES * quantile).min(LONGEST) } else { LONGEST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn images_count_as_the_longest_prompts_do() {
        let words = words();
        let prompts = Prompts::new(&words);
        assert_eq!(prompts.tokens(1_000_000), 8192, "nothing is known yet");
        let mut rng = fastrand::Rng::with_seed(1);
        for n in 0..5000 {
            // Prompts of 1 to 400 tokens, of which nine in ten have up to 360, and every twentieth is an image.
            prompts.learn(if n % 20 == 0 { 1_000_000 } else { 4 * rng.u64(1..=400) });
        }
        let longest = prompts.tokens(1_000_000);
        assert!((1200..1800).contains(&longest), "four times about 380: {longest}");
        assert_eq!((prompts.tokens(800), prompts.tokens(0)), (200, 1));
    }

    #[test]
    fn any_words_give_tokens() {
        for bits in [u64::MAX, f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits(), 1 << 62] {
            let words = words();
            words.iter().for_each(|word| word.store(bits, Relaxed));
            let prompts = Prompts::new(&words);
            assert!((1..=8192).contains(&prompts.tokens(u64::MAX)));
            prompts.learn(400);
            assert!((1..=8192).contains(&prompts.tokens(u64::MAX)));
        }
    }
}

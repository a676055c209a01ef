//! Times to first token, as a histogram that all workers add to.

use crate::failpoint::{Point, hit};
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Buckets: four to an octave from 1 ms to 55 s, and one for all above; a quantile is off by 9 % at most.
pub const BUCKETS: usize = 64;

/// Words: the buckets and the sum in µs.
pub(super) const WORDS: usize = BUCKETS + 1;

/// A view of the histogram of one peer.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a>(&'a [AtomicU64]);

impl<'a> Histogram<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Histogram(words)
    }

    /// Adds a time in µs.
    pub fn add(&self, us: u64) {
        self.0[bucket(us)].fetch_add(1, Relaxed);
        hit(Point::FirstByteCounted);
        self.0[BUCKETS].fetch_add(us, Relaxed);
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.counts().fold(0, u64::wrapping_add)
    }

    /// Their sum in µs.
    pub fn sum_us(&self) -> u64 {
        self.0[BUCKETS].load(Relaxed)
    }

    /// The mean in ms, None of nothing.
    pub fn mean_ms(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_us() as f64 / 1e3 / count as f64)
    }

    /// The `q`-quantile (0 to 1) in ms, None of nothing.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let mut left = (q * count as f64).ceil().max(1.0) as u64;
        for (i, n) in self.counts().enumerate() {
            if n > 0 && left <= n {
                let low = if i == 0 { 0.0 } else { upper_ms(i - 1) };
                let high = if i + 1 == BUCKETS { low } else { upper_ms(i) };
                return Some(low + (high - low) * (left as f64 - 0.5) / n as f64);
            }
            left = left.saturating_sub(n);
        }
        None
    }

    /// The octaves as (upper bound in seconds, times up to there), for a cumulative histogram.
    pub fn octaves(&self) -> impl Iterator<Item = (f64, u64)> + use<'a> {
        let mut sum = 0u64;
        self.counts().enumerate().take(BUCKETS - 1).filter_map(move |(i, n)| {
            sum = sum.wrapping_add(n);
            (i % 4 == 0).then(|| (upper_ms(i) / 1e3, sum))
        })
    }

    fn counts(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.0[..BUCKETS].iter().map(|bucket| bucket.load(Relaxed))
    }
}

/// The upper bound of a bucket in ms.
fn upper_ms(bucket: usize) -> f64 {
    (bucket as f64 / 4.0).exp2()
}

fn bucket(us: u64) -> usize {
    // How many quarters of an octave a time of 2^n to 2^(n+1) ms is above 2^n ms, by its upper bounds.
    const QUARTERS: [f64; 3] = [1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];
    let ms = us as f64 / 1e3;
    if ms <= 1.0 {
        return 0;
    }
    // The exponent of the number counts whole octaves. A power of two is the upper bound of an octave.
    let bits = ms.to_bits();
    let octave = (bits >> 52) as usize - 1023;
    let rest = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let quarters = if rest > 1.0 { 1 + QUARTERS.iter().filter(|bound| rest > **bound).count() } else { 0 };
    (4 * octave + quarters).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_quarter_of_an_octave() {
        for us in
            (0..100_000_000).step_by(7919).chain([999, 1000, 1001, 2000, 2001, 64_000, 64_001, u64::MAX])
        {
            let position = (4.0 * (us as f64 / 1e3).log2()).ceil();
            assert_eq!(bucket(us), (position as usize).min(BUCKETS - 1), "{us}");
        }
    }
}

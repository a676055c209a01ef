//! Random numbers from a seed.

use std::f64::consts::TAU;

/// What random numbers are for. Each purpose has streams of its own, so that drawing more for one changes nothing of
/// another.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// The noise of a node's steps; the index is the node's.
    Node,
    /// The requests that come directly to a node; the index is the node's.
    Background,
    /// When they come; the index is the node's.
    BackgroundTimes,
    /// The lengths of the requests.
    Lengths,
    /// The bytes of the requests and of their answers.
    Bytes,
    /// When requests come, and how long clients think.
    Times,
    /// Which nginx instance and worker takes a request.
    Deal,
    /// When pages are polled; the index is the instance's.
    Polls,
    /// What a random fleet is like.
    Fleet,
    /// What a policy draws; the index is the instance's.
    Picks,
    /// The requests that come before the load.
    Warmup,
}

/// The seed of one stream: the same seed, purpose and index always give the same, and any other another.
pub fn derive(seed: u64, purpose: Purpose, index: u64) -> u64 {
    mix(mix(mix(seed) ^ purpose as u64) ^ index)
}

/// A bijection that scatters its input: the finaliser of SplitMix64.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An exponentially distributed number of this mean.
pub fn exponential(rng: &mut fastrand::Rng, mean: f64) -> f64 {
    // 1 - f64() lies in (0, 1], so its logarithm is finite.
    -(1.0 - rng.f64()).ln() * mean
}

/// A stream of standard normal numbers that a seed fixes.
#[derive(Debug, Clone)]
pub struct Normal {
    rng: fastrand::Rng,
    spare: Option<f64>,
}

impl Normal {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), spare: None }
    }

    /// The next number (Box–Muller, which yields them in pairs).
    pub fn draw(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - f64() lies in (0, 1], so its logarithm is finite.
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        let (sin, cos) = (TAU * self.rng.f64()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

//! Random numbers from a seed.

use std::f64::consts::TAU;

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

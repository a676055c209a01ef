//! When requests come, and how long clients think.

use crate::node::Nanos;
use crate::random::{Normal, Purpose, derive, exponential};
use crate::scenario::{Arrivals, Load, Scenario};

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// The rate is taken to be steady for so long, in seconds, where it changes.
const STEADY: f64 = 0.02;

/// The times of a run, drawn one after the other.
pub struct Times {
    rng: fastrand::Rng,
    normal: Normal,
    think_rng: fastrand::Rng,
    load: Load,
    arrivals: Arrivals,
    think: f64,
    /// Seconds since the load began.
    now: f64,
}

impl Times {
    /// The times that a scenario has at this load.
    pub fn new(scenario: &Scenario, load: Load, seed: u64) -> Self {
        let seed = |index| derive(seed, Purpose::Times, index);
        Self {
            rng: fastrand::Rng::with_seed(seed(0)),
            normal: Normal::new(seed(1)),
            think_rng: fastrand::Rng::with_seed(seed(2)),
            load,
            arrivals: scenario.arrivals,
            think: scenario.think,
            now: 0.0,
        }
    }

    /// When the next request of an open loop comes, after the load began; 0 in a closed loop.
    pub fn arrival(&mut self) -> Nanos {
        let Load::Rate(rate) = self.load else { return 0 };
        // In a time that runs as fast as the rate is high, gaps have the mean 1.
        let mut left = self.gap();
        loop {
            let rate = rate * self.arrivals.factor(self.now);
            let step = (left / rate).min(STEADY);
            self.now += step;
            left -= step * rate;
            if left <= 1e-12 {
                return (self.now * SECOND) as Nanos;
            }
        }
    }

    /// How long a client of a closed loop thinks.
    pub fn think(&mut self) -> Nanos {
        (exponential(&mut self.think_rng, self.think) * SECOND) as Nanos
    }

    /// A Gamma-distributed gap of mean 1 and the scenario's coefficient of variation.
    fn gap(&mut self) -> f64 {
        if self.arrivals.cv == 1.0 {
            return exponential(&mut self.rng, 1.0);
        }
        let shape = self.arrivals.cv.powi(-2);
        self.gamma(shape) / shape
    }

    /// A Gamma-distributed number of scale 1, by Marsaglia and Tsang's method (2000); a shape below 1 is drawn as one
    /// above and scaled by a power of a uniform number.
    fn gamma(&mut self, shape: f64) -> f64 {
        let boost = if shape < 1.0 { (1.0 - self.rng.f64()).powf(1.0 / shape) } else { 1.0 };
        let d = if shape < 1.0 { shape + 1.0 } else { shape } - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal.draw();
            let v = (1.0 + c * x).powi(3);
            let u = 1.0 - self.rng.f64();
            if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return boost * d * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Flash, Ramp};

    /// Times of requests in seconds.
    fn arrivals(arrivals: Arrivals, rate: f64, count: usize) -> Vec<f64> {
        let scenario = Scenario { arrivals, ..Scenario::named("hetero").expect("a preset") };
        let mut times = Times::new(&scenario, Load::Rate(rate), 1);
        (0..count).map(|_| times.arrival() as f64 / SECOND).collect()
    }

    #[test]
    fn gaps_have_their_mean_and_scatter() {
        for cv in [0.5, 1.0, 3.0] {
            let times = arrivals(Arrivals { cv, ..Arrivals::default() }, 25.0, 50_000);
            let gaps: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((mean * 25.0 - 1.0).abs() < 0.04, "{cv}: {mean}");
            assert!((variance.sqrt() / mean / cv - 1.0).abs() < 0.05, "{cv}: {}", variance.sqrt() / mean);
        }
    }

    #[test]
    fn crowds_and_ramps_bring_as_many_as_they_say() {
        let flash = Some(Flash { at: 100.0, lasts: 10.0, times: 5.0 });
        let times = arrivals(Arrivals { flash, ..Arrivals::default() }, 20.0, 10_000);
        let between = |from: f64, to: f64| times.iter().filter(|at| (from..to).contains(*at)).count() as f64;
        assert!((between(100.0, 110.0) / 1000.0 - 1.0).abs() < 0.1);
        assert!((between(0.0, 100.0) / 2000.0 - 1.0).abs() < 0.1);
        let ramp = Some(Ramp { to: 3.0, over: 100.0 });
        let times = arrivals(Arrivals { ramp, ..Arrivals::default() }, 20.0, 10_000);
        let first = times.iter().filter(|at| **at < 100.0).count() as f64;
        assert!((first / 4000.0 - 1.0).abs() < 0.06, "{first}");
    }
}

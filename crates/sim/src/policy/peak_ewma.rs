//! Peak EWMA as linkerd balances by it (tower's `load::PeakEwma` behind `p2c::Balance`, after Finagle): of two peers that
//! are drawn, the one of less average latency times (pending + 1).
//!
//! The average jumps up to a latency that is above it, and decays toward one that is below, over 10 s; between answers it
//! decays toward 0. Latency and pending end with the first byte of the body, and before the first answer latency is taken
//! to be 30 ms, as in linkerd.

use std::collections::HashSet;

use super::choice::two;
use super::{Context, Ending, Policy, Scene, Seen, Try, View};
use crate::node::Nanos;

/// The time over which the average decays, in ns.
const DECAY: f64 = 10e9;

/// The latency of a peer of which nothing is known, in ns.
const DEFAULT: f64 = 30e6;

#[derive(Debug, Clone, Copy)]
struct Estimate {
    latency: f64,
    at: Nanos,
    pending: u64,
}

impl Estimate {
    /// Moves the average by a latency that was seen at `now`, 0 for none.
    fn update(&mut self, now: Nanos, latency: f64) {
        if latency > self.latency {
            self.latency = latency;
        } else {
            let decay = (-(now.saturating_sub(self.at) as f64) / DECAY).exp();
            self.latency = self.latency * decay + latency * (1.0 - decay);
        }
        self.at = now;
    }

    fn cost(&mut self, now: Nanos) -> f64 {
        self.update(now, 0.0);
        self.latency * (self.pending + 1) as f64
    }
}

/// The policy.
pub struct PeakEwma {
    estimates: Vec<Estimate>,
    /// The requests that have sent nothing yet.
    pending: HashSet<u64>,
}

impl PeakEwma {
    /// Nothing is known yet.
    pub fn new(context: &Context<'_>) -> Self {
        let estimate = Estimate { latency: DEFAULT, at: 0, pending: 0 };
        Self { estimates: vec![estimate; context.speeds.len()], pending: HashSet::new() }
    }

    /// A request is pending no more.
    fn settle(&mut self, one: &Try) {
        let was = self.pending.remove(&one.seen.number);
        self.estimates[one.peer].pending -= u64::from(was);
    }
}

impl Policy for PeakEwma {
    fn pick(&mut self, mut view: View<'_>, seen: &Seen) -> Option<usize> {
        let (first, second) = two(&mut view)?;
        let mut cost = |at: usize| self.estimates[at].cost(view.scene.now);
        let picked = if cost(second) < cost(first) { second } else { first };
        self.estimates[picked].pending += 1;
        self.pending.insert(seen.number);
        Some(picked)
    }

    fn first_byte(&mut self, scene: Scene<'_>, one: &Try) {
        self.settle(one);
        self.estimates[one.peer].update(scene.now, (scene.now - one.begun) as f64);
    }

    fn end(&mut self, _: Scene<'_>, one: &Try, _: Ending) {
        self.settle(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Bench;

    #[test]
    fn the_average_jumps_up_and_decays_down() {
        let mut estimate = Estimate { latency: 10e6, at: 0, pending: 0 };
        estimate.update(1_000_000_000, 80e6);
        assert_eq!(estimate.latency, 80e6);
        estimate.update(11_000_000_000, 20e6);
        assert!((estimate.latency - (80e6 * (-1f64).exp() + 20e6 * (1.0 - (-1f64).exp()))).abs() < 1.0);
    }

    #[test]
    fn the_peer_that_answers_sooner_is_preferred_until_more_is_pending_there() {
        let mut bench = Bench::new(&[0, 0]);
        let mut policy = bench.policy("peak_ewma");
        bench.answer(policy.as_mut(), 0, 400, 500);
        bench.answer(policy.as_mut(), 1, 100, 500);
        let mut counts = [0; 2];
        for _ in 0..50 {
            counts[bench.pick(policy.as_mut()).expect("a pick")] += 1;
        }
        assert!((38..42).contains(&counts[1]), "{counts:?}");
    }
}

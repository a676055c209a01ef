//! Prequal (B. Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024): a pool of probes,
//! and the hot-cold lexicographic rule.
//!
//! Each request sends three probes to peers that are drawn, whose answers (requests in flight, latency) join a pool of at
//! most 16 for a second. A probe whose requests in flight are above the 0.84 quantile of the pool is hot. The choice is
//! the cold one of least latency, or, where all are hot, the one of fewest requests; its requests in flight are counted up
//! by one. Each request also removes the oldest or the worst probe in turn.
//!
//! nginx sends no probes to engines. What a probe would tell is taken from what is known at once: own connections and the
//! background of the last page, and the median time of the last 16 answers.

use std::collections::VecDeque;

use super::queues::requests;
use super::{Context, Ending, Policy, Scene, Seen, Try, View};
use crate::node::Nanos;

/// Probes that a request sends.
const PROBES: usize = 3;

/// Probes in the pool at most.
const POOL: usize = 16;

/// How long a probe is used, in ns.
const AGE: Nanos = 1_000_000_000;

/// The quantile of the requests in flight above which a probe is hot: 2^-0.25.
const HOT: f64 = 0.84;

/// Answers of which the latency is the median.
const ANSWERS: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Probe {
    peer: usize,
    at: Nanos,
    in_flight: f64,
    /// In ns; 0 where nothing is known.
    latency: f64,
}

/// The policy.
pub struct Prequal {
    pool: VecDeque<Probe>,
    /// The times of the last answers of each peer in ns.
    times: Vec<VecDeque<Nanos>>,
    removes_oldest: bool,
}

impl Prequal {
    /// Nothing is known yet.
    pub fn new(context: &Context<'_>) -> Self {
        Self {
            pool: VecDeque::new(),
            times: vec![VecDeque::new(); context.speeds.len()],
            removes_oldest: true,
        }
    }

    fn latency(&self, peer: usize) -> f64 {
        let mut times: Vec<_> = self.times[peer].iter().copied().collect();
        times.sort_unstable();
        times.get(times.len() / 2).map_or(0.0, |&time| time as f64)
    }

    fn probe(&mut self, view: &mut View<'_>) {
        let count = view.eligible.len();
        let start = if count > 0 { view.rng.usize(0..count) } else { 0 };
        for step in 0..PROBES.min(count) {
            let peer = view.eligible[(start + step) % count];
            let in_flight = requests(view.pages, peer, &view.peers[peer]);
            let latency = self.latency(peer);
            self.pool.push_back(Probe { peer, at: view.scene.now, in_flight, latency });
        }
        while self.pool.len() > POOL {
            self.pool.pop_front();
        }
    }

    /// Above so many requests in flight a probe is hot.
    fn limit(&self) -> f64 {
        let mut sorted: Vec<f64> = self.pool.iter().map(|probe| probe.in_flight).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = (HOT * sorted.len() as f64).ceil() as usize;
        sorted.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// Drops the oldest probe, or the hot one of most requests, else the slowest.
    fn remove(&mut self) {
        self.removes_oldest = !self.removes_oldest;
        if self.pool.len() <= PROBES {
            return;
        }
        if self.removes_oldest {
            self.pool.pop_front();
            return;
        }
        let limit = self.limit();
        let badness =
            |probe: &Probe| if probe.in_flight > limit { (1, probe.in_flight) } else { (0, probe.latency) };
        let worst = (0..self.pool.len()).max_by(|&a, &b| {
            let (a, b) = (badness(&self.pool[a]), badness(&self.pool[b]));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        worst.map(|worst| self.pool.remove(worst));
    }
}

impl Policy for Prequal {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        self.pool.retain(|probe| view.scene.now - probe.at < AGE && view.eligible.contains(&probe.peer));
        self.probe(&mut view);
        let limit = self.limit();
        let rank =
            |probe: &Probe| if probe.in_flight > limit { (1, probe.in_flight) } else { (0, probe.latency) };
        let best = (0..self.pool.len()).min_by(|&a, &b| {
            let (a, b) = (rank(&self.pool[a]), rank(&self.pool[b]));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })?;
        self.pool[best].in_flight += 1.0;
        let peer = self.pool[best].peer;
        self.remove();
        Some(peer)
    }

    fn end(&mut self, scene: Scene<'_>, one: &Try, ending: Ending) {
        if ending == Ending::Completed {
            let times = &mut self.times[one.peer];
            times.push_back(scene.now - one.begun);
            if times.len() > ANSWERS {
                times.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::Bench;

    #[test]
    fn of_the_cold_the_fastest_is_picked_and_the_busiest_is_hot() {
        let mut bench = Bench::new(&[5, 5, 90]);
        let mut policy = bench.policy("prequal");
        for (peer, ms) in [(0, 900), (1, 300), (2, 100)] {
            bench.answer(policy.as_mut(), peer, 10, ms);
        }
        let mut counts = [0; 3];
        for _ in 0..100 {
            // Far apart, so that each pick sees its own probes.
            bench.now += 2_000_000_000;
            counts[bench.pick(policy.as_mut()).expect("a pick")] += 1;
        }
        // The quantile of three is the largest: none is above it, so all are cold, and the fastest is picked.
        assert_eq!(counts, [0, 0, 100]);
        let mut bench = Bench::new(&[5, 5, 5, 5, 5, 5, 90]);
        let mut policy = bench.policy("prequal");
        bench.answer(policy.as_mut(), 6, 10, 100);
        (0..6).for_each(|peer| bench.answer(policy.as_mut(), peer, 10, 500));
        let picks: Vec<_> = (0..40).filter_map(|_| bench.pick(policy.as_mut())).collect();
        let busiest = picks[8..].iter().filter(|&&at| at == 6).count();
        assert!(busiest < 16, "{picks:?}");
    }
}

//! nginx's `least_time` (ngx_http_upstream_least_time_module.c of 1.31): the least average time of an answer times the
//! connections.
//!
//! The average is (19·average + time)/20 in whole ms, of answers that came. Times to 5 s are rounded up to the next 20 ms,
//! so that near ones tie; longer ones count as 5 s. A peer that nobody was sent to for `fail_timeout` has its time halved,
//! once more each time that passes again.

use tblb_core::picker::{self, Candidate, Known};

use super::choice::{gather, settle};
use super::{Context, Ending, Policy, Scene, Seen, Try, View};
use crate::node::Nanos;

/// Times above this are equally bad, in ms.
const MOST: u64 = 5000;

/// Times are told apart by so much, in ms.
const CLUSTER: u64 = 20;

/// Until when an answer's time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The header. Engines that send it at once tell nothing by it; here it is taken to come with the first token.
    Header,
    /// The last byte.
    LastByte,
}

/// The method, with what it learnt of each peer.
pub struct LeastTime {
    until: Until,
    /// The average times in ms, 0 before the first answer.
    times: Vec<u64>,
    candidates: Vec<Candidate>,
}

impl LeastTime {
    /// Nothing is known yet.
    pub fn new(until: Until, context: &Context<'_>) -> Self {
        Self { until, times: vec![0; context.speeds.len()], candidates: Vec::new() }
    }

    fn learn(&mut self, peer: usize, taken: Nanos) {
        let (average, ms) = (self.times[peer], taken / 1_000_000);
        self.times[peer] =
            if average == 0 { ms } else { (0.5 + ms as f64 * 0.05 + average as f64 * 0.95) as u64 };
    }
}

/// The time that a peer needs for what it has to do and one request more.
fn estimate(average: u64, halved: u64, conns: u64) -> u64 {
    let time = u32::try_from(halved).ok().and_then(|times| average.checked_shr(times)).unwrap_or(0);
    let time = if time > MOST { MOST } else { time + CLUSTER - time % CLUSTER };
    time * (1 + conns)
}

impl Policy for LeastTime {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        gather(&view, &mut self.candidates, |_| Known::default());
        for (&at, candidate) in view.eligible.iter().zip(&mut self.candidates) {
            let halved = view.peers[at].idle_timeouts(view.scene.now);
            // The comparison and the turns among equals are those of least_conn, of other numbers.
            candidate.conns = estimate(self.times[at], halved, candidate.conns);
        }
        let picked = picker::least_conn(&mut self.candidates)?;
        settle(&mut view, &self.candidates, picked)
    }

    fn end(&mut self, scene: Scene<'_>, one: &Try, ending: Ending) {
        let until = match self.until {
            Until::Header => one.first_byte,
            Until::LastByte => Some(scene.now),
        };
        if let Some(until) = until.filter(|_| ending == Ending::Completed) {
            self.learn(one.peer, until - one.begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::estimate;
    use crate::policy::tests::Bench;

    #[test]
    fn times_are_clustered_capped_and_halved() {
        assert_eq!(estimate(0, 0, 0), 20);
        assert_eq!([100, 101, 119, 120].map(|ms| estimate(ms, 0, 0)), [120, 120, 120, 140]);
        assert_eq!([5000, 5001, 90_000].map(|ms| estimate(ms, 0, 1)), [2 * 5020, 2 * 5000, 2 * 5000]);
        assert_eq!([0, 1, 3, 64, u64::MAX].map(|halved| estimate(800, halved, 0)), [820, 420, 120, 20, 20]);
    }

    #[test]
    fn the_faster_peer_has_more_connections_in_balance() {
        let mut bench = Bench::new(&[0, 0]);
        let mut policy = bench.policy("least_time");
        bench.answer(policy.as_mut(), 0, 400, 1000);
        bench.answer(policy.as_mut(), 1, 100, 250);
        for _ in 0..100 {
            let at = bench.pick(policy.as_mut()).expect("a pick");
            bench.peers[at].conns += 1;
        }
        let share = bench.peers[1].conns;
        assert!((78..82).contains(&share), "{share}");
    }
}

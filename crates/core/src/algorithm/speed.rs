//! How fast nodes are, as their answers taught.

use super::Work;

/// No engine is slower than another by more than that whatever their load; one that reports requests which it has not
/// would seem so fast that nothing else counted beside it.
const SLOWEST: f64 = 10.0;

/// What a request that others sent counts, against one of ours, while the promise is far: its part in the time per token
/// is in what was learnt of the node already. In full, fast nodes with others' load are left nearly empty.
const OTHERS: f64 = 0.1;

/// Times per output token of the fastest node in µs between which others' requests come to count in full. Users are
/// promised 50 ms as a rule, twenty tokens a second, faster than one reads. Where the fastest node needs three
/// quarters of that the slower ones are about to break the promise, and should get no more than their share.
const NEAR: f64 = 36_000.0;
const FULL: f64 = 40_000.0;

/// An empty step takes as long as so many requests add to it.
const EMPTY: f64 = 50.0;

/// What a request of others adds to a step, against one of ours.
const ADDS: f64 = 0.9;

/// The requests by which a time per token is divided to tell nodes apart whatever their load: `own` ones and those of
/// `others`, and what an empty step takes, in requests.
pub fn requests(own: f64, others: f64) -> f64 {
    EMPTY + own + ADDS * others
}

/// How fast a node is: times in µs, 0 for those that its answers have not taught yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    /// [Time per output token](crate::board::Learned::tpot).
    pub tpot: f64,
    /// The same for each request that [was there](requests): how slow the node is whatever its load.
    pub slope: f64,
    /// [Time to the first token](crate::board::Learned::prefill) for each token of prompts.
    pub prefill: f64,
}

/// What the work of a node is measured by: the best of all nodes.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    /// One by each of the shortest times; a product takes less time than a quotient.
    tpot: f64,
    slope: f64,
    prefill: f64,
    /// What a request of others counts, 0.1 to 1.
    others: f64,
}

impl Best {
    /// The best of these nodes in each respect.
    pub fn of(nodes: &[Speed]) -> Self {
        // 1 where none has taught anything.
        let least = |time: fn(&Speed) -> f64| {
            nodes.iter().map(time).filter(|time| *time > 0.0).reduce(f64::min).unwrap_or(1.0)
        };
        let fastest = least(|speed| speed.tpot);
        let near = ((fastest - NEAR) / (FULL - NEAR)).clamp(0.0, 1.0);
        Best {
            tpot: fastest.recip(),
            slope: least(|speed| speed.slope).recip(),
            prefill: least(|speed| speed.prefill).recip(),
            others: OTHERS + (1.0 - OTHERS) * near,
        }
    }

    /// The work of a node that is as fast as `speed`, with so many prompt tokens and requests of ours and requests of
    /// `others`. What it has not taught yet is taken to be as good as the best.
    pub fn work(&self, speed: &Speed, prefill: f64, active: f64, others: f64) -> Work {
        let ratio = |time: f64, best: f64| (time * best).clamp(1.0, SLOWEST);
        let wait = ratio(speed.prefill, self.prefill);
        Work {
            prefill,
            requests: active + self.others * others,
            pace: (speed.tpot * self.tpot).max(1.0).sqrt(),
            slowness: (ratio(speed.slope, self.slope) * wait.sqrt()).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: Speed = Speed { tpot: 20_000.0, slope: 200.0, prefill: 80.0 };

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn the_work_is_by_the_best_of_all() {
        let slow = Speed { tpot: 45_000.0, slope: 320.0, prefill: 1e9 };
        let best = Best::of(&[slow, SPEED]);
        let work = best.work(&slow, 140.0, 2.0, 5.0);
        assert_eq!((work.prefill, work.requests), (140.0, 2.5));
        assert!(close(work.pace, 2.25f64.sqrt()), "{work:?}");
        assert!(
            close(work.slowness, 1.6f64.sqrt() * 10f64.powf(0.25)),
            "no engine waits as long as that: {work:?}"
        );
    }

    #[test]
    fn who_has_taught_nothing_is_taken_for_the_best() {
        let unknown = Speed::default();
        for nodes in [&[unknown, SPEED][..], &[unknown]] {
            let work = Best::of(nodes).work(&unknown, 0.0, 0.0, 0.0);
            assert_eq!((work.pace, work.slowness), (1.0, 1.0));
        }
    }

    #[test]
    fn requests_of_others_come_to_count_in_full_as_the_promise_comes_near() {
        for (tpot, share) in [(1.0, 0.1), (36_000.0, 0.1), (38_000.0, 0.55), (40_000.0, 1.0), (90_000.0, 1.0)]
        {
            let speed = Speed { tpot, ..SPEED };
            let work = Best::of(&[speed]).work(&speed, 0.0, 3.0, 10.0);
            assert!(close(work.requests, 3.0 + share * 10.0), "{tpot} µs: {work:?}");
        }
    }
}

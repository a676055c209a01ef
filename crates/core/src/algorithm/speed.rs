//! How fast nodes are, as their answers taught.

use super::Work;
use crate::median::median;

/// No engine is slower than another by more than that whatever their load; one that reports requests which it has not
/// would seem so fast that nothing else counted beside it.
const SLOWEST: f64 = 10.0;

/// What a request that others sent counts, against one of ours, while the promise is far: its part in the time per token
/// is in what was learnt of the node already. In full, fast nodes with others' load are left nearly empty.
const OTHERS: f64 = 0.1;

/// Times per output token of the fastest node in µs between which others' requests come to count in full. Users are
/// promised 50 ms as a rule, twenty tokens a second, faster than one reads. Where the fastest node needs two thirds of that
/// the slower ones are about to break the promise, and should get no more than their share.
const NEAR: f64 = 34_000.0;
const FULL: f64 = 38_000.0;

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

/// What the work of a node is measured by: the best of all nodes, and what is usual among them.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    tpot: Yardstick,
    slope: Yardstick,
    prefill: Yardstick,
    /// What a request of others counts, 0.1 to 1.
    others: f64,
}

/// What one time of a node is measured by.
#[derive(Debug, Clone, Copy)]
struct Yardstick {
    /// One by the shortest time: a product takes fewer instructions than a quotient. 1 where no node has taught any.
    best: f64,
    /// The median of all times, which stands for a time that a node has not taught.
    median: f64,
}

impl Yardstick {
    /// Of the times above 0; `sorted` is room to compute in.
    fn of(times: impl Iterator<Item = f64>, sorted: &mut Vec<f64>) -> Self {
        sorted.clear();
        sorted.extend(times.filter(|time| *time > 0.0));
        let best = sorted.iter().copied().reduce(f64::min).unwrap_or(1.0);
        Yardstick { best: best.recip(), median: median(sorted).unwrap_or(best) }
    }

    /// A time by the best one.
    fn ratio(&self, time: f64) -> f64 {
        (if time > 0.0 { time } else { self.median }) * self.best
    }
}

impl Best {
    /// The best of these nodes in each respect; `sorted` is room to compute in.
    pub fn of(nodes: &[Speed], sorted: &mut Vec<f64>) -> Self {
        let tpot = Yardstick::of(nodes.iter().map(|speed| speed.tpot), sorted);
        let near = ((tpot.best.recip() - NEAR) / (FULL - NEAR)).clamp(0.0, 1.0);
        Best {
            tpot,
            slope: Yardstick::of(nodes.iter().map(|speed| speed.slope), sorted),
            prefill: Yardstick::of(nodes.iter().map(|speed| speed.prefill), sorted),
            others: OTHERS + (1.0 - OTHERS) * near,
        }
    }

    /// The weight of `requests` requests of others, in requests of ours.
    pub fn others(&self, requests: f64) -> f64 {
        self.others * requests
    }

    /// The work of an idle node that is as fast as `speed`. What the node has not taught is taken to be the median of all.
    pub fn work(&self, speed: &Speed) -> Work {
        let ratio = |time: f64, by: &Yardstick| by.ratio(time).clamp(1.0, SLOWEST);
        let wait = ratio(speed.prefill, &self.prefill);
        let slowness = (ratio(speed.slope, &self.slope) * wait.sqrt()).sqrt();
        Work::of_speed(self.tpot.ratio(speed.tpot).max(1.0).sqrt(), slowness)
    }

    /// The work of an idle node that is as fast as the best in each respect.
    pub fn best(&self) -> Work {
        Work::of_speed(1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: Speed = Speed { tpot: 20_000.0, slope: 200.0, prefill: 80.0 };

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    fn best_of(nodes: &[Speed]) -> Best {
        Best::of(nodes, &mut Vec::new())
    }

    #[test]
    fn the_work_is_by_the_best_of_all() {
        let slow = Speed { tpot: 45_000.0, slope: 320.0, prefill: 1e9 };
        let work = best_of(&[slow, SPEED]).work(&slow);
        assert!(close(work.pace, 2.25f64.sqrt()), "{work:?}");
        assert!(
            close(work.slowness, 1.6f64.sqrt() * 10f64.powf(0.25)),
            "no engine waits as long as that: {work:?}"
        );
    }

    #[test]
    fn a_node_that_has_taught_nothing_is_taken_for_the_median() {
        let unknown = Speed::default();
        let times =
            |factor: f64| Speed { tpot: 20_000.0 * factor, slope: 200.0 * factor, prefill: 80.0 * factor };
        let best = best_of(&[times(1.0), unknown, times(2.0), times(4.0)]);
        let [work, median] = [unknown, times(2.0)].map(|speed| best.work(&speed));
        assert_eq!((work, best.work(&times(1.0))), (median, best.best()));
        let alone = best_of(&[unknown]).work(&unknown);
        assert_eq!((alone.pace, alone.slowness), (1.0, 1.0));
    }

    #[test]
    fn requests_of_others_come_to_count_in_full_as_the_promise_comes_near() {
        for (tpot, share) in [(1.0, 0.1), (34_000.0, 0.1), (36_000.0, 0.55), (38_000.0, 1.0), (90_000.0, 1.0)]
        {
            let others = best_of(&[Speed { tpot, ..SPEED }]).others(10.0);
            assert!((others - share * 10.0).abs() < 1e-9, "{tpot} µs: {others}");
        }
    }
}

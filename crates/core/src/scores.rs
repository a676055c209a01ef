//! The scores of the peers of one group (the primary or the backup servers of an upstream), kept by each worker
//! and made anew when metrics change or grow stale, so that a pick only looks them up.

use crate::algorithm::{Nodes, Params, Weights};
use crate::board::{Board, Sample};
use crate::config::Balance;
use crate::load::Load;
use crate::picker::Known;

/// Which samples count.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// The time, in ms of the monotonic clock.
    pub now: u64,
    /// The age in ms above which a sample counts no more.
    pub stale: u64,
}

/// The scores of a group of peers.
#[derive(Debug, Default)]
pub struct Scores {
    /// One for each peer, in the order of the group.
    known: Vec<Known>,
    /// The board's version that they were made of; None if they were made of nothing yet.
    version: Option<u64>,
    /// When a sample grows stale and they must be made anew though the version stays, in ms.
    expires: u64,
    /// The loads of the fresh peers, and room to compute in.
    loads: Vec<Load>,
    nodes: Nodes,
    values: Vec<f64>,
    sorted: Vec<f64>,
}

impl Scores {
    /// Room for `n` peers: what follows allocates nothing for so many.
    pub fn with_capacity(n: usize) -> Self {
        Scores {
            known: Vec::with_capacity(n),
            version: None,
            expires: 0,
            loads: Vec::with_capacity(n),
            nodes: Nodes::with_capacity(n),
            values: Vec::with_capacity(n),
            sorted: Vec::with_capacity(n),
        }
    }

    /// Says that the peers of the group are others now.
    pub fn forget(&mut self) {
        self.version = None;
    }

    /// What is known of the peer at `index` of the group. Its score is None where no peer has fresh metrics that the
    /// algorithm can use, and the median of the others' where only its own are not fresh.
    pub fn get(&self, index: usize) -> Known {
        self.known.get(index).copied().unwrap_or_default()
    }

    /// Makes the scores anew if the metrics of `upstream` changed or grew stale. `slots` are those of the
    /// group's peers, None for a peer that has none.
    pub fn refresh(
        &mut self,
        how: &Balance,
        board: &Board,
        upstream: usize,
        slots: &[Option<u32>],
        at: Freshness,
    ) {
        let version = board.version(upstream);
        if self.version == Some(version) && at.now < self.expires {
            return;
        }
        self.version = Some(version);
        self.expires = u64::MAX;
        self.known.clear();
        self.loads.clear();
        for slot in slots {
            let sample = fresh_sample(board, *slot, at);
            self.known.push(Known { fresh: sample.is_some(), ..Known::default() });
            if let Some(sample) = sample {
                self.loads.push(sample.load);
                self.expires = self.expires.min(sample.at.saturating_add(at.stale).saturating_add(1));
            }
        }
        self.score(how);
    }

    /// Scores the fresh peers among themselves and gives the others the median.
    fn score(&mut self, how: &Balance) {
        let Some(params) = self.fill(&how.params) else { return };
        self.values.clear();
        self.values.resize(self.loads.len(), 0.0);
        if !how.algorithm.score(&params, &mut self.nodes, &mut self.values) {
            return;
        }
        self.sorted.clear();
        self.sorted.extend(&self.values);
        let median = median(&mut self.sorted);
        let mut values = self.values.iter().copied();
        for known in &mut self.known {
            known.score = if known.fresh { values.next() } else { median };
        }
    }

    /// Fills the columns: what a peer does not report is taken to be the median of those that do; a signal that
    /// none reports loses its weight to the others. None if no signal with a weight is left.
    fn fill(&mut self, params: &Params) -> Option<Params> {
        let Scores { loads, nodes, sorted, .. } = self;
        let mut known = |weight: f64, column: &mut Vec<f64>, read: fn(&Load) -> Option<f64>| {
            if fill_column(loads, column, sorted, read) { weight } else { 0.0 }
        };
        let given = params.weights;
        let left = Weights {
            waiting: known(given.waiting, &mut nodes.waiting, |load| load.waiting),
            cache: known(given.cache, &mut nodes.cache, |load| load.cache),
            running: known(given.running, &mut nodes.running, |load| load.running),
        };
        let weights = if left == given { given } else { left.rescaled(given.sum()) };
        (left.sum() > 0.0).then_some(Params { weights, ..*params })
    }
}

/// Reads one signal of all peers into a column; false, and all 0, if none reports it.
fn fill_column(
    loads: &[Load],
    column: &mut Vec<f64>,
    sorted: &mut Vec<f64>,
    read: fn(&Load) -> Option<f64>,
) -> bool {
    sorted.clear();
    sorted.extend(loads.iter().filter_map(read));
    let typical = median(sorted);
    column.clear();
    column.extend(loads.iter().map(|load| read(load).or(typical).unwrap_or(0.0)));
    typical.is_some()
}

/// The median, the lower one of two; None of nothing. Sorts in place.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// The sample of a slot unless it is stale.
fn fresh_sample(board: &Board, slot: Option<u32>, at: Freshness) -> Option<Sample> {
    let sample = board.slot(slot? as usize)?.sample()?;
    (sample.age(at.now) <= at.stale).then_some(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Outcome, Shape};
    use std::sync::atomic::AtomicU64;

    struct Pool {
        words: Vec<AtomicU64>,
        slots: Vec<Option<u32>>,
    }

    impl Pool {
        fn new(n: u64) -> Self {
            let shape = Shape { upstreams: 1, slots: n as usize, rows: 1 };
            let words: Vec<_> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
            let board = Board::format(&words, shape).unwrap();
            let slots = (1..=n).map(|key| board.claim(key, 0, 0).map(|slot| slot as u32)).collect();
            Pool { words, slots }
        }

        fn report(&self, peer: usize, at: u64, waiting: Option<f64>, cache: Option<f64>) {
            let load = Load { waiting, cache, running: None };
            let outcome = Outcome { at, took: 1, result: Ok((0, load)) };
            Board::open(&self.words).unwrap().publish(self.slots[peer].unwrap() as usize, &outcome);
        }

        fn scores(&self, scores: &mut Scores, text: &str, now: u64) -> Vec<Option<f64>> {
            let how = Balance::parse(&text.split(' ').collect::<Vec<_>>()).unwrap();
            let board = Board::open(&self.words).unwrap();
            scores.refresh(&how, &board, 0, &self.slots, Freshness { now, stale: 1000 });
            (0..self.slots.len()).map(|i| scores.get(i).score).collect()
        }
    }

    #[test]
    fn fresh_peers_are_scored_and_the_others_take_the_median() {
        let pool = Pool::new(4);
        let mut scores = Scores::with_capacity(4);
        assert_eq!(pool.scores(&mut scores, "s1", 0), [None; 4], "nothing is known yet");
        for (peer, cache) in [(0, 0.1), (1, 0.3), (2, 0.9)] {
            pool.report(peer, 100, Some(0.0), Some(cache));
        }
        let got = pool.scores(&mut scores, "s1 waiting=0 cache=1", 200);
        assert_eq!(got, [Some(0.9), Some(0.7), Some(1.0 - 0.9), Some(0.7)]);
        assert!(scores.get(0).fresh && !scores.get(3).fresh);
    }

    #[test]
    fn a_sample_grows_stale_without_a_new_one() {
        let pool = Pool::new(2);
        let mut scores = Scores::with_capacity(2);
        pool.report(0, 100, Some(0.0), Some(0.2));
        pool.report(1, 600, Some(0.0), Some(0.4));
        let cache_only = "s1 waiting=0 cache=1";
        assert_eq!(pool.scores(&mut scores, cache_only, 1100), [Some(0.8), Some(0.6)]);
        assert_eq!(pool.scores(&mut scores, cache_only, 1101), [Some(0.6), Some(0.6)]);
        assert_eq!(pool.scores(&mut scores, cache_only, 1601), [None, None]);
    }

    #[test]
    fn a_signal_that_nobody_reports_loses_its_weight() {
        let pool = Pool::new(2);
        let mut scores = Scores::with_capacity(2);
        pool.report(0, 100, Some(8.0), None);
        pool.report(1, 100, Some(2.0), None);
        assert_eq!(pool.scores(&mut scores, "s1 waiting=0.2 cache=0.8", 100), [Some(0.0), Some(1.0)]);
        scores.forget();
        assert_eq!(
            pool.scores(&mut scores, "s1 waiting=0 cache=1", 100),
            [None, None],
            "nothing is left to score by"
        );
        scores.forget();
        assert_eq!(pool.scores(&mut scores, "least_conn", 100), [None, None]);
    }
}

//! The scores of the peers of one group (the primary or the backup servers of an upstream), kept by each worker
//! and made anew when metrics change or grow stale, so that a pick only looks them up.

mod work;

use crate::algorithm::{Nodes, Params, Rule, Weights};
use crate::board::{Board, InFlight, Sample};
use crate::config::Balance;
use crate::load::Load;
use crate::picker::{Known, Standing};

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
    /// Requests of others at each peer, and room to add up our own.
    background: Vec<f64>,
    in_flight: Vec<InFlight>,
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
            background: Vec::with_capacity(n),
            in_flight: Vec::with_capacity(n),
        }
    }

    /// Says that the peers of the group are others now.
    pub fn forget(&mut self) {
        self.version = None;
    }

    /// What is known of the peer at `index` of the group. Its score is None where no peer has fresh metrics that the
    /// algorithm can use and where its engine is closed, and the median of the others' where only its own are not fresh.
    pub fn get(&self, index: usize) -> Known {
        self.known.get(index).copied().unwrap_or_default()
    }

    /// Brings up to date what a pick of the algorithm needs. `slots` are those of the group's peers, None for a peer that
    /// has none.
    pub fn refresh(
        &mut self,
        how: &Balance,
        board: &Board,
        upstream: usize,
        slots: &[Option<u32>],
        at: Freshness,
    ) {
        self.follow_metrics(how, board, upstream, slots, at);
        if matches!(how.algorithm.rule, Rule::LeastWork) {
            self.follow_work(board, slots);
        }
    }

    /// Makes the scores anew if the metrics of `upstream` changed or grew stale.
    fn follow_metrics(
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
        self.background.clear();
        for slot in slots {
            let sample = fresh_sample(board, *slot, at);
            let closed = sample.is_some_and(|sample| sample.load.closed);
            let standing = if closed { Standing::Closed } else { Standing::Ready };
            self.known.push(Known { fresh: sample.is_some(), standing, ..Known::default() });
            self.background.push(sample.and_then(|sample| sample.background()).unwrap_or(0.0));
            if let Some(sample) = sample {
                // Asleep it looks idle, and the others would look busy beside it.
                if !closed {
                    self.loads.push(sample.load);
                }
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
            known.score = match (known.standing, known.fresh) {
                (Standing::Closed, _) => None,
                (_, true) => values.next(),
                (_, false) => median,
            };
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
mod tests;

//! The scores of the peers of one group (the primary or the backup servers of an upstream), kept by each worker
//! and made anew when metrics change or grow stale, so that a pick only looks them up.

mod by_model;
mod typical;
mod work;

pub use by_model::{Asked, Verdict};

use crate::algorithm::{Nodes, Params, Rule, Weights};
use crate::board::{Board, Condition, Packed, Sample, Served};
use crate::config::{Balance, Block, Limit};
use crate::engine::Engine;
use crate::load::{Load, Signal};
use crate::picker::{Known, Standing};
use by_model::ByModel;
use typical::Typical;
use work::Pace;

/// Which samples count.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// The time, in ms of the monotonic clock.
    pub now: u64,
    /// The age in ms above which a sample counts no more.
    pub stale: u64,
}

/// Numbers that change whenever something of what is known of a group's peers becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    /// For all but the next.
    pub remade: u64,
    /// For what is in flight at the peers, which is counted for each request.
    pub counted: u64,
}

/// The scores of a group of peers.
#[derive(Debug, Default)]
pub struct Scores {
    /// One for each peer, in the order of the group.
    known: Vec<Known>,
    /// The board's version that they were made of; None if they were made of nothing yet.
    version: Option<u64>,
    versions: Versions,
    /// When a sample grows stale and they must be made anew though the version stays, in ms.
    expires: u64,
    /// What each peer that is not closed reports, or is taken to.
    loads: Vec<Load>,
    /// The requests of others at each peer, or what they are taken to be; None if no peer says.
    background: Vec<Option<f64>>,
    by_model: ByModel,
    pace: Pace,
    /// Room to compute in.
    nodes: Nodes,
    values: Vec<f64>,
    sorted: Vec<f64>,
    in_flight: Vec<Packed>,
}

impl Scores {
    /// Room for `n` peers: what follows allocates nothing for so many.
    pub fn with_capacity(n: usize) -> Self {
        let mut scores = Scores::default();
        scores.make_room(n);
        scores
    }

    /// Makes room for `n` peers.
    pub fn make_room(&mut self, n: usize) {
        let more = n.saturating_sub(self.known.len());
        self.known.reserve(more);
        for list in [&mut self.values, &mut self.sorted] {
            list.reserve(n.saturating_sub(list.len()));
        }
        self.loads.reserve(n.saturating_sub(self.loads.len()));
        self.background.reserve(n.saturating_sub(self.background.len()));
        self.in_flight.reserve(n.saturating_sub(self.in_flight.len()));
        self.by_model.reserve(n);
        self.nodes.reserve(n);
        self.pace.reserve(n);
    }

    /// Says that the peers of the group are others now.
    pub fn forget(&mut self) {
        self.version = None;
    }

    /// What is known of the peer at `index` of the group. Its score is None where no peer has fresh metrics that the
    /// algorithm can use and where its engine is closed; where only its own are not fresh it is taken to be a typical one
    /// of the others.
    #[inline]
    pub fn get(&self, index: usize) -> Known {
        self.known.get(index).copied().unwrap_or_default()
    }

    /// What is known of all peers, in the order of the group.
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// Which version of it this is.
    pub fn versions(&self) -> Versions {
        self.versions
    }

    /// The requests of others at the peer at `index` of the group, as far as its metrics or those of the others tell.
    pub fn others(&self, index: usize) -> f64 {
        self.background.get(index).copied().flatten().unwrap_or(0.0)
    }

    /// Whether it matters which model a request asks for.
    pub fn models_matter(&self, block: &Block) -> bool {
        !block.bypass && self.by_model.matter(&block.models)
    }

    /// What the peers say of a model, by its key; of None, that a request has no model that is known.
    pub fn ask(&mut self, model: Option<u64>) -> Asked {
        model.map_or_else(Asked::default, |key| self.by_model.ask(key, &mut self.sorted))
    }

    /// What is to be done with a request, as far as this group goes.
    pub fn verdict(&self, asked: &Asked, block: &Block) -> Verdict {
        self.by_model.verdict(asked, &block.models)
    }

    /// What is known of the peer at `index` for a request; None if it does not serve the model.
    #[inline]
    pub fn get_for(&self, index: usize, asked: &Asked) -> Option<Known> {
        let known = self.get(index);
        if asked.is_for_any() { Some(known) } else { self.by_model.known(index, asked, known) }
    }

    /// Whether the peer at `index` serves the model of a request.
    #[inline(never)]
    pub(crate) fn serves(&self, index: usize, asked: &Asked) -> bool {
        self.get_for(index, asked).is_some()
    }

    /// What is known of the peer at `index`, to be shown. Where the algorithm goes by work, the score is the least work of
    /// all peers by that of this one: 1 for the best.
    pub fn shown(&self, index: usize, least: Option<f64>) -> Known {
        let known = self.get(index);
        if known.rated {
            return known;
        }
        let relative = known.work.zip(least).map(|(work, least)| least / work.cost(0.0));
        Known { score: relative.filter(|score| score.is_finite()).or(known.score), ..known }
    }

    /// The least work of all peers that are up, as `is_up` says by their index, for [`Scores::shown`]; None where the algorithm
    /// does not go by work.
    pub fn least_work(&self, is_up: impl Fn(usize) -> bool) -> Option<f64> {
        let up = self.known.iter().enumerate().filter(|(index, _)| is_up(*index));
        up.filter_map(|(_, known)| known.work).map(|work| work.cost(0.0)).reduce(f64::min)
    }

    /// Brings up to date what a pick of the algorithm needs. `slots` are those of the group's peers, None for a peer
    /// that has none.
    pub fn refresh(
        &mut self,
        block: &Block,
        board: &Board,
        upstream: usize,
        slots: &[Option<u32>],
        at: Freshness,
    ) {
        self.follow_metrics(block, board, upstream, slots, at);
        if matches!(block.balance.algorithm.rule, Rule::LeastWork) {
            self.follow_work(board, slots, block.balance.silence_ms(), at.now);
        }
    }

    /// Makes the scores anew if the metrics of `upstream` changed or grew stale. This is what there is to know of models.
    pub fn follow_metrics(
        &mut self,
        block: &Block,
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
        self.versions.remade = self.versions.remade.wrapping_add(1);
        self.expires = u64::MAX;
        self.pace.forget();
        self.known.clear();
        self.loads.clear();
        self.background.clear();
        self.by_model.clear(block.models.given);
        for slot in slots {
            let sample = fresh_sample(board, *slot, at);
            let known = self.judged(known_of(sample, &block.limit), &block.balance, board, *slot, at.now);
            // Asleep it looks idle, and the others would look busy beside it.
            let open = sample.filter(|_| known.standing != Standing::Closed);
            if known.standing != Standing::Closed {
                self.loads.push(sample.map(|sample| sample.load).unwrap_or_default());
            }
            let own_score = self.by_model.push(sample.map(|sample| models_of(sample, board, *slot)));
            self.known.push(Known { rated: own_score.is_some(), score: own_score, ..known });
            self.background.push(open.and_then(|sample| sample.background()));
            if let Some(sample) = sample {
                self.expires = self.expires.min(sample.at.saturating_add(at.stale).saturating_add(1));
            }
        }
        let typical = Typical::of(&self.loads, &self.background, &mut self.sorted);
        self.complete(&typical, board, slots);
        self.score(&block.balance, &typical);
        self.by_model.complete(&mut self.known, typical.load.is_unknown(), &mut self.sorted);
    }

    /// What is known of a peer, with what its own answers show of its health.
    fn judged(&mut self, known: Known, how: &Balance, board: &Board, slot: Option<u32>, now: u64) -> Known {
        // least_conn is nginx's own, which counts failures by `max_fails`.
        let judges = !matches!(how.algorithm.rule, Rule::LeastConn);
        let slot = slot.filter(|_| judges).and_then(|slot| board.slot(slot as usize));
        match slot.map_or(Condition::Well, |slot| slot.health().condition(now)) {
            Condition::Well => known,
            Condition::OnTrial => Known { trial: true, ..known },
            Condition::Fails { until } => {
                self.expires = self.expires.min(until);
                Known { standing: known.standing.max(Standing::Failing), ..known }
            }
        }
    }

    /// Puts down what the peers without fresh metrics are taken to report.
    fn complete(&mut self, typical: &Typical, board: &Board, slots: &[Option<u32>]) {
        let open = self.known.iter().zip(slots).filter(|(known, _)| known.standing != Standing::Closed);
        for (load, (known, slot)) in self.loads.iter_mut().zip(open) {
            if !known.fresh {
                let own = slot.map_or(0, |slot| board.in_flight(slot as usize).active);
                *load = typical.with(own as f64);
            }
        }
        self.background.iter_mut().for_each(|known| *known = known.or(typical.background));
    }

    /// Scores the peers that are not closed.
    fn score(&mut self, how: &Balance, typical: &Typical) {
        let Some(params) = usable(&how.params, &typical.load) else { return };
        for signal in Signal::ALL {
            // What a peer does not report is taken to be the median of those that do.
            let missing = typical.load.get(signal).unwrap_or(0.0);
            let column = self.nodes.column(signal);
            column.clear();
            column.extend(self.loads.iter().map(|load| load.get(signal).unwrap_or(missing)));
        }
        self.values.clear();
        self.values.resize(self.loads.len(), 0.0);
        if how.algorithm.score(&params, &mut self.nodes, &mut self.values) {
            let open = self.known.iter_mut().filter(|known| known.standing != Standing::Closed);
            let scored = open.zip(&self.values).filter(|(known, _)| !known.rated);
            // Of numbers that no engine means (1e200 requests) the sums run over, and the score would be none.
            scored.for_each(|(known, value)| known.score = value.is_finite().then_some(*value));
        }
    }
}

/// Whether the engine of a sample reports by model, and what it names.
fn models_of(sample: Sample, board: &Board, slot: Option<u32>) -> (bool, Option<Served>) {
    let by_model = Engine::from_index(sample.engine).is_some_and(|engine| engine.by_model);
    (by_model, slot.and_then(|slot| board.slot(slot as usize)?.served()))
}

/// What a sample tells before the scores are known. Without one a peer is over no limit.
fn known_of(sample: Option<Sample>, limit: &Limit) -> Known {
    let standing = match sample.map(|sample| sample.load) {
        Some(load) if load.closed => Standing::Closed,
        Some(load) if limit.is_exceeded_by(&load) => Standing::Over,
        _ => Standing::Ready,
    };
    Known { fresh: sample.is_some(), standing, ..Known::default() }
}

/// The parameters where only the signals of `typical` are known: one that no peer reports loses its weight to the
/// others. None if none with a weight is left.
fn usable(params: &Params, typical: &Load) -> Option<Params> {
    let given = params.weights;
    let left = |signal, weight| if typical.get(signal).is_some() { weight } else { 0.0 };
    let left = Weights {
        waiting: left(Signal::Waiting, given.waiting),
        cache: left(Signal::Cache, given.cache),
        running: left(Signal::Running, given.running),
    };
    let weights = if left == given { given } else { left.rescaled(given.sum()) };
    (left.sum() > 0.0).then_some(Params { weights, ..*params })
}

/// The sample of a slot unless it is stale.
fn fresh_sample(board: &Board, slot: Option<u32>, at: Freshness) -> Option<Sample> {
    let sample = board.slot(slot? as usize)?.sample()?;
    (sample.age(at.now) <= at.stale).then_some(sample)
}

#[cfg(test)]
mod tests;

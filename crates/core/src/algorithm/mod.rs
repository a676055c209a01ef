//! The scoring algorithms: one file each, and the table [`ALL`] that names them.
//!
//! An algorithm turns what the nodes of a pool report into one score a node, higher for a better one. The
//! formulas are those of the published metric-weighted scheduler (F5 DevCentral, "LLM inference scheduler");
//! `golden/scores.jsonl` holds its own results, which the tests reproduce.

pub mod least_conn;
pub mod least_work;
pub mod normalise;
pub mod s1;
pub mod s1_adaptive;
pub mod s1_adaptive_distribution;
pub mod s1_advanced;
pub mod s1_balanced;
pub mod s1_dynamic_waiting;
pub mod s1_enhanced;
pub mod s1_nonlinear;
pub mod s1_precise;
pub mod s1_ratio;
pub mod s2;
pub mod s2_adaptive;
pub mod s2_advanced;
pub mod s2_dynamic_waiting;
pub mod s2_enhanced;
pub mod s2_nonlinear;
mod speed;
mod weights;

pub use least_work::Work;
pub use speed::{Best, Speed, requests};
pub use weights::{Params, Weights};

use crate::load::Signal;

/// Every algorithm that a `tblb` directive can name.
pub static ALL: &[&Algorithm] = &[
    &least_work::ALGORITHM,
    &least_conn::ALGORITHM,
    &s1::ALGORITHM,
    &s1_enhanced::ALGORITHM,
    &s1_adaptive::ALGORITHM,
    &s1_ratio::ALGORITHM,
    &s1_precise::ALGORITHM,
    &s1_nonlinear::ALGORITHM,
    &s1_balanced::ALGORITHM,
    &s1_adaptive_distribution::ALGORITHM,
    &s1_advanced::ALGORITHM,
    &s1_dynamic_waiting::ALGORITHM,
    &s2::ALGORITHM,
    &s2_enhanced::ALGORITHM,
    &s2_nonlinear::ALGORITHM,
    &s2_adaptive::ALGORITHM,
    &s2_advanced::ALGORITHM,
    &s2_dynamic_waiting::ALGORITHM,
];

/// The algorithm of a `tblb` directive that names none.
pub static DEFAULT: &Algorithm = &least_work::ALGORITHM;

/// One row of the table of algorithms.
#[derive(Debug)]
pub struct Algorithm {
    /// The word in the directive, the status page and the simulator.
    pub name: &'static str,
    /// What it computes, in one line, for the documentation.
    pub formula: &'static str,
    /// When to choose it, in one line, for the documentation.
    pub purpose: &'static str,
    /// The weights where the user gives none. A weight of 0 marks a signal that the algorithm never reads.
    pub weights: Weights,
    /// How it decides.
    pub rule: Rule,
}

/// How an algorithm decides.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// By nginx's own count of connections.
    LeastConn,
    /// By the work that is left at each node, by our own requests and what their answers taught.
    LeastWork,
    /// By a score from what the nodes report.
    Score(Score),
}

/// Computes scores: reads (and may overwrite) the columns of `nodes`, and fills `scores`, one a node. Scores
/// are finite for finite input. Allocates nothing.
pub type Score = fn(&Params, &mut Nodes, scores: &mut [f64]);

impl Algorithm {
    /// The algorithm of that name.
    pub fn by_name(name: &str) -> Option<&'static Algorithm> {
        ALL.iter().copied().find(|a| a.name == name)
    }

    /// Scores `nodes` into `scores` and returns true; false if this algorithm has no scores.
    pub fn score(&self, params: &Params, nodes: &mut Nodes, scores: &mut [f64]) -> bool {
        match self.rule {
            Rule::LeastConn | Rule::LeastWork => false,
            Rule::Score(score) => {
                score(params, nodes, scores);
                true
            }
        }
    }
}

/// What the nodes of a pool report, a column a signal, all of one length; the input of a score and, since
/// normalising is done in place, its scratch space.
#[derive(Debug, Default, Clone)]
pub struct Nodes {
    /// Requests queued in the engine, ≥ 0.
    pub waiting: Vec<f64>,
    /// KV-cache use, 0 to 1.
    pub cache: Vec<f64>,
    /// Requests being executed, ≥ 0.
    pub running: Vec<f64>,
}

impl Nodes {
    /// Room for `n` nodes, so that [`Nodes::push`] allocates nothing until they are there.
    pub fn with_capacity(n: usize) -> Self {
        Nodes { waiting: Vec::with_capacity(n), cache: Vec::with_capacity(n), running: Vec::with_capacity(n) }
    }

    /// Makes room for `n` nodes.
    pub fn reserve(&mut self, n: usize) {
        for column in [&mut self.waiting, &mut self.cache, &mut self.running] {
            column.reserve(n.saturating_sub(column.len()));
        }
    }

    /// Forgets the nodes and keeps the room.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.cache.clear();
        self.running.clear();
    }

    /// Adds a node.
    pub fn push(&mut self, waiting: f64, cache: f64, running: f64) {
        self.waiting.push(waiting);
        self.cache.push(cache);
        self.running.push(running);
    }

    /// The column of a signal.
    pub fn column(&mut self, signal: Signal) -> &mut Vec<f64> {
        match signal {
            Signal::Waiting => &mut self.waiting,
            Signal::Running => &mut self.running,
            Signal::Cache => &mut self.cache,
        }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Fills `scores` with Σ weight·(1 − column), clamped to [0, 1]: the sum in which most scores end. A weight of
/// 0 skips its column.
fn weighted_sum(weights: &Weights, nodes: &Nodes, scores: &mut [f64]) {
    for (i, score) in scores.iter_mut().enumerate() {
        let mut sum = weights.waiting * (1.0 - nodes.waiting[i]) + weights.cache * (1.0 - nodes.cache[i]);
        if weights.running != 0.0 {
            sum += weights.running * (1.0 - nodes.running[i]);
        }
        *score = sum.clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests;

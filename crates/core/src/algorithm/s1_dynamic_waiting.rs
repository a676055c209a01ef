//! `s1_dynamic_waiting`: queue length and cache use by their distribution, and weights that follow the longest queue.

use super::{
    Algorithm, Nodes, Params, Rule, Weights,
    normalise::{Kind, distribution},
    weighted_sum,
    weights::{self, Signals},
};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_dynamic_waiting",
    formula: "s1_adaptive_distribution, weights that move to waiting as the longest queue grows",
    purpose: "load that swings between idle and overload, of engines whose running tells little",
    weights: Weights { waiting: 0.3, cache: 0.7, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    let adjusted = weights::dynamic(params, &nodes.waiting, Signals::Two);
    distribution(Kind::Waiting, &mut nodes.waiting);
    distribution(Kind::Cache, &mut nodes.cache);
    weighted_sum(&adjusted, nodes, scores);
}

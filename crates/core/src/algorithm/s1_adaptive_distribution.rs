//! `s1_adaptive_distribution`: queue length and cache use by their distribution.

use super::{
    Algorithm, Nodes, Params, Rule, Weights,
    normalise::{Kind, distribution},
    weighted_sum,
};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_adaptive_distribution",
    formula: "w_a·(1 − distribution(waiting)) + w_b·(1 − distribution(cache))",
    purpose: "many nodes with a few outliers",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    distribution(Kind::Waiting, &mut nodes.waiting);
    distribution(Kind::Cache, &mut nodes.cache);
    weighted_sum(&params.weights.of_two(), nodes, scores);
}

//! `s1_advanced`: queue length and cache use by their distribution, and weights that follow their variation.

use super::{
    Algorithm, Nodes, Params, Rule, Weights,
    normalise::{Kind, distribution},
    weighted_sum,
    weights::{self, Signals},
};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_advanced",
    formula: "s1_adaptive_distribution, weights by variation",
    purpose: "many nodes, and load that shifts between them",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    let adjusted = weights::by_variation(&params.weights, nodes, Signals::Two);
    distribution(Kind::Waiting, &mut nodes.waiting);
    distribution(Kind::Cache, &mut nodes.cache);
    weighted_sum(&adjusted, nodes, scores);
}

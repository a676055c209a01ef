//! `s2_advanced`: all three signals by their distribution, and weights that follow their variation.

use super::{
    Algorithm, Nodes, Params, Rule, Weights,
    normalise::{Kind, distribution},
    weighted_sum,
    weights::{self, Signals},
};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s2_advanced",
    formula: "s2 with distribution(·) for all three signals, weights by variation",
    purpose: "many equal nodes, and load that shifts between them",
    weights: Weights { waiting: 0.4, cache: 0.4, running: 0.2 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    let adjusted = weights::by_variation(&params.weights, nodes, Signals::Three);
    distribution(Kind::Waiting, &mut nodes.waiting);
    distribution(Kind::Cache, &mut nodes.cache);
    distribution(Kind::General, &mut nodes.running);
    weighted_sum(&adjusted, nodes, scores);
}

//! `s1_adaptive`: relative queue length and cache use, and weights that follow their variation.

use super::{
    Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum,
    weights::{self, Signals},
};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_adaptive",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − minmax(cache)), weights by variation",
    purpose: "load that shifts between nodes",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    let adjusted = weights::by_variation(&params.weights, nodes, Signals::Two);
    normalise::minmax(&mut nodes.waiting);
    normalise::minmax(&mut nodes.cache);
    weighted_sum(&adjusted, nodes, scores);
}

//! `s2_adaptive`: all three signals, and weights that follow their variation.

use super::{
    Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum,
    weights::{self, Signals},
};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s2_adaptive",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − minmax(cache)) + w_g·(1 − minmax(running)), weights by variation",
    purpose: "equal nodes, and load that shifts between them",
    weights: Weights { waiting: 0.4, cache: 0.4, running: 0.2 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    let adjusted = weights::by_variation(&params.weights, nodes, Signals::Three);
    for column in [&mut nodes.waiting, &mut nodes.cache, &mut nodes.running] {
        normalise::minmax(column);
    }
    weighted_sum(&adjusted, nodes, scores);
}

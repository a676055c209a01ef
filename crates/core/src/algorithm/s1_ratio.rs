//! `s1_ratio`: the queue as it is, and each node's part of the cache use of two nodes.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_ratio",
    formula: "w_a·(1 − waiting) + w_b·(1 − ratio(cache)), not clamped",
    purpose: "two nodes with empty queues",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::ratio(&mut nodes.cache);
    // Not clamped: a queue makes it negative, and a node with a negative score is picked only where all have one.
    for ((score, waiting), cache) in scores.iter_mut().zip(&nodes.waiting).zip(&nodes.cache) {
        *score = params.weights.waiting * (1.0 - waiting) + params.weights.cache * (1.0 - cache);
    }
}

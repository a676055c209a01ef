//! `s1_precise`: queue and cache use as they are.

use super::{Algorithm, Nodes, Params, Rule, Weights, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_precise",
    formula: "w_a·(1 − waiting) + w_b·(1 − cache)",
    purpose: "empty queues, and cache use that means the same on all nodes",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    weighted_sum(&params.weights.of_two(), nodes, scores);
}

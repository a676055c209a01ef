//! `s1`: relative queue length and absolute cache use.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − cache)",
    purpose: "equal nodes, where a full cache foretells a queue",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::minmax(&mut nodes.waiting);
    weighted_sum(&params.weights.of_two(), nodes, scores);
}

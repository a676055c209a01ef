//! `s1_balanced`: queue length and cache use, told apart only as far as they differ.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_balanced",
    formula: "w_a·(1 − smooth(waiting)) + w_b·(1 − smooth(cache))",
    purpose: "nearly equal nodes that minmax would tear apart",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::smooth(&mut nodes.waiting);
    normalise::smooth(&mut nodes.cache);
    weighted_sum(&params.weights.of_two(), nodes, scores);
}

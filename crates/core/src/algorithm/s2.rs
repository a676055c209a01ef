//! `s2`: relative queue length, absolute cache use, relative running requests.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s2",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − cache) + w_g·(1 − minmax(running))",
    purpose: "equal nodes under load that queues",
    weights: Weights { waiting: 0.6, cache: 0.2, running: 0.2 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::minmax(&mut nodes.waiting);
    normalise::minmax(&mut nodes.running);
    weighted_sum(&params.weights, nodes, scores);
}

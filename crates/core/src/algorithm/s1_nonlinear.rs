//! `s1_nonlinear`: relative queue length, and cache use raised to a power.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_nonlinear",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − minmax(minmax(cache)^power))",
    purpose: "nodes that do well until their cache is nearly full",
    weights: Weights { waiting: 0.2, cache: 0.8, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::softened(&mut nodes.waiting, 0.0);
    normalise::softened(&mut nodes.cache, 0.5);
    nodes.cache.iter_mut().for_each(|cache| *cache = cache.powf(params.power));
    normalise::minmax_unless_equal(&mut nodes.cache);
    weighted_sum(&params.weights.of_two(), nodes, scores);
}

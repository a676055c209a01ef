//! `s1_enhanced`: relative queue length and cache use compared by ratio.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s1_enhanced",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − precise_cache(cache))",
    purpose: "low and middling load, where nothing waits and the cache tells nodes apart",
    weights: Weights { waiting: 0.1, cache: 0.9, running: 0.0 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::minmax(&mut nodes.waiting);
    normalise::precise_cache(&mut nodes.cache);
    weighted_sum(&params.weights.of_two(), nodes, scores);
}

//! `s2_enhanced`: all three signals, cache and running compared by ratio.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s2_enhanced",
    formula: "w_a·(1 − minmax(waiting)) + w_b·(1 − precise_cache(cache)) + w_g·(1 − precise_running(running))",
    purpose: "overload, with waiting=0.5 cache=0.5 running=0; equal nodes with all three",
    weights: Weights { waiting: 0.4, cache: 0.4, running: 0.2 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    normalise::minmax(&mut nodes.waiting);
    normalise::precise_cache(&mut nodes.cache);
    normalise::precise_running(&mut nodes.running);
    weighted_sum(&params.weights, nodes, scores);
}

//! `s2_nonlinear`: all three signals, squared, so that the best stand out.

use super::{Algorithm, Nodes, Params, Rule, Weights, normalise, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s2_nonlinear",
    formula: "w_a·(1 − minmax(waiting))² + w_b·(1 − minmax(cache))² + w_g·(1 − minmax(running))²",
    purpose: "nodes that differ much",
    weights: Weights { waiting: 0.4, cache: 0.4, running: 0.2 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    for column in [&mut nodes.waiting, &mut nodes.cache, &mut nodes.running] {
        normalise::minmax(column);
        // 1 − (1 − x)², of which the weighted sum takes 1 − value again.
        column.iter_mut().for_each(|x| *x = 1.0 - (1.0 - *x) * (1.0 - *x));
    }
    weighted_sum(&params.weights, nodes, scores);
}

//! `s2_dynamic_waiting`: all three signals by their distribution, and weights that follow the longest queue.

use super::normalise::{Kind, distribution};
use super::weights::{self, Signals};
use super::{Algorithm, Nodes, Params, Rule, Weights, weighted_sum};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "s2_dynamic_waiting",
    formula: "s2 with distribution(·) for all three signals and weights that move to waiting as the longest queue grows",
    purpose: "load that swings between idle and overload",
    weights: Weights { waiting: 0.4, cache: 0.3, running: 0.3 },
    rule: Rule::Score(score),
};

fn score(params: &Params, nodes: &mut Nodes, scores: &mut [f64]) {
    let adjusted = weights::dynamic(params, &nodes.waiting, Signals::Three);
    distribution(Kind::Waiting, &mut nodes.waiting);
    distribution(Kind::Cache, &mut nodes.cache);
    distribution(Kind::General, &mut nodes.running);
    weighted_sum(&adjusted, nodes, scores);
}

//! `least_conn`: nginx's own method, with what the engines report shown and not used.

use super::{Algorithm, Rule, Weights};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "least_conn",
    formula: "the fewest connections by weight, ties by smooth weighted round robin",
    purpose: "to see what the engines report before letting it decide",
    weights: Weights { waiting: 0.0, cache: 0.0, running: 0.0 },
    rule: Rule::LeastConn,
};

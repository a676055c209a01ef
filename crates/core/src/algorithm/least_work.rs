//! `least_work`: the node at which this request finds the least work left, with the speed of each node learnt from its
//! answers.

use super::{Algorithm, Rule, Weights};
use serde::{Deserialize, Serialize};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "least_work",
    formula: "the least τ·(P + p + 300)·(n + 15): τ learnt time per token, P prompt tokens before the first byte, p the request's own, n requests",
    purpose: "all pools: it learns the speed of each node, and needs no metrics",
    weights: Weights { waiting: 0.0, cache: 0.0, running: 0.0 },
    rule: Rule::LeastWork,
};

/// Tokens that a request costs a node beside those of its prompt: taking it in, and its part of a decode step. It is also
/// how much of the queue of prompts a node may have before that outweighs the number of its requests.
const TOKENS: f64 = 300.0;

/// Requests that a node is taken to have beside its own: it sets how far the algorithm may leave least_conn while there
/// are few. As n → 0 a node that is twice as fast would else get all.
const REQUESTS: f64 = 15.0;

/// What a node has to do for us.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Prompt tokens of requests that have sent nothing yet.
    pub prefill: f64,
    /// Requests, those of others included where they are known.
    pub active: f64,
    /// Time per output token, > 0, in a unit that is the same for all nodes.
    pub tpot: f64,
}

impl Work {
    /// What one more request with a prompt of so many tokens would cost there; only comparisons mean anything.
    pub fn cost(&self, prompt: f64) -> f64 {
        self.tpot * (self.prefill + prompt + TOKENS) * (self.active + REQUESTS)
    }

    /// The tokens to be computed before the first one of a request with such a prompt comes out.
    pub fn tokens(&self, prompt: f64) -> f64 {
        self.prefill + prompt + TOKENS
    }
}

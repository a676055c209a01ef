//! `least_work`: the node at which this request finds the least work left, with the speed of each node learnt from its
//! answers.

use super::{Algorithm, Rule, Weights};
use serde::{Deserialize, Serialize};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "least_work",
    formula: "the least τ·(P + 0.4·p + 300)^1.5·(n + 0.1·b + 15): τ learnt time per token, P prompt tokens before the first byte, p the request's own, n own requests, b those of others",
    purpose: "all pools: it learns the speed of each node, and needs no metrics",
    weights: Weights { waiting: 0.0, cache: 0.0, running: 0.0 },
    rule: Rule::LeastWork,
};

/// Tokens that a request costs a node beside those of its prompt: taking it in, and its part of a decode step. It is also
/// how long the queue of prompts may be before that outweighs the number of requests.
const TOKENS: f64 = 300.0;

/// Requests that a node is taken to have beside those that it has: it sets how far the algorithm may leave least_conn
/// while there are few. As n → 0 a node that is twice as fast would else get all.
const REQUESTS: f64 = 15.0;

/// What of the request's own prompt counts. The more of it does, the more long prompts gather at some nodes and short
/// ones at others, which makes the mean faster and the slowest hundredth slower: on 32 equal nodes with 100 requests
/// each P99 of TTFT rises by 9 % with this, by 15 % with all of it.
const OWN: f64 = 0.4;

/// What a request that others sent counts, against one of ours: its part in the time per token is in what was learnt of
/// the node already.
const OTHERS: f64 = 0.1;

/// What a node has to do for us.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Prompt tokens of requests that have sent nothing yet.
    pub prefill: f64,
    /// Our own requests.
    pub active: f64,
    /// Requests of others.
    pub background: f64,
    /// Time per output token, > 0, in a unit that is the same for all nodes.
    pub tpot: f64,
}

impl Work {
    /// What one more request with a prompt of so many tokens would cost there; only comparisons mean anything. The queue
    /// of prompts counts by its power of 1.5: it decides the time to the first token, and is soon gone.
    pub fn cost(&self, prompt: f64) -> f64 {
        let tokens = self.prefill + OWN * prompt + TOKENS;
        self.tpot * tokens * tokens.sqrt() * (self.active + OTHERS * self.background + REQUESTS)
    }

    /// The tokens to be computed before the first one of a request with such a prompt comes out.
    pub fn tokens(&self, prompt: f64) -> f64 {
        self.prefill + prompt + TOKENS
    }
}

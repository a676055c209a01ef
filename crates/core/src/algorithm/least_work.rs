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
/// each P99 of TTFT rises by 9 % with this, by 14 % with all of it.
const OWN: f64 = 0.4;

/// What a request that others sent counts, against one of ours: its part in the time per token is in what was learnt of
/// the node already.
const OTHERS: f64 = 0.1;

/// The time per output token in µs that users are promised as a rule: twenty tokens a second, faster than one reads.
const PROMISE: f64 = 50_000.0;

/// Where a node comes near it.
const NEAR: f64 = 47_500.0;

/// What the cost of a node that does not keep it grows by. More would leave a node that was slow for a while without the
/// requests that show that it is fast again.
const BROKEN: f64 = 0.5;

/// The time per output token as it counts, of a node of which the time `tpot` was learnt, where that of the fastest one is
/// `fastest`; all in µs. From 47.5 ms to 50 ms it grows by half more than by itself, unless no node is faster than that: then
/// none can keep the promise.
pub fn pace(tpot: f64, fastest: f64) -> f64 {
    if fastest >= PROMISE {
        return tpot;
    }
    tpot * (1.0 + BROKEN * ((tpot - NEAR) / (PROMISE - NEAR)).clamp(0.0, 1.0))
}

/// What a node has to do for us.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Prompt tokens of requests that have sent nothing yet.
    pub prefill: f64,
    /// Our own requests.
    pub active: f64,
    /// Requests of others.
    pub background: f64,
    /// Time per output token as it counts (see [`pace`]), > 0, in µs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_breaks_the_promise_costs_half_more_while_another_keeps_it() {
        for (tpot, fastest, expected) in [
            (20_000.0, 20_000.0, 20_000.0),
            (47_500.0, 20_000.0, 47_500.0),
            (48_750.0, 20_000.0, 48_750.0 * 1.25),
            (50_000.0, 49_999.0, 75_000.0),
            (90_000.0, 20_000.0, 135_000.0),
            (90_000.0, 50_000.0, 90_000.0),
        ] {
            assert!((pace(tpot, fastest) - expected).abs() < 1e-6, "{tpot} beside {fastest}");
        }
    }

    #[test]
    fn more_of_anything_costs_more() {
        let work = Work { prefill: 100.0, active: 3.0, background: 5.0, tpot: 20_000.0 };
        let more = [
            Work { prefill: 101.0, ..work },
            Work { active: 4.0, ..work },
            Work { background: 6.0, ..work },
            Work { tpot: 20_001.0, ..work },
        ];
        assert!(more.iter().all(|more| more.cost(50.0) > work.cost(50.0)));
        assert!(work.cost(51.0) > work.cost(50.0));
    }
}

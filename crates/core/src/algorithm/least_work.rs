//! `least_work`: the node at which this request finds the least work left, with the speed of each node learnt from its
//! answers.

use super::{Algorithm, Rule, Weights};
use serde::{Deserialize, Serialize};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "least_work",
    formula: "the least τ^0.5·((P + 2.5·p)·σ^0.5·ρ^0.25 + 600·(τ/τ₁)^0.75)²·(n + θ·b + 6): τ learnt time per token, τ₁ that of the fastest node, P prompt tokens before the first byte, p the request's own, σ and ρ how slow the node decodes and computes prompts, by the best of all, n own requests, b those of others, θ 0.1, towards 1 as τ₁ goes from 34 to 38 ms",
    purpose: "all pools: it learns the speed of each node, and needs no metrics",
    weights: Weights { waiting: 0.0, cache: 0.0, running: 0.0 },
    rule: Rule::LeastWork,
};

/// Tokens that a request waits for at the fastest node beside those of prompts: the step that is being computed. It is
/// also how long the queue of prompts may be before that outweighs the number of requests.
const STEP: f64 = 600.0;

/// Requests that a node is taken to have beside those that it has: it sets how far the algorithm may leave least_conn
/// while there are few. As n → 0 a node that is twice as fast would else get all.
const REQUESTS: f64 = 6.0;

/// How often the request's own prompt counts. The more it does, the more long prompts gather at nodes with few
/// requests and short ones where there are more of them but few prompts: most then wait for less.
const OWN: f64 = 2.5;

/// What a node has to do for us, and how fast it is; [`Best`](super::Best) makes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Prompt tokens of requests that have sent nothing yet.
    pub prefill: f64,
    /// Requests there: our own, and those of others as they count.
    pub requests: f64,
    /// The root of (its time per output token by that of the fastest node), ≥ 1.
    pub pace: f64,
    /// How much longer prompts wait there than at the best node, ≥ 1: σ^½·ρ^¼. What was learnt counts by roots, which take
    /// it for less than it is: it is of a while ago, and a share of it is chance.
    pub slowness: f64,
    /// The step that is being computed, in tokens of the fastest node: see [`Work::of_speed`].
    pub step: f64,
}

impl Work {
    /// An idle node with this pace and slowness.
    pub fn of_speed(pace: f64, slowness: f64) -> Self {
        Work { prefill: 0.0, requests: 0.0, pace, slowness, step: STEP * pace * pace.sqrt() }
    }

    /// What one more request with a prompt of so many tokens would cost there; only comparisons mean anything. The queue
    /// of prompts counts by its square: it decides the time to the first token, and is soon gone.
    pub fn cost(&self, prompt: f64) -> f64 {
        let tokens = (self.prefill + OWN * prompt) * self.slowness + self.step;
        self.pace * tokens * tokens * (self.requests + REQUESTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work { prefill: 100.0, requests: 3.5, ..Work::of_speed(1.2, 1.3) }
    }

    #[test]
    fn the_cost_is_the_formula() {
        let times = 1.2f64.powi(2);
        let tokens = (100.0 + 2.5 * 50.0) * 1.3 + 600.0 * times.powf(0.75);
        let expected = times.sqrt() * tokens.powi(2) * (3.5 + 6.0);
        assert!((work().cost(50.0) / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn more_of_anything_costs_more() {
        let more = [
            Work { prefill: 101.0, ..work() },
            Work { requests: 3.6, ..work() },
            Work { prefill: 100.0, requests: 3.5, ..Work::of_speed(1.21, 1.3) },
            Work { slowness: 1.31, ..work() },
        ];
        assert!(more.iter().all(|more| more.cost(50.0) > work().cost(50.0)));
        assert!(work().cost(51.0) > work().cost(50.0));
    }
}

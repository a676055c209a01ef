//! `least_work`: the node at which this request finds the least work left, with the speed of each node learnt from its
//! answers.

use super::{Algorithm, Rule, Weights};
use serde::{Deserialize, Serialize};

/// The row of the table.
pub static ALGORITHM: Algorithm = Algorithm {
    name: "least_work",
    formula: "the least τ^0.5·((P + 2.5·p)·σ^0.5·ρ^0.25 + 600·(τ/τ₁)^0.75)²·(n + θ·b + 6): τ learnt time per token, τ₁ that of the fastest node, P prompt tokens before the first byte, p the request's own, σ and ρ how slow the node decodes and computes prompts, by the best of all, n own requests, b those of others, θ 0.1, towards 1 as τ₁ goes from 36 to 40 ms",
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

/// What a request that others sent counts, against one of ours, while the promise is far: its part in the time per token
/// is in what was learnt of the node already. In full, fast nodes with others' load are left nearly empty.
const OTHERS: f64 = 0.1;

/// Times per output token of the fastest node in µs between which others' requests come to count in full. Users are
/// promised 50 ms as a rule, twenty tokens a second, faster than one reads. Where the fastest node needs three
/// quarters of that the slower ones are about to break the promise, and should get no more than their share.
const NEAR: f64 = 36_000.0;
const FULL: f64 = 40_000.0;

/// An empty step takes as long as so many requests add to it.
const EMPTY: f64 = 50.0;

/// What a request of others adds to a step, against one of ours.
const ADDS: f64 = 0.9;

/// The requests by which a time per token is divided to tell nodes apart whatever their load: `own` ones and those of
/// `others`, and what an empty step takes, in requests.
pub fn requests(own: f64, others: f64) -> f64 {
    EMPTY + own + ADDS * others
}

/// What a node has to do for us, and how fast it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Prompt tokens of requests that have sent nothing yet.
    pub prefill: f64,
    /// Our own requests.
    pub active: f64,
    /// Requests of others.
    pub others: f64,
    /// Time per output token, > 0, in µs.
    pub tpot: f64,
    /// That of the fastest node, > 0, in µs.
    pub fastest: f64,
    /// By how much its [slope](crate::board::Learned::slope) is above the least of all nodes, ≥ 1: how slow it is
    /// whatever its load.
    pub slope: f64,
    /// By how much its [time to the first token](crate::board::Learned::prefill) for each token of prompts is above the
    /// least, ≥ 1.
    pub wait: f64,
}

impl Work {
    /// What one more request with a prompt of so many tokens would cost there; only comparisons mean anything. The queue
    /// of prompts counts by its square: it decides the time to the first token, and is soon gone. What was learnt counts by
    /// roots, which take it for less than it is: it is of a while ago, and a share of it is chance.
    pub fn cost(&self, prompt: f64) -> f64 {
        let slowness = (self.slope * self.wait.sqrt()).sqrt();
        let tokens =
            (self.prefill + OWN * prompt) * slowness + STEP * three_quarters(self.tpot / self.fastest);
        let requests = self.active + self.share_of_others() * self.others + REQUESTS;
        self.tpot.sqrt() * tokens * tokens * requests
    }

    /// What a request of others counts, 0.1 to 1.
    fn share_of_others(&self) -> f64 {
        let near = ((self.fastest - NEAR) / (FULL - NEAR)).clamp(0.0, 1.0);
        OTHERS + (1.0 - OTHERS) * near
    }
}

/// The power of 3/4, by roots: `powf` takes several times as long.
fn three_quarters(x: f64) -> f64 {
    let root = x.sqrt();
    root * root.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        prefill: 100.0,
        active: 3.0,
        others: 5.0,
        tpot: 24_000.0,
        fastest: 20_000.0,
        slope: 1.3,
        wait: 1.4,
    };

    #[test]
    fn the_cost_is_the_formula() {
        let slowness = 1.3f64.powf(0.5) * 1.4f64.powf(0.25);
        let tokens = (100.0 + 2.5 * 50.0) * slowness + 600.0 * 1.2f64.powf(0.75);
        let expected = 24_000f64.sqrt() * tokens.powi(2) * (3.0 + 0.1 * 5.0 + 6.0);
        assert!((WORK.cost(50.0) / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn more_of_anything_costs_more() {
        let more = [
            Work { prefill: 101.0, ..WORK },
            Work { active: 4.0, ..WORK },
            Work { others: 6.0, ..WORK },
            Work { tpot: 24_001.0, ..WORK },
            Work { slope: 1.31, ..WORK },
            Work { wait: 1.41, ..WORK },
        ];
        assert!(more.iter().all(|more| more.cost(50.0) > WORK.cost(50.0)));
        assert!(WORK.cost(51.0) > WORK.cost(50.0));
    }

    #[test]
    fn requests_of_others_come_to_count_in_full_as_the_promise_comes_near() {
        for (fastest, share) in
            [(1.0, 0.1), (36_000.0, 0.1), (38_000.0, 0.55), (40_000.0, 1.0), (90_000.0, 1.0)]
        {
            let work = Work { fastest, ..WORK };
            assert!((work.share_of_others() - share).abs() < 1e-12, "{fastest} µs");
        }
    }
}

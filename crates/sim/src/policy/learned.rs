//! least_conn with weights that are learnt: the least (n + 1)·τ, n connections and τ the peer's time per token.
//!
//! τ is a moving average of (last − first byte) / tokens by bytes, as `least_work` keeps one, without what that adds: it
//! shows what the prompts in flight are worth.

use std::collections::HashMap;

use tblb_core::tries::Answer;

use super::choice::least;
use super::{Context, Ending, Part, Policy, Scene, Seen, Try, View};

/// How far an answer moves the average.
const ALPHA: f64 = 0.05;

/// Tokens from which on an answer teaches: a few steps scatter too much.
const ENOUGH_TOKENS: f64 = 8.0;

/// The policy.
pub struct LearnedWeight {
    /// Time per token in µs.
    times: Vec<Option<f64>>,
    answers: HashMap<u64, Answer>,
}

impl LearnedWeight {
    /// Nothing is known yet.
    pub fn new(context: &Context<'_>) -> Self {
        Self { times: vec![None; context.speeds.len()], answers: HashMap::new() }
    }
}

impl Policy for LearnedWeight {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        // A peer of which nothing is known is taken to be as fast as the fastest.
        let fastest = self.times.iter().flatten().copied().reduce(f64::min).unwrap_or(1.0);
        least(&mut view, |at, peer| (peer.conns as f64 + 1.0) * self.times[at].unwrap_or(fastest))
    }

    fn part(&mut self, scene: Scene<'_>, one: &Try, part: Part) {
        self.answers.entry(one.seen.number).or_default().count(part, scene.now / 1000);
    }

    fn end(&mut self, _: Scene<'_>, one: &Try, ending: Ending) {
        let Some(answer) = self.answers.remove(&one.seen.number) else { return };
        if ending == Ending::Completed && answer.is_stream() && answer.tokens() >= ENOUGH_TOKENS {
            let seen = answer.duration() as f64 / answer.tokens();
            let time = &mut self.times[one.peer];
            *time = Some(time.map_or(seen, |old| old + ALPHA * (seen - old)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::Bench;

    #[test]
    fn a_peer_gets_requests_as_it_is_fast() {
        let mut bench = Bench::new(&[0, 0]);
        let mut policy = bench.policy("learned_weight_least_conn");
        bench.answer(policy.as_mut(), 0, 100, 4100);
        bench.answer(policy.as_mut(), 1, 100, 1100);
        for _ in 0..100 {
            let at = bench.pick(policy.as_mut()).expect("a pick");
            bench.peers[at].conns += 1;
        }
        assert!((78..82).contains(&bench.peers[1].conns), "{:?}", bench.peers);
    }
}

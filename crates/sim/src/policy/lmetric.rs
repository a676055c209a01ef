//! LMetric (D. Zhang et al., "LMetric: Simple is Better", arXiv 2603.15202): the least product of the prompt tokens that a
//! node would have to compute and the requests in its batch, (P + p)·(n + 1).
//!
//! In nginx p is a quarter of the Content-Length, P adds up our own requests that have sent nothing yet, and n is our
//! connections and the background of the last page.

use std::collections::HashMap;

use super::choice::least;
use super::queues::requests;
use super::{Context, Ending, Policy, Scene, Seen, Try, View};

/// Bytes of a token of a prompt.
const TOKEN: u64 = 4;

/// The policy.
pub struct LMetric {
    /// P of each peer.
    prompts: Vec<u64>,
    /// The requests that have sent nothing yet, and their p.
    pending: HashMap<u64, u64>,
}

impl LMetric {
    /// Nothing is in flight.
    pub fn new(context: &Context<'_>) -> Self {
        Self { prompts: vec![0; context.speeds.len()], pending: HashMap::new() }
    }

    fn computed(&mut self, one: &Try) {
        if let Some(tokens) = self.pending.remove(&one.seen.number) {
            self.prompts[one.peer] -= tokens;
        }
    }
}

impl Policy for LMetric {
    fn pick(&mut self, mut view: View<'_>, seen: &Seen) -> Option<usize> {
        let (pages, tokens) = (view.pages, seen.body / TOKEN);
        let picked = least(&mut view, |at, peer| {
            (self.prompts[at] + tokens) as f64 * (requests(pages, at, peer) + 1.0)
        })?;
        self.prompts[picked] += tokens;
        self.pending.insert(seen.number, tokens);
        Some(picked)
    }

    fn first_byte(&mut self, _: Scene<'_>, one: &Try) {
        self.computed(one);
    }

    fn end(&mut self, _: Scene<'_>, one: &Try, _: Ending) {
        self.computed(one);
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::Bench;

    #[test]
    fn prompts_in_flight_weigh_until_their_first_byte() {
        let mut bench = Bench::new(&[0, 1]);
        let mut policy = bench.policy("lmetric");
        // 250·1 against 250·2; then 500·1 ties with 250·2, and 750·1 loses.
        assert_eq!(bench.pick(policy.as_mut()), Some(0));
        let mut picks: Vec<_> = (0..2).filter_map(|_| bench.pick(policy.as_mut())).collect();
        picks.sort_unstable();
        assert_eq!(picks, [0, 1]);
        bench.answer(policy.as_mut(), 0, 10, 20);
        assert_eq!(bench.pick(policy.as_mut()), Some(0));
    }
}

//! The default scorers of the gateways for inference (Gateway API Inference Extension and llm-d, `queue-scorer` and
//! `kv-cache-utilization-scorer` with `max-score-picker`), without prefix affinity, which needs the prompt.
//!
//! The score is (longest − queue)/(longest − shortest), 1 where all queues are equally long, plus 1 − cache use, with
//! equal weights; the best one is picked, any of those that tie. It goes by the last page alone.

use super::choice::least;
use super::{Page, Policy, Seen, View};

/// The policy.
pub struct QueueCacheArgmax;

impl Policy for QueueCacheArgmax {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        let pages = view.pages;
        let waiting = |at: usize| pages[at].as_ref().and_then(|page: &Page| page.load.waiting).unwrap_or(0.0);
        let cache = |at: usize| pages[at].as_ref().and_then(|page| page.load.cache).unwrap_or(0.0);
        let queues = || view.eligible.iter().map(|&at| waiting(at));
        let (shortest, longest) = (queues().fold(f64::INFINITY, f64::min), queues().fold(0.0, f64::max));
        let queue =
            |at| if longest > shortest { (longest - waiting(at)) / (longest - shortest) } else { 1.0 };
        least(&mut view, |at, _| -(queue(at) + 1.0 - cache(at)))
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::Bench;

    #[test]
    fn the_shortest_queue_and_the_emptiest_cache_win() {
        let mut bench = Bench::new(&[0, 9, 0]);
        bench.page(0, 10.0, 4.0, 0.2, 0);
        bench.page(1, 10.0, 0.0, 0.6, 0);
        bench.page(2, 10.0, 2.0, 0.3, 0);
        // 0 + 0.8, 1 + 0.4, 0.5 + 0.7
        assert_eq!(bench.thousand("queue_cache_argmax"), [0, 1000, 0]);
        bench.page(0, 10.0, 0.0, 0.2, 0);
        bench.page(2, 10.0, 0.0, 0.2, 0);
        let counts = bench.thousand("queue_cache_argmax");
        assert!((400..600).contains(&counts[0]) && counts[1] == 0, "{counts:?}");
    }
}

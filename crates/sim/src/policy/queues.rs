//! Policies by the number of requests at a node: the instance's own connections, which it knows at once, and the requests
//! of others, which it knows from the last page.

use super::choice::{least, two};
use super::{Pages, Policy, Seen, View};
use crate::fleet::Peer;

/// The requests at a node as far as they are known.
pub(super) fn requests(pages: &Pages, at: usize, peer: &Peer) -> f64 {
    peer.conns as f64 + pages[at].map_or(0.0, |page| page.background())
}

/// Join the shortest queue.
pub struct JoinShortestQueue;

impl Policy for JoinShortestQueue {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        let pages = view.pages;
        least(&mut view, |at, peer| requests(pages, at, peer))
    }
}

/// The shorter queue of two (M. Mitzenmacher, "The power of two choices in randomized load balancing", 2001).
pub struct PowerOfTwo;

impl Policy for PowerOfTwo {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        let (first, second) = two(&mut view)?;
        let queue = |at: usize| requests(view.pages, at, &view.peers[at]);
        Some(if queue(second) < queue(first) { second } else { first })
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::Bench;

    #[test]
    fn requests_of_others_count_and_our_own_count_once() {
        let mut bench = Bench::new(&[3, 4]);
        // The page counts 9 requests, of which 3 were ours; the other node has only ours.
        bench.page(0, 9.0, 0.0, 0.5, 3);
        bench.page(1, 4.0, 0.0, 0.5, 4);
        assert_eq!(bench.thousand("join_shortest_queue"), [0, 1000]);
        assert_eq!(bench.thousand("power_of_two"), [0, 1000]);
        bench.peers[1].conns = 20;
        assert_eq!(bench.thousand("join_shortest_queue"), [1000, 0]);
    }
}

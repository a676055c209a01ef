//! Choosing among the eligible peers.

use tblb_core::picker::{Candidate, Known};

use super::View;
use crate::fleet::Peer;

/// Fills `candidates` with the eligible peers, and with what is known of each.
pub(super) fn gather(view: &View<'_>, candidates: &mut Vec<Candidate>, known: impl Fn(usize) -> Known) {
    candidates.clear();
    candidates.extend(view.eligible.iter().map(|&at| Candidate::new(view.peers[at].numbers(), known(at))));
}

/// Writes back the weights that a pick moved, and says which peer the candidate was.
pub(super) fn settle(view: &mut View<'_>, candidates: &[Candidate], picked: usize) -> Option<usize> {
    for (&at, candidate) in view.eligible.iter().zip(candidates) {
        view.peers[at].current_weight = candidate.current_weight;
        view.peers[at].effective_weight = candidate.effective_weight;
    }
    view.eligible.get(picked).copied()
}

/// The eligible peer of the least cost; any of those that tie.
pub(super) fn least(view: &mut View<'_>, cost: impl Fn(usize, &Peer) -> f64) -> Option<usize> {
    let mut least: Option<(usize, f64)> = None;
    let mut tied = 0;
    for &at in view.eligible {
        let cost = cost(at, &view.peers[at]);
        if least.is_none_or(|(_, best)| cost < best) {
            (least, tied) = (Some((at, cost)), 1);
        } else if least.is_some_and(|(_, best)| cost == best) {
            // Each of those that tie so far is the choice with the same probability.
            tied += 1;
            if view.rng.u32(0..tied) == 0 {
                least = Some((at, cost));
            }
        }
    }
    least.map(|(at, _)| at)
}

/// Two different eligible peers that are drawn, or the only one twice.
pub(super) fn two(view: &mut View<'_>) -> Option<(usize, usize)> {
    let count = view.eligible.len();
    let first = (count > 0).then(|| view.rng.usize(0..count))?;
    let second = if count > 1 { (first + view.rng.usize(1..count)) % count } else { first };
    Some((view.eligible[first], view.eligible[second]))
}

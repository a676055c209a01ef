//! nginx's least_conn, and its way to settle ties.

use super::{Candidate, Standing};

/// nginx's least_conn among the candidates of this standing: the fewest connections by weight, ties by smooth weighted round
/// robin among the tied ones.
pub fn least_conn(candidates: &mut [Candidate], standing: Standing) -> Option<usize> {
    least_conn_of(candidates, |c| c.stands(standing))
}

/// The same among the candidates that `may` be picked.
#[inline]
pub(super) fn least_conn_of(candidates: &mut [Candidate], may: impl Fn(&Candidate) -> bool) -> Option<usize> {
    least_by(candidates, may, Candidate::load)
}

/// The candidate with the least key of those that `may` be picked, ties by smooth weighted round robin. The steps are those of
/// ngx_http_upstream_get_least_conn_peer: the counters move only where there is a tie, and only those of the tied peers.
#[inline]
pub(super) fn least_by(
    candidates: &mut [Candidate],
    may: impl Fn(&Candidate) -> bool,
    key: impl Fn(&Candidate) -> f64,
) -> Option<usize> {
    let (mut first, mut least, mut tied) = (NONE, f64::INFINITY, false);
    for (i, candidate) in candidates.iter_mut().enumerate() {
        if !may(candidate) {
            // No key equals it.
            candidate.cost = f64::NAN;
            continue;
        }
        let cost = key(candidate);
        candidate.cost = cost;
        if cost < least {
            (first, least, tied) = (i, cost, false);
        } else if cost == least {
            tied = true;
        }
    }
    match (first, tied) {
        (NONE, _) => candidates.iter().position(may),
        (_, false) => Some(first),
        (_, true) => smooth_round_robin(candidates, first, least),
    }
}

/// The place of no candidate: none has a key that is a number below infinity.
const NONE: usize = usize::MAX;

/// One turn of smooth weighted round robin from `first` on, over the candidates that cost as much.
fn smooth_round_robin(candidates: &mut [Candidate], first: usize, cost: f64) -> Option<usize> {
    let (mut total, mut most, mut chosen) = (0i64, i64::MIN, first);
    for (i, c) in candidates.iter_mut().enumerate().skip(first) {
        if c.cost != cost {
            continue;
        }
        // Like nginx, which lets words run over.
        c.current_weight = c.current_weight.wrapping_add(c.effective_weight);
        c.turned = true;
        total = total.wrapping_add(c.effective_weight);
        if c.effective_weight < c.weight {
            c.effective_weight += 1;
        }
        if c.current_weight > most {
            (most, chosen) = (c.current_weight, i);
        }
    }
    let turn = candidates.get_mut(chosen)?;
    turn.current_weight = turn.current_weight.wrapping_sub(total);
    Some(chosen)
}

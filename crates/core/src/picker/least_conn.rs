//! nginx's least_conn, and its way to settle ties.

use super::{Candidate, Standing};
use std::cmp::Ordering;

/// nginx's least_conn among the candidates of this standing: the fewest connections by weight, compared by
/// cross-multiplying; ties by smooth weighted round robin among the tied ones.
pub fn least_conn(candidates: &mut [Candidate], standing: Standing) -> Option<usize> {
    let key = |c: &Candidate| (c.conns, c.weight.max(0) as u64);
    let product = |conns: u64, weight: u64| u128::from(conns) * u128::from(weight);
    least_by(candidates, standing, key, |a, b| product(a.0, b.1).cmp(&product(b.0, a.1)))
}

/// The candidate of this standing whose key is the least by `compare`, ties by smooth weighted round robin. The steps are those of
/// ngx_http_upstream_get_least_conn_peer: the counters move only where there is a tie, and only those of the
/// tied peers.
pub(super) fn least_by<K>(
    candidates: &mut [Candidate],
    standing: Standing,
    key: impl Fn(&Candidate) -> K,
    compare: impl Fn(&K, &K) -> Ordering,
) -> Option<usize> {
    let mut seen = candidates.iter().enumerate().filter(|(_, c)| c.known.standing == standing);
    let (mut index, mut least) = seen.next().map(|(i, c)| (i, key(c)))?;
    let mut tied = false;
    for (i, candidate) in seen {
        let this = key(candidate);
        match compare(&this, &least) {
            Ordering::Less => (index, least, tied) = (i, this, false),
            Ordering::Equal => tied = true,
            Ordering::Greater => {}
        }
    }
    if tied {
        smooth_round_robin(candidates, index, |c| {
            c.known.standing == standing && compare(&key(c), &least) == Ordering::Equal
        })
    } else {
        Some(index)
    }
}

/// One turn of smooth weighted round robin from `first` on, over the candidates that are `tied` with it.
fn smooth_round_robin(
    candidates: &mut [Candidate],
    first: usize,
    tied: impl Fn(&Candidate) -> bool,
) -> Option<usize> {
    let mut total = 0i64;
    let mut chosen: Option<(usize, i64)> = None;
    for (i, c) in candidates.iter_mut().enumerate().skip(first).filter(|(_, c)| tied(c)) {
        c.current_weight = c.current_weight.saturating_add(c.effective_weight);
        total = total.saturating_add(c.effective_weight);
        if c.effective_weight < c.weight {
            c.effective_weight += 1;
        }
        if chosen.is_none_or(|(_, most)| c.current_weight > most) {
            chosen = Some((i, c.current_weight));
        }
    }
    let (index, _) = chosen?;
    if let Some(c) = candidates.get_mut(index) {
        c.current_weight = c.current_weight.saturating_sub(total);
    }
    Some(index)
}

//! The candidates with the least of something, and nginx's way to settle ties among them.

use super::{Candidate, Standing};

/// The candidates with the least key, among those of the best standing. One pass finds them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Least {
    /// The best standing that any candidate has.
    pub standing: Standing,
    /// Whether the metrics of any candidate are fresh, whatever its standing.
    pub any_fresh: bool,
    /// The first candidate with the least key; the first of its standing where no key is a number below infinity.
    pub first: usize,
    /// The least key.
    pub key: f64,
    /// Whether others have the same key.
    pub tied: bool,
}

impl Least {
    /// Finds the least key among the candidates of the best standing; None if there are no candidates.
    #[inline]
    pub fn of(candidates: &mut [Candidate], key: impl Fn(&Candidate) -> f64) -> Option<Least> {
        Least::ranked(candidates, |c| (!c.absent).then_some(c.known.standing), key)
    }

    /// The same by another rank than their standing; those of no rank are passed over. The cost of each candidate of the best
    /// rank becomes its key. A key that is no number loses.
    #[inline]
    pub fn ranked(
        candidates: &mut [Candidate],
        rank: impl Fn(&Candidate) -> Option<Standing>,
        key: impl Fn(&Candidate) -> f64,
    ) -> Option<Least> {
        let (first, mut best) = candidates.iter().enumerate().find_map(|(i, c)| Some((i, rank(c)?)))?;
        let (mut first, mut least, mut tied, mut any_fresh) = (first, f64::INFINITY, false, false);
        for (i, candidate) in candidates.iter_mut().enumerate() {
            let rank = rank(candidate);
            // No cost equals it.
            candidate.cost = f64::NAN;
            let Some(rank) = rank else { continue };
            any_fresh |= candidate.known.fresh;
            if rank > best {
                continue;
            }
            if rank < best {
                (best, first, least, tied) = (rank, i, f64::INFINITY, false);
            }
            let cost = key(candidate);
            candidate.cost = cost;
            if cost < least {
                (first, least, tied) = (i, cost, false);
            } else if cost == least {
                tied = true;
            }
        }
        Some(Least { standing: best, any_fresh, first, key: least, tied: tied && least < f64::INFINITY })
    }

    /// The candidate that gets the request: the one with the least key, or one of those by turns.
    pub fn pick(&self, candidates: &mut [Candidate]) -> usize {
        // Of those before the first none has this cost, unless it is of a worse standing.
        if self.tied {
            smooth_round_robin(candidates, self.first, |c| c.cost == self.key)
        } else {
            self.first
        }
    }
}

/// One of the candidates that `may` be picked, by turns; None if there are none. The counters move only where there are several.
pub(super) fn by_turns(candidates: &mut [Candidate], may: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let first = candidates.iter().position(&may)?;
    let others = candidates.get(first + 1..).unwrap_or_default().iter().any(&may);
    Some(if others { smooth_round_robin(candidates, first, may) } else { first })
}

/// One turn of smooth weighted round robin from `first` on, over the candidates that `may` be picked. The steps are those of
/// ngx_http_upstream_get_least_conn_peer.
#[inline]
fn smooth_round_robin(candidates: &mut [Candidate], first: usize, may: impl Fn(&Candidate) -> bool) -> usize {
    let (mut total, mut most, mut chosen) = (0i64, i64::MIN, first);
    for (i, c) in (first..).zip(candidates.get_mut(first..).unwrap_or_default()) {
        if !may(c) {
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
    if let Some(turn) = candidates.get_mut(chosen) {
        turn.current_weight = turn.current_weight.wrapping_sub(total);
    }
    chosen
}

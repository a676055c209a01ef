//! The least work left.

use super::Candidate;
use super::least::{Least, by_turns};
use super::least_conn::least_conn_of;

/// What is learnt of equal servers differs by chance. Their costs then differ by up to this factor, which is a fifth in the time
/// per token.
const NEAR_TIE: f64 = 1.5;

/// The key of a candidate whose work is not known: below all others, so that one such candidate is noticed.
const UNKNOWN: f64 = f64::NEG_INFINITY;

/// What a request with a prompt of `prompt` tokens costs at each candidate by weight, and where it costs the least.
pub(super) fn least_work(candidates: &mut [Candidate], prompt: f64) -> Option<Least> {
    let cost = |c: &Candidate| c.known.work.as_ref().map_or(UNKNOWN, |work| work.cost(prompt) / c.divisor());
    Least::of(candidates, cost)
}

/// Of the candidates of the best standing, the one at which the request costs the least; None if the work of any of them is not
/// known. Idle candidates that cost [nearly](NEAR_TIE) as little as the least one, or that are new, take turns: by what was
/// learnt alone, one of many equal servers would get all requests as long as there are few.
pub(super) fn pick(candidates: &mut [Candidate], least: &Least) -> Option<usize> {
    if least.key == UNKNOWN {
        return None;
    }
    let stands = |c: &Candidate| c.stands(least.standing);
    if least.key == f64::INFINITY {
        return least_conn_of(candidates, stands);
    }
    if candidates.get(least.first)?.conns == 0 {
        let most = least.key * NEAR_TIE;
        return by_turns(candidates, |c| {
            c.conns == 0 && stands(c) && (c.cost <= most || c.known.new && c.cost.is_finite())
        });
    }
    if least.tied {
        least_conn_of(candidates, |c| stands(c) && c.cost == least.key)
    } else {
        Some(least.first)
    }
}

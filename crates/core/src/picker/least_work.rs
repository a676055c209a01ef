//! The least work left.

use super::least_conn::least_conn_of;
use super::{Candidate, Standing};

/// What is learnt of equal servers differs by chance. Their costs then differ by up to this factor, which is a fifth in the time
/// per token.
const NEAR_TIE: f64 = 1.5;

/// Of the candidates of this standing, the one at which a request with a prompt of `prompt` tokens costs the least by weight;
/// None if the work of any of them is not known. Idle candidates that cost [nearly](NEAR_TIE) as little as the least one, or that
/// are new, take turns: by what was learnt alone, one of many equal servers would get all requests as long as there are few.
pub(super) fn least_work(candidates: &mut [Candidate], standing: Standing, prompt: f64) -> Option<usize> {
    let mut least = None;
    let mut cost_of_least = f64::INFINITY;
    for (i, candidate) in candidates.iter_mut().enumerate() {
        // No cost is below it.
        candidate.cost = f64::NAN;
        if candidate.stands(standing) {
            candidate.cost = candidate.known.work.as_ref()?.cost(prompt) / candidate.weight.max(1) as f64;
            // A cost that is no number loses.
            if candidate.cost < cost_of_least {
                (least, cost_of_least) = (Some(i), candidate.cost);
            }
        }
    }
    match least.and_then(|least| candidates.get(least)) {
        Some(best) if best.conns == 0 => {
            let most = cost_of_least * NEAR_TIE;
            least_conn_of(candidates, |c| {
                c.conns == 0 && (c.cost <= most || c.known.new && c.cost.is_finite())
            })
        }
        Some(_) => least_conn_of(candidates, |c| c.cost == cost_of_least),
        None => least_conn_of(candidates, |c| c.stands(standing)),
    }
}

//! nginx's least_conn: the fewest connections by weight, ties by smooth weighted round robin among the tied ones.

use super::least::Least;
use super::{Candidate, Picked, Reason, Standing};

/// nginx's least_conn among the candidates of the best standing; None if there are no candidates.
pub fn least_conn(candidates: &mut [Candidate]) -> Option<usize> {
    Some(Least::of(candidates, Candidate::load)?.pick(candidates))
}

/// The same with the reason: nothing else is known of the candidates, or a limit stands against all of them.
pub(super) fn by_connections(candidates: &mut [Candidate]) -> Option<Picked> {
    let least = Least::of(candidates, Candidate::load)?;
    let reason = if least.standing == Standing::Over { Reason::Limit } else { Reason::LeastConn };
    Some(Picked { index: least.pick(candidates), reason })
}

/// The same among the candidates that `may` be picked, whatever their standing.
pub(super) fn least_conn_of(candidates: &mut [Candidate], may: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let least = Least::ranked(candidates, |c| may(c).then_some(Standing::Ready), Candidate::load)?;
    Some(least.pick(candidates))
}

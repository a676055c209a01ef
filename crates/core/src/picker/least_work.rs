//! The least work left.

use super::least_conn::least_by;
use super::{Candidate, Standing};

/// The candidate of this standing at which a request with a prompt of so many tokens costs the least by weight, ties by
/// smooth weighted round robin; None if the work of any of them is not known.
pub(super) fn least_work(candidates: &mut [Candidate], standing: Standing, prompt: f64) -> Option<usize> {
    let mut others = candidates.iter().filter(|c| c.known.standing == standing);
    others.all(|c| c.known.work.is_some()).then_some(())?;
    least_by(candidates, standing, |c| cost(c, prompt), f64::total_cmp)
}

fn cost(candidate: &Candidate, prompt: f64) -> f64 {
    let cost = candidate.known.work.map_or(f64::INFINITY, |work| work.cost(prompt));
    cost / candidate.weight.max(1) as f64
}

//! From scores to a pick.

use super::least::Least;
use super::{Candidate, Standing};

/// A candidate of this standing with the probability score · weight / Σ, None if no score is above 0.
pub(super) fn random(candidates: &[Candidate], standing: Standing, rng: &mut fastrand::Rng) -> Option<usize> {
    let total: f64 = candidates.iter().map(|c| worth_of(c, standing)).sum();
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let mut left = rng.f64() * total;
    let mut last = None;
    for (i, candidate) in candidates.iter().enumerate() {
        let worth = worth_of(candidate, standing);
        if worth > 0.0 {
            last = Some(i);
            left -= worth;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

/// The best score · weight above 0 among the candidates of the best standing, ties by smooth weighted round robin.
pub(super) fn best(candidates: &mut [Candidate]) -> Option<usize> {
    let least = Least::of(candidates, |c| -worth(c))?;
    (least.key < 0.0).then(|| least.pick(candidates))
}

/// What a candidate weighs among the others: score · weight, 0 where there is no score above 0.
pub(super) fn worth(candidate: &Candidate) -> f64 {
    match candidate.known.score {
        Some(score) if score > 0.0 && score.is_finite() => score * candidate.divisor(),
        _ => 0.0,
    }
}

/// The same among those of this standing: others weigh nothing.
pub(super) fn worth_of(candidate: &Candidate, standing: Standing) -> f64 {
    if candidate.stands(standing) { worth(candidate) } else { 0.0 }
}

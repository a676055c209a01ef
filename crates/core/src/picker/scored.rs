//! From scores to a pick.

use super::least_conn::least_by;
use super::{Candidate, Standing};

/// A candidate of this standing with the probability score · weight / Σ, None if no score is above 0.
pub(super) fn random(candidates: &[Candidate], standing: Standing, rng: &mut fastrand::Rng) -> Option<usize> {
    let total: f64 = candidates.iter().map(|c| worth(c, standing)).sum();
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let mut left = rng.f64() * total;
    let mut last = None;
    for (i, candidate) in candidates.iter().enumerate() {
        let worth = worth(candidate, standing);
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

/// The best score · weight above 0, ties by smooth weighted round robin.
pub(super) fn best(candidates: &mut [Candidate], standing: Standing) -> Option<usize> {
    candidates.iter().any(|c| worth(c, standing) > 0.0).then_some(())?;
    least_by(candidates, |c| c.stands(standing), |c| -worth(c, standing))
}

/// What a candidate weighs among the others: score · weight, 0 where there is no score above 0 or another standing.
pub(super) fn worth(candidate: &Candidate, standing: Standing) -> f64 {
    match candidate.known.score {
        Some(score) if score > 0.0 && score.is_finite() && candidate.stands(standing) => {
            score * candidate.weight.max(1) as f64
        }
        _ => 0.0,
    }
}

//! Goodput: the highest rate at which enough requests are served as promised.

use super::point::Point;
use crate::compare::{Estimate, paired_per_cent};

/// The shares of requests for which goodput is told.
pub const SHARES: [f64; 2] = [0.9, 0.99];

/// The highest rate at which `share` of the requests is attained, between the last rate that reaches it and the next one
/// by a straight line. `curve` has rates, ascending, and what was attained there. None if no rate reaches the share, or
/// the highest one does.
pub fn rate(curve: &[(f64, f64)], share: f64) -> Option<f64> {
    let last = curve.iter().rposition(|(_, attained)| *attained >= share)?;
    let ((below, reached), (above, missed)) = (curve[last], *curve.get(last + 1)?);
    Some(below + (above - below) * (reached - share) / (reached - missed))
}

/// The goodput of each seed under a policy, over points of one pool at ascending rates.
fn of_seeds(open: &[Point], policy: &str, share: f64) -> Vec<Option<f64>> {
    let seeds = open.first().map_or(0, |point| point.of(policy).len());
    let curve = |seed: usize| -> Vec<(f64, f64)> {
        open.iter().map(|point| (point.load_value(), point.of(policy)[seed].attained)).collect()
    };
    (0..seeds).map(|seed| rate(&curve(seed), share)).collect()
}

/// The mean goodput over the seeds; None if it lies outside of the simulated rates for one of them.
pub fn mean(open: &[Point], policy: &str, share: f64) -> Option<Estimate> {
    let goodputs: Option<Vec<f64>> = of_seeds(open, policy, share).into_iter().collect();
    Estimate::of(&goodputs?)
}

/// By how many per cent it differs from that of another policy, paired by seed.
pub fn per_cent(open: &[Point], policy: &str, base: &str, share: f64) -> Option<Estimate> {
    paired_per_cent(&of_seeds(open, base, share), &of_seeds(open, policy, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_lies_between_the_last_that_reaches_the_share_and_the_next() {
        let curve = [(10.0, 1.0), (20.0, 0.95), (30.0, 0.85), (40.0, 0.1)];
        assert!((rate(&curve, 0.9).unwrap() - 25.0).abs() < 1e-9);
        assert!((rate(&curve, 0.95).unwrap() - 20.0).abs() < 1e-9);
        assert!((rate(&curve, 0.99).unwrap() - 12.0).abs() < 1e-9);
    }

    #[test]
    fn a_dip_before_does_not_count() {
        let curve = [(10.0, 0.99), (20.0, 0.89), (30.0, 0.91), (40.0, 0.81)];
        assert!((rate(&curve, 0.9).unwrap() - 31.0).abs() < 1e-9);
    }

    #[test]
    fn outside_of_the_rates_nothing_is_known() {
        assert_eq!(rate(&[(10.0, 0.8), (20.0, 0.7)], 0.9), None);
        assert_eq!(rate(&[(10.0, 1.0), (20.0, 0.95)], 0.9), None);
        assert_eq!(rate(&[], 0.9), None);
    }
}

//! How fast something grows.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::compare::Estimate;

/// The slope of a straight line through points of time and value, by least squares, with its 95 % interval by Student's
/// t distribution, in units of value by unit of time. None of fewer than three points, or if all are of one time.
pub fn slope(points: &[(f64, f64)]) -> Option<Estimate> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (time, value) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - time).powi(2)).sum();
    if points.len() < 3 || spread <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|point| (point.0 - time) * (point.1 - value)).sum::<f64>() / spread;
    let residual = |point: &(f64, f64)| point.1 - value - slope * (point.0 - time);
    let squares: f64 = points.iter().map(|point| residual(point).powi(2)).sum();
    let student = StudentsT::new(0.0, 1.0, count - 2.0).ok()?;
    let interval = student.inverse_cdf(0.975) * (squares / (count - 2.0) / spread).sqrt();
    Some(Estimate { mean: slope, interval: Some(interval) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_no_doubt() {
        let points: Vec<_> = (0..10).map(|at| (f64::from(at), 7.0 - 2.0 * f64::from(at))).collect();
        let slope = slope(&points).expect("points");
        assert!((slope.mean + 2.0).abs() < 1e-9 && slope.interval.is_some_and(|width| width < 1e-6));
    }

    #[test]
    fn the_interval_is_that_of_the_textbook() {
        // Residuals of ±1/2 in the pattern − + + −, which no line removes: s² = 4·0.25/2, Σ(x − x̄)² = 5, t = 4.3027.
        let slope = slope(&[(0.0, 0.5), (1.0, 2.5), (2.0, 3.5), (3.0, 3.5)]).expect("points");
        assert!((slope.mean - 1.0).abs() < 1e-9, "{slope:?}");
        let width = slope.interval.expect("an interval");
        assert!((width - 4.302_653 * (0.5f64 / 5.0).sqrt()).abs() < 1e-4, "{width}");
    }

    #[test]
    fn too_few_points_have_none() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}

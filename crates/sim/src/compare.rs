//! Policies against each other over the same seeds.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean and half the width of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval; None of one value.
    pub interval: Option<f64>,
}

impl Estimate {
    /// Of independent values, by Student's t distribution; None of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let freedom = count - 1.0;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let interval = StudentsT::new(0.0, 1.0, freedom)
            .ok()
            .map(|student| student.inverse_cdf(0.975) * (squares / freedom / count).sqrt());
        (!values.is_empty()).then_some(Self { mean, interval })
    }

    /// Where the interval begins.
    pub fn low(&self) -> f64 {
        self.mean - self.interval.unwrap_or(0.0)
    }

    /// Where it ends.
    pub fn high(&self) -> f64 {
        self.mean + self.interval.unwrap_or(0.0)
    }
}

/// By how many per cent the values of `other` differ from those of `base`, which came of the same seeds in the same
/// order: the mean over the seeds of each one's difference. None if a value is missing.
pub fn paired_per_cent(base: &[Option<f64>], other: &[Option<f64>]) -> Option<Estimate> {
    let difference =
        |(base, other): (&Option<f64>, &Option<f64>)| Some((((*other)? / (*base)?) - 1.0) * 100.0);
    let differences: Option<Vec<f64>> = base.iter().zip(other).map(difference).collect();
    Estimate::of(&differences?)
}

/// A statistic of a series, with the interval that a jackknife over groups of the series gives: `without(Some(group))`
/// is the statistic without that group, `without(None)` that of all. Student's t over the pseudo-values (Tukey 1958), so
/// groups should be long against what one value has to do with the next. None if one of them is.
pub fn jackknife(groups: usize, without: impl Fn(Option<usize>) -> Option<f64>) -> Option<Estimate> {
    let all = without(None)?;
    let count = groups as f64;
    let pseudo = |group| Some(count * all - (count - 1.0) * without(Some(group))?);
    let pseudo: Option<Vec<f64>> = (0..groups).map(pseudo).collect();
    Some(Estimate { mean: all, interval: Estimate::of(&pseudo?)?.interval })
}

/// Whether two estimates of a difference say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Both are above 0, or both below.
    Direction,
    /// They are not, and are no further from each other than noise takes them.
    Noise,
    /// Neither.
    None,
}

impl Estimate {
    /// Whether this difference and an independent one say the same. Noise is the root of the sum of the squares of both
    /// intervals.
    pub fn agreement(&self, other: &Self) -> Agreement {
        let noise = self.interval.unwrap_or(0.0).hypot(other.interval.unwrap_or(0.0));
        if self.mean * other.mean > 0.0 {
            Agreement::Direction
        } else if (self.mean - other.mean).abs() <= noise {
            Agreement::Noise
        } else {
            Agreement::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_students_distribution() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("values");
        assert_eq!(estimate.mean, 3.0);
        // t of 4 degrees of freedom at 0.975 is 2.776; the standard error is √(2.5/5).
        let interval = estimate.interval.expect("several values");
        assert!((interval - 2.776_445 * 0.5f64.sqrt()).abs() < 1e-4, "{interval}");
        assert_eq!(Estimate::of(&[7.0]), Some(Estimate { mean: 7.0, interval: None }));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn values_are_paired_by_seed() {
        let estimate =
            paired_per_cent(&[Some(10.0), Some(100.0)], &[Some(11.0), Some(110.0)]).expect("pairs");
        assert!((estimate.mean - 10.0).abs() < 1e-9 && estimate.interval.is_some_and(|width| width < 1e-6));
        assert_eq!(paired_per_cent(&[Some(1.0), None], &[Some(1.0), Some(1.0)]), None);
    }

    #[test]
    fn the_jackknife_of_a_mean_is_the_estimate_of_the_groups() {
        let groups = [1.0, 2.0, 3.0, 4.0, 5.0];
        let without = |group: Option<usize>| {
            let kept =
                groups.iter().enumerate().filter(|(at, _)| Some(*at) != group).map(|(_, value)| *value);
            let kept: Vec<f64> = kept.collect();
            Some(kept.iter().sum::<f64>() / kept.len() as f64)
        };
        let (estimate, expected) =
            (jackknife(5, without).expect("values"), Estimate::of(&groups).expect("values"));
        assert_eq!(estimate.mean, expected.mean);
        let width = |estimate: Estimate| estimate.interval.expect("several groups");
        assert!((width(estimate) - width(expected)).abs() < 1e-9);
        assert_eq!(jackknife(5, |group| group.is_none().then_some(1.0)), None);
    }

    #[test]
    fn differences_agree_in_direction_or_within_their_noise() {
        let estimate = |mean, interval| Estimate { mean, interval: Some(interval) };
        let agreement = |mean, interval| estimate(mean, interval).agreement(&estimate(-4.0, 3.0));
        assert_eq!(agreement(-0.1, 1.0), Agreement::Direction);
        assert_eq!(agreement(0.9, 4.0), Agreement::Noise);
        assert_eq!(agreement(1.1, 4.0), Agreement::None);
    }
}

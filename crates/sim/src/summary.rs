//! What a set of times says.

use serde::Serialize;

/// Mean, median and 99th percentile, in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Summary {
    /// Of these samples, exactly; `None` if there are none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| Self {
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            p50: quantile(&sorted, 0.5),
            p99: quantile(&sorted, 0.99),
        })
    }
}

/// The quantile `q` (0 to 1) of sorted samples, which must not be empty: linear between the two nearest, as NumPy's
/// and vLLM's benchmark have it.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact() {
        let summary = Summary::of((0..=100).rev().map(f64::from)).expect("samples");
        assert_eq!(summary, Summary { mean: 50.0, p50: 50.0, p99: 99.0 });
        assert_eq!(Summary::of([1.0, 2.0]), Some(Summary { mean: 1.5, p50: 1.5, p99: 1.99 }));
        assert_eq!(Summary::of([]), None);
    }
}

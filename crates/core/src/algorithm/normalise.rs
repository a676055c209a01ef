//! Normalisations: a column of one signal over the nodes of a pool, changed in place to values in [0, 1], low
//! for a good node. The formulas and constants are the published scheduler's.

/// The value of a node that cannot be compared: it stands alone, or all are equal.
const EQUAL: f64 = 0.5;

/// (x − min) / (max − min); all 0 where max = min.
pub fn minmax(xs: &mut [f64]) {
    let (min, max) = range(xs);
    let width = max - min;
    for x in xs {
        *x = if width > 0.0 { (*x - min) / width } else { 0.0 };
    }
}

/// The same, but leaves a column of equal values as it is.
pub fn minmax_unless_equal(xs: &mut [f64]) {
    let (min, max) = range(xs);
    if !all_equal(min, max) {
        minmax(xs);
    }
}

/// (x − min) / (max − min + 1e-6), and `equal` where all are.
pub fn softened(xs: &mut [f64], equal: f64) {
    let (min, max) = range(xs);
    for x in xs {
        *x = if all_equal(min, max) { equal } else { (*x - min) / (max - min + 1e-6) };
    }
}

/// Of exactly two nodes that both report more than 0, each one's part of the sum; of two equal ones, or of one
/// alone, 0.5; else minmax.
pub fn ratio(xs: &mut [f64]) {
    match xs {
        [x] => *x = EQUAL,
        [a, b] if a == b => (*a, *b) = (EQUAL, EQUAL),
        [a, b] if *a > 0.0 && *b > 0.0 => (*a, *b) = (*a / (*a + *b), *b / (*a + *b)),
        _ => minmax(xs),
    }
}

/// Minmax into a range that is the wider the more the nodes differ: by d = (max − min)/min, or max − min where a
/// node reports 0.
pub fn smooth(xs: &mut [f64]) {
    let (min, max) = range(xs);
    if all_equal(min, max) {
        xs.fill(EQUAL);
        return;
    }
    let difference = if min > 0.0 { (max - min) / min } else { max - min };
    let (low, high) = match difference {
        d if d < 0.1 => (0.45, 0.55),
        d if d < 0.3 => (0.35, 0.65),
        d if d < 0.8 => (0.25, 0.75),
        d if d < 2.0 => (0.15, 0.85),
        _ => (0.05, 0.95),
    };
    minmax(xs);
    for x in xs {
        *x = low + *x * (high - low);
    }
}

/// Cache use by ratio: 0.2 + 0.8·log2(x/min)/log2(max/min), and by a logistic of (x − mean)/(3·sd) where a node
/// reports 0 and there is no ratio.
pub fn precise_cache(xs: &mut [f64]) {
    let (min, max) = range(xs);
    if all_equal(min, max) {
        xs.fill(EQUAL);
    } else if min > 0.0 {
        let width = (max / min).log2();
        for x in xs {
            *x = 0.2 + 0.8 * (*x / min).log2() / width;
        }
    } else {
        let (mean, sd) = mean_and_sd(xs);
        for x in xs {
            let z = (*x - mean) / (3.0 * sd);
            *x = 0.2 + 0.8 / (1.0 + (-2.0 * z).exp());
        }
    }
}

/// Running requests by ratio, one added to each: 0.15 + 0.8·log2(y/ymin)/log2(ymax/ymin).
pub fn precise_running(xs: &mut [f64]) {
    let (min, max) = range(xs);
    if all_equal(min, max) {
        xs.fill(EQUAL);
        return;
    }
    let least = min + 1.0;
    let width = ((max + 1.0) / least).log2();
    for x in xs {
        *x = 0.15 + 0.8 * ((*x + 1.0) / least).log2() / width;
    }
}

/// Which signal a [`distribution`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests queued: outliers are tamed by a logarithm.
    Waiting,
    /// Cache use: a higher gain, and a range of its own where nodes are alike.
    Cache,
    /// Anything else.
    General,
}

/// Values by their place in the distribution: tanh of the z-score, with a gain and a range that follow from the
/// coefficient of variation (sd/|mean|). Keeps the order of the nodes.
pub fn distribution(kind: Kind, xs: &mut [f64]) {
    if xs.len() < 2 {
        xs.fill(EQUAL);
        return;
    }
    let (min, max) = range(xs);
    let kind = if kind == Kind::Waiting && max > 10.0 * min && min >= 0.0 {
        for x in xs.iter_mut() {
            *x = (*x + 1.0).max(1.0).ln();
        }
        Kind::General
    } else {
        kind
    };
    squash(kind, xs);
}

/// The tanh itself. It rises with x, and so keeps the order that the published scheduler repairs by ranks: where
/// the two sorts could differ (values that round to one at the end of the range), both are stable and agree.
fn squash(kind: Kind, xs: &mut [f64]) {
    let (mean, sd) = mean_and_sd(xs);
    let sd = if sd == 0.0 { 1e-6 } else { sd };
    let variation = if mean.abs() <= 1e-6 { sd } else { sd / mean.abs() };
    let (mut gain, mut low, mut high) = match variation {
        v if v < 0.1 => (3.0, 0.4, 0.6),
        v if v < 0.3 => (2.0, 0.25, 0.75),
        v if v < 0.8 => (1.5, 0.15, 0.85),
        _ => (1.0, 0.1, 0.9),
    };
    if kind == Kind::Cache {
        gain *= 1.5;
        if variation < 0.2 {
            (low, high) = (0.35, 0.65);
        }
    }
    for x in xs {
        let z = if sd <= 1e-6 { 0.0 } else { (*x - mean) / sd };
        *x = (low + (0.5 + 0.5 * (gain * z / 2.0).tanh()) * (high - low)).clamp(0.0, 1.0);
    }
}

/// The least and the greatest; (0, 0) of nothing.
fn range(xs: &[f64]) -> (f64, f64) {
    let Some((&first, rest)) = xs.split_first() else { return (0.0, 0.0) };
    rest.iter().fold((first, first), |(min, max), &x| (min.min(x), max.max(x)))
}

fn all_equal(min: f64, max: f64) -> bool {
    min == max
}

/// Mean and population standard deviation; (0, 0) of nothing.
pub(super) fn mean_and_sd(xs: &[f64]) -> (f64, f64) {
    if xs.is_empty() {
        return (0.0, 0.0);
    }
    let n = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / n;
    let variance = xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

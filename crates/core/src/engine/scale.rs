//! Units, and the use of a cache, which engines report as a ratio or in per cent.

/// The unit in which a family is reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// The value is multiplied by this, 0.01 for per cent.
    Times(f64),
    /// A ratio in some versions of the engine and per cent in others: a value above 1 can only be per cent. (Up to 1
    /// per cent it is then read too high, of an engine whose cache is as good as empty.)
    RatioOrPerCent,
}

/// A use of a cache above this is no slip of an engine that reports a ratio: it reports per cent.
const CERTAIN: f64 = 2.0;

/// The largest use of a cache that is read as a ratio: some engines count blocks that are about to be freed, and report
/// slightly more than 1.
const FULLEST: f64 = 1.5;

impl Scale {
    /// The value in the unit of its signal.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Scale::Times(factor) => value * factor,
            Scale::RatioOrPerCent if value > 1.0 => value / 100.0,
            Scale::RatioOrPerCent => value,
        }
    }

    /// The use of a cache as a ratio: a value that can be no ratio is in per cent, whatever the unit was taken for, and so is any
    /// value of an engine that is known to report `per_cent`. None if the value is too large for that as well.
    pub fn ratio(self, value: f64, per_cent: bool) -> Option<f64> {
        let ratio = match self {
            _ if per_cent => value / 100.0,
            Scale::Times(factor) if value * factor > FULLEST => value * factor / 100.0,
            _ => self.apply(value),
        };
        (ratio <= FULLEST).then_some(ratio)
    }

    /// Whether a use of a cache shows for certain that its engine reports per cent, so that its small values do too.
    pub fn is_per_cent(self, value: f64) -> bool {
        match self {
            Scale::Times(factor) => value * factor > CERTAIN,
            Scale::RatioOrPerCent => value > CERTAIN,
        }
    }
}

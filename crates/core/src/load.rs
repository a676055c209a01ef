//! What an engine reports of its load.

/// One answer of an engine; a signal that it did not report, or not as a finite number ≥ 0, is unknown, not 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Requests queued.
    pub waiting: Option<f64>,
    /// Requests being executed.
    pub running: Option<f64>,
    /// KV-cache use, 0 to 1.
    pub cache: Option<f64>,
    /// Whether the engine says itself that it serves no requests now: it was put to sleep, and is not chosen while
    /// another peer is open.
    pub closed: bool,
}

impl Load {
    /// What it says of a signal.
    pub fn get(&self, signal: Signal) -> Option<f64> {
        match signal {
            Signal::Waiting => self.waiting,
            Signal::Running => self.running,
            Signal::Cache => self.cache,
        }
    }

    /// Puts down a signal; a value that cannot be one (see [`known`]) is put down as unknown.
    pub fn set(&mut self, signal: Signal, value: Option<f64>) {
        let value = value.and_then(known);
        match signal {
            Signal::Waiting => self.waiting = value,
            Signal::Running => self.running = value,
            Signal::Cache => self.cache = value,
        }
    }

    /// Whether nothing at all is known.
    pub fn is_unknown(&self) -> bool {
        Signal::ALL.iter().all(|&signal| self.get(signal).is_none())
    }
}

/// The three numbers that engines report and algorithms weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Requests queued in the engine.
    Waiting,
    /// Requests being executed.
    Running,
    /// KV-cache use, 0 to 1.
    Cache,
}

impl Signal {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Signal; 3] = [Signal::Waiting, Signal::Running, Signal::Cache];

    /// The word for it in directives and in the status.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Waiting => "waiting",
            Signal::Running => "running",
            Signal::Cache => "cache",
        }
    }
}

/// A reported number, None unless it is finite and not negative: no count or ratio can be, so such a number says
/// that its sender does not know. (−0 becomes 0.)
pub fn known(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finite_number_that_is_not_negative_is_known() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE] {
            assert_eq!(known(value), None, "{value}");
        }
        assert_eq!(known(0.25), Some(0.25));
        assert!(known(-0.0).is_some_and(f64::is_sign_positive));
    }

    #[test]
    fn a_signal_that_is_set_is_the_one_that_is_got() {
        for (number, signal) in Signal::ALL.into_iter().enumerate() {
            let mut load = Load::default();
            assert!(load.is_unknown());
            load.set(signal, Some(number as f64));
            for other in Signal::ALL {
                assert_eq!(load.get(other), (other == signal).then_some(number as f64));
            }
            load.set(signal, Some(f64::NAN));
            assert!(load.is_unknown(), "{}", signal.name());
        }
    }
}

//! The weights of the signals and the adjustments that the published scheduler makes to them.

/// How much each signal counts; each is ≥ 0 and finite, and at least one is > 0 unless the algorithm reads none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of the requests queued (`w_a`).
    pub waiting: f64,
    /// Of the KV-cache use (`w_b`).
    pub cache: f64,
    /// Of the requests being executed (`w_g`).
    pub running: f64,
}

/// What a `tblb` directive can set of an algorithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// The weights of the signals.
    pub weights: Weights,
    /// Waiting requests at which the dynamic weights are half way to their limit (tanh(1) = 0.76), > 0.
    pub transition_point: f64,
    /// How sharply the dynamic weights change there, > 0.
    pub steepness: f64,
}

impl Params {
    /// The published defaults with these weights.
    pub const fn new(weights: Weights) -> Self {
        Params { weights, transition_point: 30.0, steepness: 1.0 }
    }
}

impl Weights {
    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.waiting + self.cache + self.running
    }

    /// The same proportions with the sum `to`; unchanged if the sum is not > 0.
    pub(crate) fn rescaled(self, to: f64) -> Self {
        let sum = self.sum();
        if sum > 0.0 { self.times(to / sum, to / sum, to / sum) } else { self }
    }

    fn times(self, waiting: f64, cache: f64, running: f64) -> Self {
        Weights {
            waiting: self.waiting * waiting,
            cache: self.cache * cache,
            running: self.running * running,
        }
    }
}

/// The published dynamic weights of three signals: the longer the longest queue, the more `waiting` counts.
/// With I = tanh(max waiting · steepness / transition_point) the weights are w_a·(0.1 + 2.4·I),
/// w_b·(1.5 − 1.1·I) and w_g·(1.4 − 0.8·I), rescaled to their original sum.
pub(super) fn dynamic_of_three(params: &Params, waiting: &[f64]) -> Weights {
    let longest = waiting.iter().copied().fold(0.0, f64::max);
    let intensity = (longest * params.steepness / params.transition_point).tanh();
    let weights = params.weights;
    weights.times(0.1 + 2.4 * intensity, 1.5 - 1.1 * intensity, 1.4 - 0.8 * intensity).rescaled(weights.sum())
}

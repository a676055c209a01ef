//! The weights of the signals and the adjustments that the published scheduler makes to them.

use super::Nodes;
use super::normalise::mean_and_sd;

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
    /// The power to which `s1_nonlinear` raises the relative cache use, > 0.
    pub power: f64,
}

impl Params {
    /// The published defaults with these weights.
    pub const fn new(weights: Weights) -> Self {
        Params { weights, transition_point: 30.0, steepness: 1.0, power: 2.0 }
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

    /// Those of the signals that an algorithm reads.
    fn of(self, signals: Signals) -> Self {
        match signals {
            Signals::Two => self.of_two(),
            Signals::Three => self,
        }
    }

    /// Those of waiting and cache.
    pub(super) fn of_two(self) -> Self {
        Weights { running: 0.0, ..self }
    }

    fn times(self, waiting: f64, cache: f64, running: f64) -> Self {
        Weights {
            waiting: self.waiting * waiting,
            cache: self.cache * cache,
            running: self.running * running,
        }
    }
}

/// Which signals an algorithm reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signals {
    /// Waiting and cache.
    Two,
    /// Waiting, cache and running.
    Three,
}

/// The published dynamic weights: the longer the longest queue, the more `waiting` counts. With
/// I = tanh(max waiting · steepness / transition_point) the weights are w_a·(0.2 + 2.3·I) and w_b·(1.8 − 1.5·I) of
/// two signals, or w_a·(0.1 + 2.4·I), w_b·(1.5 − 1.1·I) and w_g·(1.4 − 0.8·I) of three, rescaled to their original
/// sum.
pub(super) fn dynamic(params: &Params, waiting: &[f64], signals: Signals) -> Weights {
    let longest = waiting.iter().copied().fold(0.0, f64::max);
    let intensity = (longest * params.steepness / params.transition_point).tanh();
    let weights = params.weights.of(signals);
    let changed = match signals {
        Signals::Two => weights.times(0.2 + 2.3 * intensity, 1.8 - 1.5 * intensity, 0.0),
        Signals::Three => weights.times(0.1 + 2.4 * intensity, 1.5 - 1.1 * intensity, 1.4 - 0.8 * intensity),
    };
    changed.rescaled(weights.sum())
}

/// The published weights by variation: with the coefficient of variation v of each signal (sd/mean, 0 where the
/// mean is 0) and their sum V > 0, each weight is multiplied by 1 + v/V, then all are rescaled to their original sum.
pub(super) fn by_variation(weights: &Weights, nodes: &Nodes, signals: Signals) -> Weights {
    let weights = weights.of(signals);
    let waiting = variation(&nodes.waiting);
    let cache = variation(&nodes.cache);
    let running = if signals == Signals::Three { variation(&nodes.running) } else { 0.0 };
    let sum = waiting + cache + running;
    if sum <= 0.0 {
        return weights;
    }
    weights.times(1.0 + waiting / sum, 1.0 + cache / sum, 1.0 + running / sum).rescaled(weights.sum())
}

fn variation(column: &[f64]) -> f64 {
    let (mean, sd) = mean_and_sd(column);
    if mean == 0.0 { 0.0 } else { sd / mean }
}

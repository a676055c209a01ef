//! Histograms of what requests took.

use super::MetricsForm;
use crate::node::{Nanos, Request};

/// The upper bounds of an engine's histograms.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Bounds {
    pub ttft: &'static [f64],
    pub tpot: &'static [f64],
    pub e2e: &'static [f64],
    pub tokens: &'static [f64],
}

#[derive(Debug, Clone)]
pub(in crate::engine) struct Histogram {
    pub bounds: &'static [f64],
    /// Observations up to each bound and above the one before; the last are above all bounds.
    pub counts: Vec<u64>,
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn observe(&mut self, value: f64) {
        let at = self.bounds.partition_point(|&bound| bound < value);
        self.counts[at] += 1;
        self.sum += value;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What requests took, in seconds, and their tokens.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Latencies {
    /// To the first token.
    pub ttft: Histogram,
    /// Each further token, a request's mean.
    pub tpot: Histogram,
    /// The whole request.
    pub e2e: Histogram,
    /// Tokens of the prompts of finished requests.
    pub prompt: Histogram,
    /// Tokens that finished requests generated.
    pub generation: Histogram,
}

const NANOS_PER_SECOND: f64 = 1e9;

impl Latencies {
    pub fn new(form: MetricsForm) -> Self {
        let bounds = form.bounds();
        Self {
            ttft: Histogram::new(bounds.ttft),
            tpot: Histogram::new(bounds.tpot),
            e2e: Histogram::new(bounds.e2e),
            prompt: Histogram::new(bounds.tokens),
            generation: Histogram::new(bounds.tokens),
        }
    }

    pub fn first_token(&mut self, ttft: Nanos) {
        self.ttft.observe(ttft as f64 / NANOS_PER_SECOND);
    }

    /// `decoding` is the time from the first token to the last.
    pub fn done(&mut self, request: Request, e2e: Nanos, decoding: Nanos) {
        self.e2e.observe(e2e as f64 / NANOS_PER_SECOND);
        self.prompt.observe(f64::from(request.prompt));
        self.generation.observe(f64::from(request.output));
        if request.output > 1 {
            self.tpot.observe(decoding as f64 / NANOS_PER_SECOND / f64::from(request.output - 1));
        }
    }
}

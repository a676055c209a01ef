//! What the policies made of a scenario at a load.

use crate::compare::{Estimate, paired_per_cent};
use crate::fleet::Measures;
use crate::metric::Metric;
use crate::scenario::Load;

/// A scenario at a load, under policies, over the same seeds.
#[derive(Debug, Clone)]
pub struct Point {
    /// The scenario's name.
    pub scenario: String,
    /// The load.
    pub load: Load,
    /// Each policy and what its runs came to, in the order of the seeds.
    pub runs: Vec<(String, Vec<Measures>)>,
}

impl Point {
    /// The runs under a policy; none if it was not simulated here.
    pub fn of(&self, policy: &str) -> &[Measures] {
        self.runs.iter().find(|(name, _)| name == policy).map_or(&[], |(_, runs)| runs)
    }

    fn values(&self, metric: Metric, policy: &str) -> Vec<Option<f64>> {
        self.of(policy).iter().map(metric.of).collect()
    }

    /// The mean over the seeds; None if a run lacks the number.
    pub fn mean(&self, metric: Metric, policy: &str) -> Option<Estimate> {
        let values: Option<Vec<f64>> = self.values(metric, policy).into_iter().collect();
        Estimate::of(&values?)
    }

    /// By how many per cent a policy differs from another one, paired by seed.
    pub fn per_cent(&self, metric: Metric, policy: &str, base: &str) -> Option<Estimate> {
        paired_per_cent(&self.values(metric, base), &self.values(metric, policy))
    }

    /// The load as a row's head has it.
    pub fn load_text(&self) -> String {
        match self.load {
            Load::Concurrency(clients) => clients.to_string(),
            Load::Rate(rate) => format!("{rate}/s"),
        }
    }

    /// The scenario and the load.
    pub fn name(&self) -> String {
        format!("{} {}", self.scenario, self.load_text())
    }

    /// The clients or the requests a second, for a plot.
    pub fn load_value(&self) -> f64 {
        match self.load {
            Load::Concurrency(clients) => clients as f64,
            Load::Rate(rate) => rate,
        }
    }
}

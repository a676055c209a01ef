//! What is simulated: the pool, its load, the nginx before it and what befalls it, as a TOML file says it.

mod arrivals;
mod event;
mod fleets;
mod nodes;
mod presets;
mod proxy;
mod requests;
#[cfg(test)]
mod tests;

pub use arrivals::{Arrivals, Flash, Ramp};
pub use event::{Blow, Event};
pub use fleets::{Class, random_fleet};
pub use nodes::NodeGroup;
pub use presets::PRESETS;
pub use proxy::Proxy;
pub use requests::Requests;

use std::path::Path;

use serde::Deserialize;

use crate::policy::Rule;

/// A scenario. Its keys are those of the file; docs/simulator.md describes them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called: the name of a preset, or that of the file without its ending.
    #[serde(skip)]
    pub name: String,
    /// One sentence on it.
    pub about: String,
    /// Requests in a run, all of them measured, the opening burst of a closed loop too.
    pub requests: usize,
    /// Requests for each node that come before the load, one a second for each, and are not measured: nginx has been
    /// running before the published tests began, and has learnt what it can. 0 for an nginx that starts with the load.
    #[serde(default = "warmup")]
    pub warmup: usize,
    /// Clients that each send their next request when their last one is done; one run each.
    #[serde(default)]
    pub concurrency: Vec<usize>,
    /// Requests a second, at random times; one run each.
    #[serde(default)]
    pub rate: Vec<f64>,
    /// Seconds that a client of a closed loop thinks before its next request, on average.
    #[serde(default)]
    pub think: f64,
    /// The policies to compare, the first one with the others, as `--policy` takes them.
    #[serde(default)]
    pub policies: Vec<String>,
    /// How the requests of an open loop come.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// What is asked.
    #[serde(default)]
    pub workload: Requests,
    /// The nodes.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeGroup>,
    /// The nginx before them.
    #[serde(default)]
    pub proxy: Proxy,
    /// What befalls nodes.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
}

/// As many as it takes to learn the speed of a node, twice.
fn warmup() -> usize {
    40
}

/// How much load there is in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// A closed loop of so many clients.
    Concurrency(usize),
    /// An open loop of so many requests a second.
    Rate(f64),
}

impl Scenario {
    /// A preset, or a file.
    ///
    /// # Errors
    /// There is neither, or the file is no scenario.
    pub fn load(name: &str) -> Result<Self, String> {
        if let Some(preset) = Self::named(name) {
            return Ok(preset);
        }
        let path = Path::new(name);
        let text = std::fs::read_to_string(path).map_err(|error| {
            let presets = PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            format!("{name}: {error} (a scenario is a file or one of {presets})")
        })?;
        let stem =
            path.file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&stem, &text).map_err(|error| format!("{name}: {error}"))
    }

    /// The preset of this name.
    pub fn named(name: &str) -> Option<Self> {
        let (name, text) = PRESETS.iter().find(|(known, _)| *known == name)?;
        Self::parse(name, text).ok()
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.check()?;
        Ok(Self { name: name.to_owned(), ..scenario })
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.policies.iter().try_for_each(|text| Rule::parse(text).map(|_| ()))?;
        let nodes = self.each_node().count();
        if nodes == 0 {
            return Err("there are no nodes".to_owned());
        }
        if self.concurrency.contains(&0) {
            return Err("concurrency must be above 0".to_owned());
        }
        self.rate.iter().try_for_each(|rate| positive("rate", *rate))?;
        not_negative("think", self.think)?;
        self.nodes.iter().try_for_each(NodeGroup::check)?;
        self.events.iter().try_for_each(|event| event.check(nodes))?;
        self.arrivals.check()?;
        self.workload.check()?;
        self.proxy.check()
    }

    /// The loads that it names.
    pub fn loads(&self) -> Vec<Load> {
        let closed = self.concurrency.iter().map(|&clients| Load::Concurrency(clients));
        closed.chain(self.rate.iter().map(|&rate| Load::Rate(rate))).collect()
    }

    /// The group of each node.
    pub fn each_node(&self) -> impl Iterator<Item = &NodeGroup> {
        self.nodes.iter().flat_map(|group| std::iter::repeat_n(group, group.count))
    }
}

/// The value 1 where a file leaves a factor out.
fn unchanged() -> f64 {
    1.0
}

/// Refuses what is no time or amount.
fn not_negative(key: &str, value: f64) -> Result<(), String> {
    if (0.0..1e9).contains(&value) { Ok(()) } else { Err(format!("{key} must be a number from 0 on")) }
}

fn positive(key: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value < 1e9 { Ok(()) } else { Err(format!("{key} must be a number above 0")) }
}

fn share(key: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{key} must be a share, from 0 to 1")) }
}

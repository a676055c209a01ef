//! What is simulated: the pool, its load and the nginx before it, as a TOML file says it.

use std::path::Path;

use serde::Deserialize;

use crate::node::NodeSpec;

/// A scenario. Its keys are those of the file.
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
    /// Clients that each send their next request when their last one is done; one run each.
    #[serde(default)]
    pub concurrency: Vec<usize>,
    /// Requests a second, at random times; one run each.
    #[serde(default)]
    pub rate: Vec<f64>,
    /// Seconds that a client of a closed loop thinks before its next request, on average.
    #[serde(default)]
    pub think: f64,
    /// The nodes.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeGroup>,
    /// The nginx before them.
    #[serde(default)]
    pub proxy: Proxy,
}

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGroup {
    /// The node type, one of [`crate::node::NODE_TYPES`].
    #[serde(rename = "type")]
    pub node_type: String,
    /// How many there are.
    #[serde(default = "one")]
    pub count: usize,
    /// How many times as fast they are as the node type.
    #[serde(default = "unchanged")]
    pub speed: f64,
    /// Requests that are kept at each of them directly: as soon as one is done the next one comes.
    #[serde(default)]
    pub background: usize,
}

/// The nginx before the nodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Instances that know nothing of each other; a request comes to any.
    pub instances: usize,
    /// Workers of an instance; a request comes to any.
    pub workers: usize,
    /// Seconds from one poll of a node to the next, on average; 0 for no polls.
    pub interval: f64,
    /// Seconds from when a page is made until the workers know it.
    pub delay: f64,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { instances: 1, workers: 1, interval: 1.0, delay: 0.005 }
    }
}

fn one() -> usize {
    1
}

fn unchanged() -> f64 {
    1.0
}

/// How much load there is in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// A closed loop of so many clients.
    Concurrency(usize),
    /// An open loop of so many requests a second.
    Rate(f64),
}

/// The scenarios that are named on the command line instead of a file.
const PRESETS: [(&str, &str); 2] = [
    ("hetero", include_str!("../../scenarios/hetero.toml")),
    ("homogeneous", include_str!("../../scenarios/homogeneous.toml")),
];

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
            let presets = PRESETS.map(|(name, _)| name).join(", ");
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
    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(what.to_owned());
        if self.nodes.iter().all(|group| group.count == 0) {
            return wrong("there are no nodes");
        }
        if let Some(group) = self.nodes.iter().find(|group| NodeSpec::named(&group.node_type).is_none()) {
            return Err(format!("there is no node type \"{}\"", group.node_type));
        }
        if !self.nodes.iter().all(|group| group.speed > 0.0 && group.speed.is_finite()) {
            return wrong("the speed of a node must be above 0");
        }
        if self.proxy.instances == 0 || self.proxy.workers == 0 {
            return wrong("there must be an nginx instance and a worker");
        }
        let times = [self.think, self.proxy.interval, self.proxy.delay];
        if !times.iter().all(|time| (0.0..1e6).contains(time)) {
            return wrong("times must be seconds from 0 on");
        }
        if !self.rate.iter().all(|rate| *rate > 0.0 && rate.is_finite()) || self.concurrency.contains(&0) {
            return wrong("rate and concurrency must be above 0");
        }
        Ok(())
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

/// The batch at which speeds are compared: where the nodes of the field test are busy and do not queue.
const REFERENCE_BATCH: usize = 32;

impl NodeGroup {
    /// What a node of the group is like.
    pub fn spec(&self) -> NodeSpec {
        let named = NodeSpec::named(&self.node_type).unwrap_or(crate::node::NODE_TYPES[0]);
        named.at_speed(self.speed)
    }

    /// The true speed of such a node: tokens per ms with 32 requests of ShareGPT's mean lengths (about as many prompt
    /// tokens as tokens to generate, each request half way) in its batch.
    pub fn true_speed(&self) -> f64 {
        let batch = REFERENCE_BATCH as u32;
        let step = self.spec().step.ms(batch, REFERENCE_BATCH, u64::from(batch) * 318);
        f64::from(batch) / step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_the_published_pools() {
        let hetero = Scenario::load("hetero").expect("a preset");
        let types: Vec<_> = hetero.each_node().map(|group| group.node_type.as_str()).collect();
        assert_eq!(types, ["1gpu", "4gpu-tp"]);
        let homogeneous = Scenario::load("homogeneous").expect("a preset");
        let background: Vec<_> = homogeneous.each_node().map(|group| group.background).collect();
        assert_eq!(background, [50, 50, 0, 0, 0]);
        assert_eq!(homogeneous.loads().len(), 10);
    }

    #[test]
    fn a_file_that_is_wrong_says_where() {
        let node = "[[node]]\ntype = \"1gpu\"\n";
        let parse = |text: &str| Scenario::parse("x", &format!("about = \"\"\nrequests = 1\n{text}"));
        assert!(parse(node).is_ok());
        for (text, expected) in [
            ("[[node]]\ntype = \"2gpu\"\n".to_owned(), "2gpu"),
            (format!("colour = 1\n{node}"), "colour"),
            (format!("{node}speed = 0\n"), "speed"),
            (format!("{node}[proxy]\nworkers = 0\n"), "worker"),
            (format!("rate = [-1]\n{node}"), "rate"),
            ("node = []".to_owned(), "no nodes"),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(expected), "{error}");
        }
        let error = Scenario::load("no/such.toml").expect_err("no file");
        assert!(error.contains("homogeneous"), "{error}");
    }

    #[test]
    fn the_node_of_four_gpus_is_about_half_as_fast_again() {
        let speeds: Vec<_> =
            Scenario::named("hetero").expect("a preset").each_node().map(NodeGroup::true_speed).collect();
        assert!((1.3..1.9).contains(&(speeds[1] / speeds[0])), "{speeds:?}");
    }
}

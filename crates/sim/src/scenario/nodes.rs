//! The nodes.

use serde::Deserialize;

use super::{not_negative, positive, unchanged};
use crate::node::{NODE_TYPES, NodeSpec};

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGroup {
    /// The node type, one of [`NODE_TYPES`].
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
    /// Requests a second that come to each of them directly, at random times.
    #[serde(default)]
    pub background_rate: f64,
    /// Tokens that a step yields for a sequence by speculative decoding; its steps take a fifth longer than without.
    #[serde(default = "unchanged")]
    pub speculative: f64,
    /// Whether it puts the tokens of several steps into one event where it is busy.
    #[serde(default)]
    pub merge: bool,
}

fn one() -> usize {
    1
}

/// How much longer a step takes that also drafts and checks guesses.
const DRAFTING: f64 = 1.2;

/// Sequences that run for each token more that a node puts into one event if it merges.
const MERGED: f64 = 32.0;

/// The batch at which speeds are compared: where the nodes of the field test are busy and do not queue.
const REFERENCE_BATCH: u32 = 32;

/// The tokens that a request of ShareGPT holds half way.
const REFERENCE_CONTEXT: u64 = 318;

impl NodeGroup {
    /// Nodes of a type.
    pub fn new(node_type: &str, count: usize) -> Self {
        Self {
            node_type: node_type.to_owned(),
            count,
            speed: 1.0,
            background: 0,
            background_rate: 0.0,
            speculative: 1.0,
            merge: false,
        }
    }

    /// What a node of the group is like.
    pub fn spec(&self) -> NodeSpec {
        let named = NodeSpec::named(&self.node_type).unwrap_or(NODE_TYPES[0]);
        let mut spec = named.at_speed(self.speed);
        if self.speculative > 1.0 {
            spec.step.base *= DRAFTING;
            spec.step.decode *= DRAFTING;
            spec.step.resident *= DRAFTING;
        }
        spec
    }

    /// Steps in which so many tokens come out.
    pub fn steps(&self, tokens: u32) -> u32 {
        (f64::from(tokens) / self.speculative).ceil() as u32
    }

    /// Tokens that have come out of so many steps.
    pub fn tokens(&self, steps: u32) -> u32 {
        (f64::from(steps) * self.speculative) as u32
    }

    /// Tokens in an event of a stream while so many sequences run.
    pub fn tokens_per_event(&self, running: usize) -> f64 {
        self.speculative * if self.merge { 1.0 + running as f64 / MERGED } else { 1.0 }
    }

    /// The true speed of such a node: tokens per ms with 32 requests of ShareGPT's mean lengths (about as many prompt
    /// tokens as tokens to generate, each request half way) in its batch.
    pub fn true_speed(&self) -> f64 {
        let batch = f64::from(REFERENCE_BATCH);
        let prompts = (batch * self.speculative) as u32;
        let resident = u64::from(REFERENCE_BATCH) * REFERENCE_CONTEXT;
        batch * self.speculative / self.spec().step.ms(prompts, REFERENCE_BATCH as usize, resident)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if NodeSpec::named(&self.node_type).is_none() {
            let known = NODE_TYPES.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no node type \"{}\", only {known}", self.node_type));
        }
        positive("speed", self.speed)?;
        not_negative("background_rate", self.background_rate)?;
        if self.speculative < 1.0 {
            return Err("speculative must be 1 or more".to_owned());
        }
        positive("speculative", self.speculative)
    }
}

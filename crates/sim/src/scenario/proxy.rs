//! The nginx before the nodes.

use serde::Deserialize;

use super::not_negative;

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
    /// Seconds after the load began from which on pages say for ever what they said then.
    pub frozen: Option<f64>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { instances: 1, workers: 1, interval: 1.0, delay: 0.005, frozen: None }
    }
}

impl Proxy {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.instances == 0 || self.workers == 0 {
            return Err("there must be an nginx instance and a worker".to_owned());
        }
        not_negative("interval", self.interval)?;
        not_negative("delay", self.delay)?;
        self.frozen.map_or(Ok(()), |frozen| not_negative("frozen", frozen))
    }
}

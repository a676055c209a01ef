//! What befalls a node.

use serde::Deserialize;

use super::{not_negative, positive};

/// Something befalls a node.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Seconds after the load began.
    pub at: f64,
    /// The node, counted from 0 in the order of the file.
    pub node: usize,
    /// What it is.
    pub kind: Blow,
    /// How long it lasts, in seconds; without it, to the end of the run.
    #[serde(rename = "for")]
    pub lasts: Option<f64>,
    /// How many times as slow a node is that slows.
    #[serde(default = "five")]
    pub factor: f64,
}

/// What can befall a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blow {
    /// Everything takes longer there.
    Slow,
    /// Nothing happens there: connections are accepted, no byte comes, polls time out. Then it goes on.
    Hang,
    /// Its process is gone: answers break off, connections are refused. Then it starts anew, empty.
    Die,
}

fn five() -> f64 {
    5.0
}

impl Event {
    pub(super) fn check(&self, nodes: usize) -> Result<(), String> {
        if self.node >= nodes {
            return Err(format!("there is no node {}: they are counted from 0", self.node));
        }
        not_negative("at", self.at)?;
        positive("factor", self.factor)?;
        self.lasts.map_or(Ok(()), |lasts| positive("for", lasts))
    }
}

//! What is asked.

use serde::Deserialize;

use super::{share, unchanged};
use crate::workload::Mix;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requests {
    /// How long prompts and answers are.
    pub lengths: Mix,
    /// The share of requests with an image in base64: 100 KB to 2 MB of body, some hundred tokens.
    pub images: f64,
    /// The share of requests whose answer comes in one piece.
    pub non_streaming: f64,
    /// Requests in a conversation, on average; each has all that was said before in its prompt, and a node that served
    /// the one before has that in its prefix cache.
    pub turns: f64,
}

impl Default for Requests {
    fn default() -> Self {
        Self { lengths: Mix::default(), images: 0.0, non_streaming: 0.0, turns: unchanged() }
    }
}

impl Requests {
    pub(super) fn check(&self) -> Result<(), String> {
        share("images", self.images)?;
        share("non_streaming", self.non_streaming)?;
        if (1.0..1e6).contains(&self.turns) { Ok(()) } else { Err("turns must be 1 or more".to_owned()) }
    }
}

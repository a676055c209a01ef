//! A pick as it is written down, with all that it was made of, so that it can be made again.

use super::{Candidate, Picked, pick};
use crate::config::{Block, Error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A pick, and all that it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// The name of the upstream.
    pub upstream: Cow<'a, str>,
    /// Whether it was among the backup servers.
    pub backup: bool,
    /// The process that made it.
    pub pid: u32,
    /// The directives that a pick goes by, as [`Block::parse`] takes them.
    pub directives: Cow<'a, str>,
    /// The tokens that the request's prompt counts for.
    pub prompt: u32,
    /// The state of the random numbers before it.
    pub seed: u64,
    /// Those that could be picked, as they were before it.
    pub candidates: Cow<'a, [Candidate]>,
    /// What it came to.
    pub picked: Picked,
}

impl Record<'_> {
    /// Makes the pick again.
    ///
    /// # Errors
    /// Directives that are wrong.
    pub fn replay(&self) -> Result<Option<Picked>, Error> {
        let block = Block::parse(&self.directives)?;
        let mut candidates = self.candidates.to_vec();
        Ok(pick(&block, self.prompt, &mut candidates, &mut fastrand::Rng::with_seed(self.seed)))
    }
}

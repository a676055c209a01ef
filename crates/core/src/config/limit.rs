//! What `tblb_limit` says: from which load on a peer is left out while another is not.

use super::value::non_negative;
use super::{Error, parameter};
use crate::load::Load;

/// The largest loads at which a peer is picked while another is under its limits, too.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limit {
    /// Requests queued in the engine, None for no limit.
    pub waiting: Option<f64>,
    /// Requests being executed, None for no limit.
    pub running: Option<f64>,
}

const PARAMETERS: [&str; 2] = ["waiting", "running"];

impl Limit {
    /// Parses the words after `tblb_limit`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, Error> {
        if words.is_empty() {
            return Err(Error::number_of_parameters("\"waiting=\", \"running=\" or both"));
        }
        let mut limit = Limit::default();
        for word in words {
            match parameter(word, &PARAMETERS)? {
                ("waiting", value) => limit.waiting = Some(non_negative(word, value)?),
                (_, value) => limit.running = Some(non_negative(word, value)?),
            }
        }
        Ok(limit)
    }

    /// Whether a load is strictly over a limit. What is unknown is over none.
    pub fn is_exceeded_by(&self, load: &Load) -> bool {
        let over = |value: Option<f64>, limit: Option<f64>| {
            value.zip(limit).is_some_and(|(value, limit)| value > limit)
        };
        over(load.waiting, self.waiting) || over(load.running, self.running)
    }
}

//! How the requests of an open loop come.

use serde::Deserialize;

use super::{positive, unchanged};

/// How the requests of an open loop come.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Arrivals {
    /// Standard deviation of the time between requests as a part of its mean: 1 is Poisson, more is burstier (Gamma).
    pub cv: f64,
    /// The rate rises or falls.
    pub ramp: Option<Ramp>,
    /// A crowd comes.
    pub flash: Option<Flash>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { cv: unchanged(), ramp: None, flash: None }
    }
}

/// The rate goes evenly to `to` times what it was, and stays there.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The factor at the end.
    pub to: f64,
    /// Seconds that it takes, from the first request on.
    pub over: f64,
}

/// The rate is `times` as high for a while.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flash {
    /// Seconds after the first request.
    pub at: f64,
    /// How long, in seconds.
    #[serde(rename = "for")]
    pub lasts: f64,
    /// How many times as high.
    pub times: f64,
}

impl Arrivals {
    /// The factor on the rate so many seconds after the load began.
    pub fn factor(&self, at: f64) -> f64 {
        let ramp = self.ramp.map_or(1.0, |ramp| 1.0 + (ramp.to - 1.0) * (at / ramp.over).min(1.0));
        let crowd = self.flash.filter(|flash| (flash.at..flash.at + flash.lasts).contains(&at));
        ramp * crowd.map_or(1.0, |flash| flash.times)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        positive("cv", self.cv)?;
        if let Some(ramp) = self.ramp {
            positive("to", ramp.to)?;
            positive("over", ramp.over)?;
        }
        self.flash.map_or(Ok(()), |flash| positive("times", flash.times))
    }
}

//! The configuration model: what the directives of an upstream block say. nginx and the simulator parse the same
//! words with it.

mod auth;
mod block;
mod error;
mod limit;
mod metrics;
mod models;
mod recording;
mod server;
mod signal;
mod text;
mod value;

pub use auth::{Auth, AuthScheme, Exposure, SECRET_LIMIT, Secret};
pub use block::Block;
pub use error::Error;
pub use limit::Limit;
pub use metrics::{Metrics, Scheme, Verify};
pub use models::{Models, Unlisted};
pub use recording::Recording;
pub use server::{Place, Server, Url};
pub use text::method_after;

use crate::algorithm::{self, Algorithm, Params, Rule, Weights};
use crate::picker::Pick;
use std::time::Duration;
use value::{non_negative, one_of, positive, time};

/// What `tblb` says: the method of an upstream.
#[derive(Debug, Clone)]
pub struct Balance {
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    /// Its parameters.
    pub params: Params,
    /// How scores become a pick.
    pub pick: Pick,
    /// How long the answers of a server may stop before `least_work` counts them as late, None for any time.
    pub silence: Option<Duration>,
}

/// The parameters of `tblb`. `w_a`, `w_b` and `w_g` are the published names of the weights.
const PARAMETERS: [&str; 11] = [
    "waiting",
    "cache",
    "running",
    "w_a",
    "w_b",
    "w_g",
    "transition_point",
    "steepness",
    "power",
    "pick",
    "silence",
];

/// The default of `silence=`: longer than an engine takes to compute a long prompt between two tokens of others.
const SILENCE: Duration = Duration::from_secs(2);

/// The range of `silence=`.
const SILENCES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(3600)];

impl Default for Balance {
    fn default() -> Self {
        Balance::of(algorithm::DEFAULT)
    }
}

impl Balance {
    /// An algorithm with its defaults.
    fn of(algorithm: &'static Algorithm) -> Self {
        let params = Params::new(algorithm.weights);
        Balance { algorithm, params, pick: Pick::default(), silence: Some(SILENCE) }
    }

    /// The time in ms from which on answers that have stopped count as late, None for never.
    pub fn silence_ms(&self) -> Option<f64> {
        self.silence.map(|silence| silence.as_secs_f64() * 1e3)
    }

    /// Parses the words after `tblb`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, Error> {
        let (algorithm, parameters) = match words.split_first() {
            Some((first, rest)) if !first.contains('=') => (named(first)?, rest),
            _ => (algorithm::DEFAULT, words),
        };
        let mut balance = Balance::of(algorithm);
        for word in parameters {
            let (name, value) = parameter(word, &PARAMETERS)?;
            balance.set(word, name, value)?;
        }
        balance.check()?;
        Ok(balance)
    }

    fn set(&mut self, word: &str, name: &str, value: &str) -> Result<(), Error> {
        let weights = &mut self.params.weights;
        match name {
            "waiting" | "w_a" => weights.waiting = non_negative(word, value)?,
            "cache" | "w_b" => weights.cache = non_negative(word, value)?,
            "running" | "w_g" => weights.running = non_negative(word, value)?,
            "transition_point" => self.params.transition_point = positive(word, value)?,
            "steepness" => self.params.steepness = positive(word, value)?,
            "power" => self.params.power = positive(word, value)?,
            "silence" if value == "off" => self.silence = None,
            "silence" => self.silence = Some(time(word, value, SILENCES[0], SILENCES[1])?),
            _ => self.pick = one_of(word, value, &Pick::ALL)?,
        }
        Ok(())
    }

    /// Checks the weights together. Weights of a sum above 1 are scaled to 1: their proportions are what the
    /// user means, and a score above 1 would be cut.
    fn check(&mut self) -> Result<(), Error> {
        let (name, default) = (self.algorithm.name, self.algorithm.weights);
        let given = self.params.weights;
        for (signal, weight, default) in [
            ("waiting", given.waiting, default.waiting),
            ("cache", given.cache, default.cache),
            ("running", given.running, default.running),
        ] {
            if weight > 0.0 && default == 0.0 {
                return Err(Error::unused_weight(name, signal));
            }
        }
        let sum = given.sum();
        if matches!(self.algorithm.rule, Rule::Score(_)) && sum <= 0.0 {
            return Err(Error::no_weight(name));
        }
        if sum > 1.0 {
            self.params.weights = Weights {
                waiting: given.waiting / sum,
                cache: given.cache / sum,
                running: given.running / sum,
            };
        }
        Ok(())
    }
}

fn named(word: &str) -> Result<&'static Algorithm, Error> {
    Algorithm::by_name(word).ok_or_else(|| {
        Error::unknown("algorithm", word, algorithm::ALL.iter().map(|algorithm| algorithm.name))
    })
}

/// Splits `name=value` and knows the name.
fn parameter<'a>(word: &'a str, known: &[&'static str]) -> Result<(&'a str, &'a str), Error> {
    match word.split_once('=') {
        Some((name, value)) if known.contains(&name) => Ok((name, value)),
        _ => Err(Error::unknown("parameter", word, known.iter().copied())),
    }
}

#[cfg(test)]
mod tests;

//! What `tblb_metrics` says: how the engines of an upstream are polled.

use super::value::{one_of, port, time};
use super::{Error, parameter};
use crate::engine::{self, Engine};
use std::time::Duration;

/// The shortest interval: engines render their pages in the process that serves, and a shorter one costs them
/// more than it tells.
const SHORTEST: Duration = Duration::from_millis(50);

/// The longest time that means anything here.
const LONGEST: Duration = Duration::from_secs(3600);

/// How the engines of an upstream are polled.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The engine, None to find it by what it answers.
    pub engine: Option<&'static Engine>,
    /// From the start of one poll to the next.
    pub interval: Duration,
    /// For a whole poll: connect, header and body.
    pub timeout: Duration,
    /// The age at which a sample is used no more; None to use the last one for ever.
    pub stale: Option<Duration>,
    /// The path, None for the engine's own.
    pub path: Option<String>,
    /// The port, None for the engine's own or else the peer's; see [`Metrics::port`].
    pub port: Option<u16>,
    /// http or https.
    pub scheme: Scheme,
    /// How the certificate is checked.
    pub verify: Verify,
}

/// The scheme of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

/// How a certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// Whether it is checked at all.
    pub on: bool,
    /// A file of trusted certificates in PEM, None for the system's.
    pub trusted: Option<String>,
    /// The name that it must be for, None for the host of the `server` directive.
    pub name: Option<String>,
}

const PARAMETERS: [&str; 10] = [
    "engine",
    "interval",
    "timeout",
    "stale",
    "path",
    "port",
    "scheme",
    "ssl_verify",
    "ssl_trusted_certificate",
    "ssl_name",
];

impl Default for Metrics {
    fn default() -> Self {
        let interval = Duration::from_secs(1);
        Metrics {
            engine: None,
            interval,
            timeout: Duration::from_secs(1),
            stale: Some(stale_after(interval)),
            path: None,
            port: None,
            scheme: Scheme::Http,
            verify: Verify { on: true, trusted: None, name: None },
        }
    }
}

/// Three intervals, so that two lost polls change nothing, and at least 2 s.
fn stale_after(interval: Duration) -> Duration {
    (interval * 3).max(Duration::from_secs(2))
}

impl Metrics {
    /// Parses the words after `tblb_metrics`; None for `off`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Option<Self>, Error> {
        if words == ["off"] {
            return Ok(None);
        }
        let mut metrics = Metrics::default();
        let mut stale = None;
        for word in words {
            match parameter(word, &PARAMETERS)? {
                ("stale", "off") => stale = Some(None),
                ("stale", value) => stale = Some(Some(time(word, value, SHORTEST, LONGEST)?)),
                (name, value) => metrics.set(word, name, value)?,
            }
        }
        metrics.stale = stale.unwrap_or_else(|| Some(stale_after(metrics.interval)));
        Ok(Some(metrics))
    }

    /// The port to ask at: that of the user, else the engine's own; None for the peer's. An engine that is not known
    /// yet is asked at the peer's only: a user would not want other ports to be tried.
    pub fn port(&self) -> Option<u16> {
        self.port.or(self.engine.and_then(|engine| engine.port))
    }

    fn set(&mut self, word: &str, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "engine" => self.engine = engine_named(value)?,
            "interval" => self.interval = time(word, value, SHORTEST, LONGEST)?,
            "timeout" => self.timeout = time(word, value, Duration::from_millis(10), LONGEST)?,
            "path" => self.path = Some(path(word, value)?),
            "port" => self.port = Some(port(word, value)?),
            "scheme" => {
                self.scheme = one_of(word, value, &[("http", Scheme::Http), ("https", Scheme::Https)])?
            }
            "ssl_verify" => self.verify.on = one_of(word, value, &[("on", true), ("off", false)])?,
            "ssl_trusted_certificate" => self.verify.trusted = Some(not_empty(word, value, "a file")?),
            _ => self.verify.name = Some(not_empty(word, value, "a host name")?),
        }
        Ok(())
    }
}

fn engine_named(value: &str) -> Result<Option<&'static Engine>, Error> {
    if value == "auto" {
        return Ok(None);
    }
    let names = || std::iter::once("auto").chain(engine::ALL.iter().map(|engine| engine.name));
    Engine::named(value).map(Some).ok_or_else(|| Error::unknown("engine", value, names()))
}

/// A path with its query, of the characters that RFC 3986 allows there.
pub(super) fn path(word: &str, value: &str) -> Result<String, Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~/?&=%+:,;@!$'()*".contains(&b);
    let valid = value.starts_with('/') && value.bytes().all(allowed);
    valid.then(|| value.to_owned()).ok_or_else(|| Error::invalid(word, "a path that begins with \"/\""))
}

fn not_empty(word: &str, value: &str, expected: &str) -> Result<String, Error> {
    (!value.is_empty()).then(|| value.to_owned()).ok_or_else(|| Error::invalid(word, expected))
}

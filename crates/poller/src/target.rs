//! Whom to poll, and how.

use crate::credentials::Credentials;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tblb_core::engine::Lookup;
use ureq::http::uri::PathAndQuery;

/// An engine to poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Tells targets apart. A target that is handed over again with the same key, address, host and settings goes
    /// on as it was: connection, schedule and what is known of it are kept.
    pub key: u64,
    /// Where the sink keeps what is known of it, once for each server that it is; the poller only passes them on.
    pub slots: Vec<u32>,
    /// The address that is connected to.
    pub address: SocketAddr,
    /// The `Host` of the request and the name that the certificate is to have: `name`, `name:port`, an address.
    /// The address stands in for one that no request could have.
    pub host: String,
    /// How to poll it.
    pub settings: Arc<Settings>,
}

impl Target {
    /// Whether a connection and a schedule made for the other one serve this one too.
    pub(crate) fn is_polled_as(&self, other: &Target) -> bool {
        self.address == other.address && self.host == other.host && self.settings == other.settings
    }
}

/// How an engine is polled.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// With or without TLS.
    pub scheme: Scheme,
    /// Where the metrics are; None: where the engine has them, or any of the engines if it is not known.
    pub path: Option<MetricsPath>,
    /// Which series to read.
    pub lookup: Arc<Lookup>,
    /// What a poll shows to be let in, if anything.
    pub credentials: Option<Credentials>,
    /// From one poll to the next.
    pub interval: Duration,
    /// What a poll may take, from connecting to the last byte.
    pub timeout: Duration,
    /// With TLS, whether the certificate must be valid, for the host, and of an authority that is trusted.
    pub verify: bool,
    /// With TLS, a PEM file with the only authorities to trust; None: those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for Settings {
    /// What holds where a user says nothing; one second is what vLLM's own dashboards are fed at.
    fn default() -> Self {
        Settings {
            scheme: Scheme::Http,
            path: None,
            lookup: Lookup::new(None, &[]),
            credentials: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            verify: true,
            ca_file: None,
        }
    }
}

/// How engines are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A path that a request can have, with its query if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsPath(PathAndQuery);

impl MetricsPath {
    /// The path, None if it does not begin with a slash or has characters that a request line cannot have.
    pub fn new(path: &str) -> Option<MetricsPath> {
        path.starts_with('/').then(|| PathAndQuery::try_from(path).ok().map(MetricsPath))?
    }

    pub(crate) fn get(&self) -> &PathAndQuery {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for path in ["/metrics", "/", "/prometheus/metrics?a=b%20c"] {
            assert_eq!(MetricsPath::new(path).unwrap().get().as_str(), path);
        }
        for path in ["", "metrics", "http://host/metrics", "/a b", "/a\r\nHost: b"] {
            assert_eq!(MetricsPath::new(path), None, "{path}");
        }
    }
}

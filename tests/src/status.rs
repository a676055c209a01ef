//! The status as JSON.

use serde_json::Value;

/// The status.
#[derive(Debug, Clone)]
pub struct Status(pub Value);

impl Status {
    /// Reads the status.
    pub fn parse(json: &str) -> Status {
        Status(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}")))
    }

    /// An upstream.
    pub fn upstream(&self, name: &str) -> Part<'_> {
        let found = list(&self.0["upstreams"]).find(|upstream| upstream.text("name") == name);
        found.unwrap_or_else(|| panic!("no upstream {name} in {:#}", self.0))
    }

    /// The servers of an upstream.
    pub fn peers(&self, upstream: &str) -> impl Iterator<Item = Part<'_>> {
        list(&self.upstream(upstream).0["peers"])
    }

    /// A server of an upstream.
    pub fn peer(&self, upstream: &str, server: &str) -> Part<'_> {
        let found = self.peers(upstream).find(|peer| peer.text("server") == server);
        found.unwrap_or_else(|| panic!("no server {server} in {:#}", self.0))
    }

    /// The sum of a number over the servers of an upstream.
    pub fn sum(&self, upstream: &str, name: &str) -> u64 {
        self.peers(upstream).map(|peer| peer.count(name)).sum()
    }

    /// The process that polls, None if there is none.
    pub fn poller(&self) -> Option<u32> {
        let upstream = list(&self.0["upstreams"]).next()?;
        upstream.0["poller"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }
}

fn list(value: &Value) -> impl Iterator<Item = Part<'_>> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value:#}")).iter().map(Part)
}

/// An object in the status.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a>(pub &'a Value);

impl<'a> Part<'a> {
    /// A text, `null` where it is null.
    pub fn text(&self, name: &str) -> &'a str {
        match &self.0[name] {
            Value::Null => "null",
            value => value.as_str().unwrap_or_else(|| panic!("{name} is no text in {:#}", self.0)),
        }
    }

    /// A number that is never null and never negative.
    pub fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is no count in {:#}", self.0))
    }

    /// A number, None where it is null.
    pub fn number(&self, name: &str) -> Option<f64> {
        let value = &self.0[name];
        (!value.is_null())
            .then(|| value.as_f64().unwrap_or_else(|| panic!("{name} is no number in {:#}", self.0)))
    }

    /// An object in it.
    pub fn part(&self, name: &str) -> Part<'a> {
        Part(&self.0[name])
    }
}

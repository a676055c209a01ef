//! What the status page says, and its three forms: JSON, Prometheus text and a page to read.

mod answers;
mod format;
mod html;
mod peer;
mod prometheus;
#[cfg(test)]
mod tests;

pub use answers::{Answers, Form};
pub use format::{Format, wants_all_models};
pub use peer::{Model, Peer, Polls, Server, Ttft, View};

use crate::board::Board;
use crate::config::Block;
use crate::picker::Pick;
use serde::Serialize;

/// The whole status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The module's version.
    pub version: &'static str,
    /// The version of the nginx that the module was built for.
    pub nginx: &'static str,
    /// The upstreams with a `tblb` directive.
    pub upstreams: Vec<Upstream>,
}

/// An upstream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// The algorithm's name.
    pub algorithm: &'static str,
    /// What its directives say beside the algorithm.
    pub config: Config,
    /// Servers for which the shared zone has no room: they serve without being polled and measured.
    pub unmeasured: usize,
    /// Who polls its engines.
    pub poller: Poller,
    /// Its servers, the backup ones last.
    pub peers: Vec<Peer>,
}

/// What the directives of an upstream say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Config {
    /// How a score becomes a pick: the word of `pick=`.
    pub pick: &'static str,
    /// Whether `tblb_bypass` is on.
    pub bypass: bool,
    /// From the start of one poll to the next in ms; null by `tblb_metrics off`.
    pub interval_ms: Option<u64>,
    /// The age in ms above which a sample counts no more; null if samples count for ever.
    pub stale_ms: Option<u64>,
}

impl Config {
    /// What the directives of a block say.
    pub fn of(block: &Block) -> Self {
        let pick = Pick::ALL.iter().find(|(_, pick)| *pick == block.balance.pick);
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let metrics = block.metrics.as_ref();
        Config {
            pick: pick.map_or("random", |(word, _)| word),
            bypass: block.bypass,
            interval_ms: metrics.map(|metrics| ms(metrics.interval)),
            stale_ms: metrics.and_then(|metrics| metrics.stale).map(ms),
        }
    }
}

/// The poller.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Poller {
    /// `off` (by `tblb_metrics off`), `running`, or `stopped` where it gave no sign of life for 3 s.
    pub state: &'static str,
    /// Time since its last sign of life in ms; null before the first.
    pub heartbeat_ms: Option<u64>,
    /// The process that polls; null if none does.
    pub pid: Option<u32>,
    /// Its threads.
    pub threads: u64,
}

impl Poller {
    /// What the lease tells at `now` (ms).
    pub fn of(board: &Board, on: bool, now: u64) -> Self {
        let lease = board.lease();
        let heartbeat_ms = Some(lease.heartbeat()).filter(|at| *at > 0).map(|at| now.saturating_sub(at));
        let alive = lease.holder().is_some() && heartbeat_ms.is_some_and(|age| age < 3000);
        let state = match (on, alive) {
            (false, _) => "off",
            (true, true) => "running",
            (true, false) => "stopped",
        };
        Poller { state, heartbeat_ms, pid: lease.holder().map(|holder| holder.pid), threads: board.threads() }
    }
}

impl Status {
    /// The status in a form. What a name holds (quotes, angle brackets, control characters) is escaped.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Html => html::render(self),
            // Maps have string keys and every number is finite, so that serialising cannot fail; if it did, null
            // says that nothing is known.
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_else(|_| "null".into()) + "\n",
            Format::Prometheus => prometheus::render(self),
        }
    }
}

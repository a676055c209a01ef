//! What the status page says, and its three forms: JSON, Prometheus text and a page to read.

mod html;
mod prometheus;
#[cfg(test)]
mod tests;

use crate::board::{Board, Slot};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::model;
use crate::picker::{Known, Standing};
use serde::Serialize;
use std::collections::BTreeMap;

/// The forms of the status, each with its word in `tblb_status` and in `?format=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page to read.
    Html,
    /// JSON.
    Json,
    /// Prometheus text.
    Prometheus,
}

impl Format {
    /// Every form with its words.
    pub const ALL: [(&str, Format); 4] = [
        ("html", Format::Html),
        ("json", Format::Json),
        ("prometheus", Format::Prometheus),
        ("text", Format::Prometheus),
    ];

    /// The form of that word.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(word, _)| *word == name).map(|(_, format)| *format)
    }

    /// The form for a request: that of `format=` in its arguments, else what `tblb_status` says, else what its
    /// Accept header asks for, else JSON.
    pub fn for_request(args: &str, configured: Option<Self>, accept: &str) -> Self {
        let asked = args.split('&').find_map(|arg| arg.strip_prefix("format=")).and_then(Self::by_name);
        let accepted = |kind| accept.contains(kind);
        asked.or(configured).unwrap_or_else(|| match () {
            () if accepted("text/html") => Format::Html,
            () if accepted("application/openmetrics-text") || accepted("text/plain") => Format::Prometheus,
            () => Format::Json,
        })
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/json",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The whole status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The module's version.
    pub version: &'static str,
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
    /// Who polls its engines.
    pub poller: Poller,
    /// Its servers, the backup ones last.
    pub peers: Vec<Peer>,
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

/// What nginx itself says of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Server {
    /// Its address, as `$upstream_addr` has it.
    pub server: String,
    /// The parameter of the server.
    pub weight: u64,
    /// Whether it is a backup server.
    pub backup: bool,
    /// Whether it is marked down, or out for its failures.
    pub down: bool,
    /// Connections that nginx counts.
    pub conns: u64,
}

/// A peer. A value that is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peer {
    /// What nginx says of it.
    #[serde(flatten)]
    pub server: Server,
    /// The engine that answered, null before the first good answer.
    pub engine: Option<&'static str>,
    /// `fresh`, `stale` (its last sample is too old) or `unknown` (there never was one).
    pub state: &'static str,
    /// Whether the engine says that it serves no requests now.
    pub closed: bool,
    /// The age of the sample in ms.
    pub age_ms: Option<u64>,
    /// Requests queued in the engine.
    pub waiting: Option<f64>,
    /// Requests being executed.
    pub running: Option<f64>,
    /// KV-cache use, 0 to 1.
    pub cache: Option<f64>,
    /// The models that it names; null if it says nothing of them.
    pub models: Option<Vec<Model>>,
    /// Requests of this nginx at the peer.
    pub in_flight: u64,
    /// Prompt tokens of those among them that have sent nothing yet, as `least_work` counts them.
    pub prefill: u64,
    /// Whether answers were coming from it and have stopped (`least_work` only).
    pub suspect: bool,
    /// Whether its last answers failed, so that it is left alone but for a request now and then.
    pub failing: bool,
    /// Time per output token in ms as learnt from its answers; null before the first.
    pub tpot_ms: Option<f64>,
    /// The algorithm's score; null where it has none.
    pub score: Option<f64>,
    /// Times that it was picked.
    pub picks: u64,
    /// Answers that came whole.
    pub completions: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Requests that the client gave up.
    pub aborts: u64,
    /// Time to first token.
    pub ttft_ms: Ttft,
    /// How polling it goes.
    pub polls: Polls,
    #[serde(skip)]
    ttft_octaves: Vec<(f64, u64)>,
    #[serde(skip)]
    ttft_sum_s: f64,
}

/// A model that an engine serves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Its name; one that is long ends in an ellipsis.
    pub name: String,
    /// How busy the engine is with it, 0 to 1.
    pub utilization: Option<f64>,
    /// The score of the peer for it, where the engine gives it itself.
    pub score: Option<f64>,
}

/// Time to the first body byte in ms, since the first start.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Ttft {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their median.
    pub p50: Option<f64>,
    /// Their 99th percentile.
    pub p99: Option<f64>,
}

/// How polling a peer goes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Polls {
    /// How many there were.
    pub count: u64,
    /// What the last one took in ms.
    pub took_ms: Option<f64>,
    /// The kind of fault that the last one ended in, null if it was good.
    pub fault: Option<&'static str>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Peer {
    /// What the board says of a peer at `now` (ms); `slot` is its number there, None if it has none.
    pub fn of(board: &Board, slot: Option<u32>, server: Server, known: Known, now: u64) -> Self {
        let index = slot.map(|slot| slot as usize);
        let slot = index.and_then(|index| board.slot(index));
        let sample = slot.and_then(|slot| slot.sample());
        let totals = slot.map(|slot| slot.totals()).unwrap_or_default();
        let own = index.map(|index| board.in_flight(index)).unwrap_or_default();
        let load = sample.map(|sample| sample.load).unwrap_or_default();
        Peer {
            server,
            engine: sample.and_then(|sample| Engine::from_index(sample.engine)).map(|engine| engine.name),
            state: match (sample, known.fresh) {
                (None, _) => "unknown",
                (Some(_), true) => "fresh",
                (Some(_), false) => "stale",
            },
            closed: known.standing == Standing::Closed,
            age_ms: sample.map(|sample| sample.age(now)),
            waiting: load.waiting,
            running: load.running,
            cache: load.cache,
            models: slot.and_then(|slot| models(&slot)),
            in_flight: own.active,
            prefill: own.prefill,
            suspect: known.suspect,
            failing: known.standing == Standing::Failing || known.trial,
            tpot_ms: slot.and_then(|slot| slot.learned().tpot().get()).map(|us| us / 1e3),
            score: known.score,
            picks: totals.picks,
            completions: totals.completions,
            failures: totals.failures,
            aborts: totals.aborts,
            ttft_ms: slot.map(|slot| ttft(&slot)).unwrap_or_default(),
            polls: slot.map(|slot| polls(&slot)).unwrap_or_default(),
            ttft_octaves: slot.map(|slot| slot.ttft().octaves().collect()).unwrap_or_default(),
            ttft_sum_s: slot.map_or(0.0, |slot| slot.ttft().sum_us() as f64 / 1e6),
        }
    }
}

/// What the last good answer named, as it is known. (A name that is being written just now is left out.)
fn models(slot: &Slot) -> Option<Vec<Model>> {
    let served = slot.served()?;
    let named = served.models().enumerate().filter_map(|(place, (key, utilization))| {
        let score = utilization.map(model::score);
        Some(Model { name: slot.model_name(place, key)?, utilization, score })
    });
    Some(named.collect())
}

fn ttft(slot: &Slot) -> Ttft {
    let histogram = slot.ttft();
    Ttft {
        count: histogram.count(),
        mean: histogram.mean_ms(),
        p50: histogram.quantile_ms(0.5),
        p99: histogram.quantile_ms(0.99),
    }
}

fn polls(slot: &Slot) -> Polls {
    let last = slot.last_poll();
    Polls {
        count: last.map_or(0, |(_, _, count)| count),
        took_ms: last.map(|(_, took, _)| took as f64 / 1e3),
        fault: slot.last_fault().and_then(Fault::from_index).map(Fault::name),
        faults: Fault::ALL
            .iter()
            .map(|fault| (fault.name(), slot.faults(fault.index())))
            .filter(|(_, n)| *n > 0)
            .collect(),
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

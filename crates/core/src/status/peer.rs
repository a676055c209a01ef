//! What the status shows of one server.

use crate::board::{Board, Slot};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::model;
use crate::picker::{Known, Standing};
use serde::Serialize;
use std::collections::BTreeMap;

/// Models of a server that are shown unless all are asked for: most engines serve fewer.
const FEW_MODELS: usize = 4;

/// How a status is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// The time, in ms of the monotonic clock.
    pub now: u64,
    /// Whether all models of each server are shown, and not only the first few with their number.
    pub all_models: bool,
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
    /// The models that it names, the first few where not all are asked for; null if it says nothing of them.
    pub models: Option<Vec<Model>>,
    /// How many models it names; null if it says nothing of them.
    pub models_total: Option<usize>,
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
    pub(super) ttft_octaves: Vec<(f64, u64)>,
    #[serde(skip)]
    pub(super) ttft_sum_s: f64,
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
    /// What the board says of a peer; `slot` is its number there, None if it has none. A server that is down has no score:
    /// it would be that of an idle one.
    pub fn of(board: &Board, slot: Option<u32>, server: Server, known: Known, view: View) -> Self {
        let index = slot.map(|slot| slot as usize);
        let slot = index.and_then(|index| board.slot(index));
        let sample = slot.and_then(|slot| slot.sample());
        let totals = slot.map(|slot| slot.totals()).unwrap_or_default();
        let own = index.map(|index| board.in_flight(index)).unwrap_or_default();
        let load = sample.map(|sample| sample.load).unwrap_or_default();
        let (models, models_total) = slot.and_then(|slot| models(&slot, view.all_models)).unzip();
        Peer {
            score: known.score.filter(|_| !server.down),
            server,
            engine: sample.and_then(|sample| Engine::from_index(sample.engine)).map(|engine| engine.name),
            state: match (sample, known.fresh) {
                (None, _) => "unknown",
                (Some(_), true) => "fresh",
                (Some(_), false) => "stale",
            },
            closed: known.standing == Standing::Closed,
            age_ms: sample.map(|sample| sample.age(view.now)),
            waiting: load.waiting,
            running: load.running,
            cache: load.cache,
            models,
            models_total,
            in_flight: own.active,
            prefill: own.prefill,
            suspect: known.suspect,
            failing: known.standing == Standing::Failing || known.trial,
            tpot_ms: slot.and_then(|slot| slot.learned().tpot().get()).map(|us| us / 1e3),
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

/// What the last good answer named, as it is known: the first models or all, and how many there are. (A name that is being
/// written just now is left out.) Of names that were cut to the same text the later ones get a number.
fn models(slot: &Slot, all: bool) -> Option<(Vec<Model>, usize)> {
    let served = slot.served()?;
    let shown = if all { usize::MAX } else { FEW_MODELS };
    let mut models: Vec<Model> = Vec::new();
    for (place, (key, utilization)) in served.models().enumerate().take(shown) {
        let Some(mut name) = slot.model_name(place, key) else { continue };
        if models.iter().any(|model| model.name == name) {
            name = format!("{name} ({})", place + 1);
        }
        models.push(Model { name, utilization, score: utilization.map(model::score) });
    }
    Some((models, served.models().count()))
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

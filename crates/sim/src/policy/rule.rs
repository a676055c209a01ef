//! How policies are named.

use tblb_core::config::{Block, Metrics};

use super::gateway::QueueCacheArgmax;
use super::learned::LearnedWeight;
use super::least_time::{LeastTime, Until};
use super::lmetric::LMetric;
use super::nginx::{How, Nginx};
use super::peak_ewma::PeakEwma;
use super::prequal::Prequal;
use super::queues::{JoinShortestQueue, PowerOfTwo};
use super::tblb::Tblb;
use super::{Context, Policy};

/// The weight of a node of speed 1: fine enough for any fleet.
const WEIGHT: f64 = 100.0;

/// A policy that `tblb` directives do not name.
#[derive(Debug)]
pub struct Method {
    /// Its word on the command line.
    pub name: &'static str,
    /// What it is, in one line, for the documentation.
    pub about: &'static str,
    /// Whether the servers have the true speeds of their nodes as weights.
    weighted: bool,
    make: fn(&Context<'_>) -> Box<dyn Policy + Send>,
}

/// A policy as a word names it.
const fn method(
    name: &'static str,
    about: &'static str,
    make: fn(&Context<'_>) -> Box<dyn Policy + Send>,
) -> Method {
    Method { name, about, weighted: false, make }
}

/// Every policy that a word names.
pub static METHODS: &[Method] = &[
    method("round_robin", "nginx's round robin", |_| Box::new(Nginx::new(How::RoundRobin))),
    method("random", "nginx's random", |_| Box::new(Nginx::new(How::Random))),
    method("least_conn", "nginx's least_conn", |_| Box::new(Nginx::new(How::LeastConn))),
    Method {
        weighted: true,
        ..method("weighted_least_conn", "nginx's least_conn with the true speeds as weights", |_| {
            Box::new(Nginx::new(How::LeastConn))
        })
    },
    method("random_two_least_conn", "nginx's random two least_conn", |_| {
        Box::new(Nginx::new(How::RandomTwo))
    }),
    method("least_time", "nginx's least_time last_byte", |context| {
        Box::new(LeastTime::new(Until::LastByte, context))
    }),
    method(
        "least_time_header",
        "nginx's least_time header, before engines that send headers with the first token",
        |context| Box::new(LeastTime::new(Until::Header, context)),
    ),
    method(
        "learned_weight_least_conn",
        "(n + 1)·τ: connections, and the learnt time per token",
        |context| Box::new(LearnedWeight::new(context)),
    ),
    method(
        "join_shortest_queue",
        "the fewest requests: own connections, and the background of the last page",
        |_| Box::new(JoinShortestQueue),
    ),
    method("power_of_two", "the one with fewer requests, counted likewise, of two that are drawn", |_| {
        Box::new(PowerOfTwo)
    }),
    method("prequal", "Prequal: probes, hot-cold lexicographic", |context| Box::new(Prequal::new(context))),
    method(
        "peak_ewma",
        "linkerd's: peak-sensitive average of latency times pending, of two that are drawn",
        |context| Box::new(PeakEwma::new(context)),
    ),
    method("queue_cache_argmax", "the default scorers of inference gateways: queue and KV cache", |_| {
        Box::new(QueueCacheArgmax)
    }),
    method("lmetric", "LMetric: (P + p)·(n + 1)", |context| Box::new(LMetric::new(context))),
];

/// A policy as it is named.
#[derive(Debug, Clone)]
pub enum Rule {
    /// The directives of an upstream block, `tblb` among them.
    Tblb(Box<Block>),
    /// What a word names.
    Method(&'static Method),
}

impl Rule {
    /// Parses the text of `--policy`: the directives of an upstream block as nginx takes them, a `tblb` first (the
    /// last semicolon may be left out), or one of the words.
    ///
    /// # Errors
    /// Says what is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.trim_end_matches(';').split_whitespace().collect();
        match words[..] {
            ["tblb" | "tblb;", ..] => match Block::parse(text) {
                Ok(block) => Ok(Self::Tblb(Box::new(block))),
                Err(error) => Err(error.to_string()),
            },
            [word] => METHODS
                .iter()
                .find(|method| method.name == word)
                .map(Self::Method)
                .ok_or_else(|| unknown(word)),
            _ => Err(unknown(text)),
        }
    }

    /// The `weight` of a server whose node has this speed.
    pub fn weight(&self, speed: f64) -> i64 {
        match self {
            Self::Method(Method { weighted: true, .. }) => (speed * WEIGHT).round().max(1.0) as i64,
            _ => 1,
        }
    }

    /// The seconds from one poll to the next, 0 for none: what `tblb_metrics` says, or `scenario` where it says nothing
    /// of it.
    pub fn interval(&self, scenario: f64) -> f64 {
        match self {
            Self::Method(_) => scenario,
            Self::Tblb(block) => block.metrics.as_ref().map_or(0.0, |metrics| {
                let said = metrics.interval != Metrics::default().interval;
                if said { metrics.interval.as_secs_f64() } else { scenario }
            }),
        }
    }

    /// The policy of one instance.
    pub fn make(&self, context: &Context<'_>) -> Box<dyn Policy + Send> {
        match self {
            Self::Tblb(block) => Box::new(Tblb::new(block, context)),
            Self::Method(method) => (method.make)(context),
        }
    }
}

fn unknown(text: &str) -> String {
    let words: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    format!("unknown policy \"{text}\", expected a directive \"tblb …\" or one of {}", words.join(", "))
}

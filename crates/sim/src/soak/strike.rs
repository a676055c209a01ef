//! What strikes in a storm, and which failures that explains.

use fastrand::Rng;

use crate::engine::Fault;

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strike {
    /// A mock engine has this fault.
    Engine(Fault),
    /// An engine is gone and comes back at the same address.
    Die,
    /// Clients go away in the middle of answers.
    Aborts,
    /// Clients read their answers a few bytes at a time, then go away.
    SlowReaders,
    /// Clients send their requests a few bytes at a time, then go away.
    SlowSenders,
    /// Many clients come at once.
    Burst,
    /// A worker is stopped (SIGSTOP) and continued.
    Stop,
    /// nginx reads its configuration again.
    Reload,
    /// A worker is killed (SIGKILL).
    Kill,
}

/// What an engine's inference may do.
const INFERENCE: [Fault; 9] = [
    Fault::Freeze,
    Fault::HangInference,
    Fault::StallInference,
    Fault::Sleep,
    Fault::InferenceStatus { status: 500 },
    Fault::InferenceStatus { status: 503 },
    Fault::InferenceStatus { status: 429 },
    Fault::CutInference { tokens: 0 },
    Fault::CutInference { tokens: 3 },
];

/// What its metrics may do.
const METRICS: [Fault; 24] = [
    Fault::HangMetrics,
    Fault::SlowMetrics { pause_ms: 50 },
    Fault::MetricsStatus { status: 500 },
    Fault::MetricsStatus { status: 401 },
    Fault::MalformedMetrics,
    Fault::BinaryMetrics,
    Fault::EmptyMetrics,
    Fault::NanMetrics,
    Fault::InfiniteMetrics,
    Fault::NegativeMetrics,
    Fault::OverflowMetrics,
    Fault::ZeroMetrics,
    Fault::FrozenMetrics,
    Fault::CutMetrics,
    Fault::CutLineMetrics,
    Fault::DuplicateMetrics,
    Fault::OtherMetrics,
    Fault::GzipMetrics,
    Fault::ChunkedMetrics,
    Fault::HeaderMetrics { megabytes: 10 },
    Fault::HugeMetrics { megabytes: 22, page_first: true },
    Fault::EndlessMetrics,
    Fault::LongLineMetrics { kilobytes: 200 },
    Fault::RedirectMetrics { port: 0 },
];

/// What strikes clients and workers that stay alive.
const HARMLESS: [Strike; 5] =
    [Strike::Aborts, Strike::SlowReaders, Strike::SlowSenders, Strike::Burst, Strike::Stop];

impl Strike {
    /// One at random. Engines, clients and processes are struck about equally often.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.u8(..12) {
            0..3 => Self::Engine(INFERENCE[rng.usize(..INFERENCE.len())]),
            3..6 => Self::Engine(METRICS[rng.usize(..METRICS.len())]),
            6 => Self::Die,
            7..10 => HARMLESS[rng.usize(..HARMLESS.len())],
            10 => Self::Reload,
            _ => Self::Kill,
        }
    }

    /// Its name, for counting: that of the engine's fault, if it is one.
    pub fn name(self) -> String {
        match self {
            Self::Engine(fault) => format!("{fault:?}").split(' ').take(1).collect(),
            other => format!("{other:?}"),
        }
    }

    /// Whether it ends processes of nginx.
    pub fn renews(self) -> bool {
        matches!(self, Self::Reload | Self::Kill)
    }

    /// Whether a request may fail with this error, as the client's record has it, because of this. An engine that only
    /// lets wait makes no request fail, nor does one whose metrics are broken, a client that goes away, or a reload.
    pub fn explains(self, error: &str) -> bool {
        let broken = ["broken off", "ended without [DONE]"].contains(&error);
        match self {
            Self::Engine(Fault::InferenceStatus { status }) => error == format!("status {status}"),
            Self::Engine(Fault::CutInference { .. }) => broken,
            Self::Die => broken || error == "status 502",
            Self::Kill => broken || error == "closed before the header" || error.starts_with("connect: "),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::engine::FAULTS;

    #[test]
    fn all_faults_of_the_engine_are_drawn_and_all_that_else_strikes() {
        let mut rng = Rng::with_seed(1);
        let drawn: Vec<_> = (0..5000).map(|_| Strike::draw(&mut rng)).collect();
        let name = |fault: Fault| serde_json::to_value(fault).expect("JSON")["fault"].to_string();
        let faults: HashSet<_> = drawn
            .iter()
            .filter_map(|strike| if let Strike::Engine(fault) = strike { Some(name(*fault)) } else { None })
            .collect();
        // "die" is a strike of its own, after which the engine comes back.
        assert_eq!(faults.len(), FAULTS.len() - 1, "{faults:?}");
        let others = [Strike::Die, Strike::Reload, Strike::Kill];
        assert!(others.iter().chain(&HARMLESS).all(|strike| drawn.contains(strike)));
    }

    #[test]
    fn only_what_a_fault_does_is_explained_by_it() {
        let explains = |strike: Strike, error| strike.explains(error);
        assert!(explains(Strike::Engine(Fault::InferenceStatus { status: 429 }), "status 429"));
        assert!(!explains(Strike::Engine(Fault::InferenceStatus { status: 429 }), "status 502"));
        assert!(explains(Strike::Die, "status 502") && !explains(Strike::Die, "closed before the header"));
        assert!(explains(Strike::Kill, "closed before the header") && !explains(Strike::Kill, "status 502"));
        for error in ["status 502", "timeout", "broken off", "closed before the header"] {
            assert!(!explains(Strike::Reload, error) && !explains(Strike::Stop, error));
            assert!(!explains(Strike::Engine(Fault::HangInference), error));
        }
    }
}

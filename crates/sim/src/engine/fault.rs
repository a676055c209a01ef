//! What can go wrong with a mock engine, switched at run time.

use serde::{Deserialize, Serialize};

/// One fault. As JSON (`POST /fault`) it is `{"fault":"NAME"}` with the fault's own fields beside the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// All is well.
    #[default]
    None,
    /// The process stands still: it accepts connections and answers nothing, streams stop.
    Freeze,
    /// The process ends: the listener and all connections are closed at once.
    Die,
    /// Completions get no answer, not even a header, and streams stop; `/metrics` and `/health` answer.
    HangInference,
    /// Completions get their header but no token, and streams stop; `/metrics` and `/health` answer.
    StallInference,
    /// As vLLM sleeps: completions hang, `/metrics` shows an idle engine that is not awake.
    Sleep,
    /// Completions are refused with this status.
    InferenceStatus {
        /// The HTTP status.
        #[serde(default = "status_500")]
        status: u16,
    },
    /// Streams break off without an end after this many tokens.
    CutInference {
        /// Tokens before the break; 0 breaks after the header.
        #[serde(default = "three")]
        tokens: u32,
    },
    /// `/metrics` does not answer.
    HangMetrics,
    /// `/metrics` sends its header and then one byte after the other.
    SlowMetrics {
        /// The pause before each byte, in ms.
        #[serde(default = "ms_50")]
        pause_ms: u64,
    },
    /// `/metrics` answers with this status.
    MetricsStatus {
        /// The HTTP status.
        #[serde(default = "status_500")]
        status: u16,
    },
    /// `/metrics` sends text that is no exposition.
    MalformedMetrics,
    /// `/metrics` sends bytes that are no text.
    BinaryMetrics,
    /// `/metrics` sends an empty body.
    EmptyMetrics,
    /// `/metrics` says NaN for every value.
    NanMetrics,
    /// `/metrics` says +Inf for every value.
    InfiniteMetrics,
    /// `/metrics` says -1 for every value.
    NegativeMetrics,
    /// `/metrics` says 1e400, which is beyond all numbers of 64 bits, for every value.
    OverflowMetrics,
    /// `/metrics` says 0 for every value but that the engine is awake, as one does that forgets to count.
    ZeroMetrics,
    /// `/metrics` shows the page of the first request after the switch for ever.
    FrozenMetrics,
    /// `/metrics` breaks off in the middle of the body that its Content-Length announces.
    CutMetrics,
    /// `/metrics` sends a body that ends, by its own length, within the value of its first series.
    CutLineMetrics,
    /// `/metrics` says each line twice.
    DuplicateMetrics,
    /// `/metrics` sends a page of other series only.
    OtherMetrics,
    /// `/metrics` sends a body in gzip, whatever the client accepts.
    GzipMetrics,
    /// `/metrics` sends its page in chunks of a few bytes, which is right.
    ChunkedMetrics,
    /// `/metrics` sends a header field of this many MB before its page.
    HeaderMetrics {
        /// Megabytes (10^6 bytes).
        #[serde(default = "mb_10")]
        megabytes: u32,
    },
    /// `/metrics` sends this many MB of other series.
    HugeMetrics {
        /// Megabytes (10^6 bytes).
        #[serde(default = "mb_22")]
        megabytes: u32,
        /// Whether the engine's own series stand before the others rather than after them.
        #[serde(default)]
        page_first: bool,
    },
    /// `/metrics` sends other series without end.
    EndlessMetrics,
    /// `/metrics` sends one line of this many KB before its own series.
    LongLineMetrics {
        /// Kilobytes (10^3 bytes).
        #[serde(default = "kb_200")]
        kilobytes: u32,
    },
    /// `/metrics` redirects elsewhere.
    RedirectMetrics {
        /// The port on 127.0.0.1 of the server that is to be asked instead; 0 for `/elsewhere` on this one.
        #[serde(default)]
        port: u16,
    },
}

fn status_500() -> u16 {
    500
}

fn three() -> u32 {
    3
}

/// The size of a page that a real vLLM was seen to send.
fn mb_22() -> u32 {
    22
}

/// Three times the line cap of the poller.
fn kb_200() -> u32 {
    200
}

/// No header that anybody sends comes near it.
fn mb_10() -> u32 {
    10
}

fn ms_50() -> u64 {
    50
}

/// What a fault hits. An engine has at most one fault of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The whole process.
    Process,
    /// Completions.
    Inference,
    /// The `/metrics` page.
    Metrics,
}

/// All faults by their names in JSON, what they hit, and what an operator reads about them.
pub const FAULTS: &[(&str, Target, &str)] = &[
    ("freeze", Target::Process, "answers nothing, streams stop"),
    ("die", Target::Process, "ends the process, closes every connection"),
    ("hang-inference", Target::Inference, "completions get no header, streams stop"),
    ("stall-inference", Target::Inference, "completions get a header but no token, streams stop"),
    ("sleep", Target::Inference, "completions hang, metrics look idle, not awake"),
    ("inference-status", Target::Inference, "completions are refused; status (500)"),
    ("cut-inference", Target::Inference, "streams break off; tokens before it (3)"),
    ("hang-metrics", Target::Metrics, "no answer"),
    ("slow-metrics", Target::Metrics, "one byte at a time; pause_ms (50)"),
    ("metrics-status", Target::Metrics, "refused; status (500)"),
    ("malformed-metrics", Target::Metrics, "text that is no exposition"),
    ("binary-metrics", Target::Metrics, "bytes that are no text"),
    ("empty-metrics", Target::Metrics, "an empty body"),
    ("nan-metrics", Target::Metrics, "NaN for every value"),
    ("infinite-metrics", Target::Metrics, "+Inf for every value"),
    ("negative-metrics", Target::Metrics, "-1 for every value"),
    ("overflow-metrics", Target::Metrics, "1e400 for every value"),
    ("zero-metrics", Target::Metrics, "0 for every value"),
    ("frozen-metrics", Target::Metrics, "the same page for ever"),
    ("cut-metrics", Target::Metrics, "breaks off in the middle of the body"),
    ("cut-line-metrics", Target::Metrics, "ends within the first value"),
    ("duplicate-metrics", Target::Metrics, "each line twice"),
    ("other-metrics", Target::Metrics, "other series only"),
    ("gzip-metrics", Target::Metrics, "gzip that nobody asked for"),
    ("chunked-metrics", Target::Metrics, "the right page in small chunks"),
    ("header-metrics", Target::Metrics, "a huge header; megabytes (10)"),
    ("huge-metrics", Target::Metrics, "many other series; megabytes (22), page_first (false)"),
    ("endless-metrics", Target::Metrics, "other series without end"),
    ("long-line-metrics", Target::Metrics, "one long line first; kilobytes (200)"),
    ("redirect-metrics", Target::Metrics, "302 to /elsewhere, or to a port of 127.0.0.1; port (0)"),
];

impl Fault {
    /// What this fault hits; `None` for [`Fault::None`], which hits nothing.
    pub fn target(self) -> Option<Target> {
        match self {
            Self::None => None,
            Self::Freeze | Self::Die => Some(Target::Process),
            Self::HangInference
            | Self::StallInference
            | Self::Sleep
            | Self::InferenceStatus { .. }
            | Self::CutInference { .. } => Some(Target::Inference),
            Self::HangMetrics
            | Self::SlowMetrics { .. }
            | Self::MetricsStatus { .. }
            | Self::MalformedMetrics
            | Self::BinaryMetrics
            | Self::EmptyMetrics
            | Self::NanMetrics
            | Self::InfiniteMetrics
            | Self::NegativeMetrics
            | Self::OverflowMetrics
            | Self::ZeroMetrics
            | Self::FrozenMetrics
            | Self::CutMetrics
            | Self::CutLineMetrics
            | Self::DuplicateMetrics
            | Self::OtherMetrics
            | Self::GzipMetrics
            | Self::ChunkedMetrics
            | Self::HeaderMetrics { .. }
            | Self::HugeMetrics { .. }
            | Self::EndlessMetrics
            | Self::LongLineMetrics { .. }
            | Self::RedirectMetrics { .. } => Some(Target::Metrics),
        }
    }
}

/// The faults that are on: at most one of each target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Faults {
    pub process: Fault,
    pub inference: Fault,
    pub metrics: Fault,
}

impl Faults {
    /// Switches a fault on in the place of the one with the same target; [`Fault::None`] switches all off.
    pub fn set(&mut self, fault: Fault) {
        match fault.target() {
            None => *self = Self::default(),
            Some(Target::Process) => self.process = fault,
            Some(Target::Inference) => self.inference = fault,
            Some(Target::Metrics) => self.metrics = fault,
        }
    }

    /// Those that are on.
    pub fn active(self) -> impl Iterator<Item = Fault> {
        [self.process, self.inference, self.metrics].into_iter().filter(|&fault| fault != Fault::None)
    }

    pub fn frozen(self) -> bool {
        self.process == Fault::Freeze
    }

    /// Whether the model's time stands still.
    pub fn stops_time(self) -> bool {
        self.frozen() || matches!(self.inference, Fault::HangInference | Fault::StallInference | Fault::Sleep)
    }

    /// Whether a completion gets no header.
    pub fn hangs_inference(self) -> bool {
        matches!(self.inference, Fault::HangInference | Fault::Sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_table_parses_and_hits_its_target() {
        for &(name, target, _) in FAULTS {
            let fault: Fault = serde_json::from_value(serde_json::json!({ "fault": name })).expect(name);
            assert_eq!(fault.target(), Some(target), "{name}");
            assert_eq!(serde_json::to_value(fault).expect(name)["fault"], name);
        }
    }

    #[test]
    fn an_unknown_fault_is_an_error_that_names_the_known_ones() {
        let error = serde_json::from_str::<Fault>(r#"{"fault":"explode"}"#).expect_err("no such fault");
        assert!(FAULTS.iter().all(|(name, ..)| error.to_string().contains(name)), "{error}");
    }

    #[test]
    fn one_fault_a_target_and_none_clears_all() {
        let mut faults = Faults::default();
        for fault in [Fault::HangMetrics, Fault::StallInference, Fault::EmptyMetrics] {
            faults.set(fault);
        }
        assert_eq!(faults.active().collect::<Vec<_>>(), [Fault::StallInference, Fault::EmptyMetrics]);
        assert!(faults.stops_time() && !faults.hangs_inference());
        faults.set(Fault::None);
        assert_eq!(faults, Faults::default());
    }
}

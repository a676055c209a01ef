//! NVIDIA NIM for LLMs.

use super::{Engine, Family, Source};

/// NIM, whose names have no prefix; that of the cache tells it from MindIE. A NIM that reports in vLLM's names, as
/// newer ones do, is taken for vLLM, and rightly so: it is one.
pub(super) static NIM: Engine = Engine {
    path: "/v1/metrics",
    waiting: Source::sum(&[Family::named("num_requests_waiting")]),
    running: Source::sum(&[Family::named("num_requests_running")]),
    cache: Source::max(&[Family::named("gpu_cache_usage_perc")]),
    ..Engine::new("nim", "NVIDIA NIM for LLMs")
};

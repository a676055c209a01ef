//! TensorRT-LLM's own server, `trtllm-serve`.

use super::{Engine, Family, Source};

/// `trtllm-serve`, which has its series at a path of its own: at `/metrics` it answers with statistics in JSON.
pub(super) static TRTLLM: Engine = Engine {
    path: "/prometheus/metrics",
    waiting: Source::sum(&[Family::named("trtllm_num_requests_waiting")]),
    running: Source::sum(&[Family::named("trtllm_num_requests_running")]),
    cache: Source::max(&[Family::named("trtllm_kv_cache_utilization")]),
    ..Engine::new("trtllm", "`trtllm-serve` of TensorRT-LLM")
};

//! vLLM.

use super::{Engine, Family, Source};

/// vLLM, one series for each data-parallel rank (label `engine`). `vllm:num_requests_waiting_by_reason` is a family
/// of its own, which splits the waiting up and must not be counted with them.
pub(super) static VLLM: Engine = Engine {
    name: "vllm",
    path: "/metrics",
    waiting: Source::sum(&[Family::named("vllm:num_requests_waiting")]),
    running: Source::sum(&[Family::named("vllm:num_requests_running")]),
    cache: Source::max(&[
        Family::named("vllm:kv_cache_usage_perc"),
        Family::named("vllm:gpu_cache_usage_perc"), // older versions, and vLLM on MUSA
        Family::named("vllm:mlu_cache_usage_perc"), // vLLM on MLU
    ]),
};

//! vLLM.

use super::{Engine, Family, Source};

/// vLLM, one series for each data-parallel rank (label `engine`). `vllm:num_requests_waiting_by_reason` is a family
/// of its own, which splits the waiting up and must not be counted with them.
pub(super) static VLLM: Engine = Engine {
    waiting: Source::sum(&[Family::named("vllm:num_requests_waiting")]),
    running: Source::sum(&[Family::named("vllm:num_requests_running")]),
    cache: Source::max(&[
        Family::named("vllm:kv_cache_usage_perc"),  // also vLLM on Ascend
        Family::named("vllm:gpu_cache_usage_perc"), // older versions, and vLLM on MUSA
        Family::named("vllm:mlu_cache_usage_perc"), // vLLM on MLU
    ]),
    // A server that was put to sleep looks idle, and every request to it hangs until it is woken up.
    awake: Source::mean(&[Family {
        select: &[("sleep_state", "awake")],
        ..Family::named("vllm:engine_sleep_state")
    }]),
    ..Engine::new("vllm", "vLLM, also on Ascend, MUSA and MLU")
};

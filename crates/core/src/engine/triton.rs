//! Triton Inference Server with the TensorRT-LLM backend.

use super::{Engine, Family, Source};

/// Triton with TensorRT-LLM: a series for each model and version, and a label that says what it counts. Its metrics
/// are at a port of their own, 8002 unless `--metrics-port` says otherwise.
pub(super) static TRITON: Engine = Engine {
    port: Some(8002),
    waiting: Source::sum(&[requests(&[("request_type", "waiting")])]),
    running: Source::sum(&[requests(&[("request_type", "scheduled")])]),
    cache: Source::max(&[Family {
        select: &[("kv_cache_block_type", "fraction")],
        ..Family::named("nv_trt_llm_kv_cache_block_metrics")
    }]),
    ..Engine::new("triton", "Triton with TensorRT-LLM")
};

const fn requests(select: &'static [(&'static str, &'static str)]) -> Family {
    Family { select, ..Family::named("nv_trt_llm_request_metrics") }
}

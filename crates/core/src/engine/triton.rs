//! Triton Inference Server, with the TensorRT-LLM backend or others.

use super::{Engine, Family, Source};

/// Triton with TensorRT-LLM: a series for each model and version, and a label that says what it counts. Its metrics
/// are at a port of their own, 8002 unless `--metrics-port` says otherwise. With any other backend Triton itself reports how
/// many requests wait, by model and version. The label `model` names a step of a pipeline there, not what requests ask for.
/// Sources: the TensorRT-LLM backend's README and Triton's page "Metrics".
pub(super) static TRITON: Engine = Engine {
    port: Some(8002),
    waiting: Source::sum(&[
        requests(&[("request_type", "waiting")]),
        Family::named("nv_inference_pending_request_count"),
    ]),
    running: Source::sum(&[requests(&[("request_type", "scheduled")])]),
    cache: Source::max(&[Family {
        select: &[("kv_cache_block_type", "fraction")],
        ..Family::named("nv_trt_llm_kv_cache_block_metrics")
    }]),
    model_labels: &[],
    ..Engine::new("triton", "Triton, with TensorRT-LLM or other backends")
};

const fn requests(select: &'static [(&'static str, &'static str)]) -> Family {
    Family { select, ..Family::named("nv_trt_llm_request_metrics") }
}

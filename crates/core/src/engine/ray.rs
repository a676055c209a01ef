//! Ray Serve LLM, whose replicas are vLLMs that report through Ray's metrics agent.

use super::{Engine, Family, Source};

/// Ray Serve LLM. The agent of a node reports for all replicas there, one series for each (label `WorkerId`), at a port of
/// Ray's own (`--metrics-export-port`), with vLLM's names after `ray_` and no colon. Source: vLLM's
/// `v1/metrics/ray_wrappers.py` and Ray's page "Collecting and monitoring metrics".
pub(super) static RAY: Engine = Engine {
    waiting: Source::sum(&[Family::named("ray_vllm_num_requests_waiting")]),
    running: Source::sum(&[Family::named("ray_vllm_num_requests_running")]),
    cache: Source::max(&[
        Family::named("ray_vllm_kv_cache_usage_perc"),
        Family::named("ray_vllm_gpu_cache_usage_perc"), // older versions
    ]),
    ..Engine::new("ray", "Ray Serve LLM, at the node's metrics agent")
};

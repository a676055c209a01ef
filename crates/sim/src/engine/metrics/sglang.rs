//! SGLang's page: names, help texts, labels and bucket bounds as its collectors define them.

use super::Snapshot;
use super::latencies::Bounds;
use super::page::{Numbers, Page};
use crate::node::BLOCK_TOKENS;

pub(super) const BOUNDS: Bounds = Bounds {
    ttft: &[
        0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0,
    ],
    tpot: &[
        0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4,
        0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0,
    ],
    e2e: &[
        0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0,
        600.0, 1200.0, 1800.0, 2400.0,
    ],
    tokens: &[100.0, 300.0, 500.0, 700.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0],
};

pub(super) fn render(snapshot: &Snapshot<'_>) -> String {
    let labels =
        [("engine_type", "unified"), ("model_name", snapshot.model), ("pp_rank", "0"), ("tp_rank", "0")];
    let mut page = Page::new(Numbers::Python, &labels);
    let capacity = f64::from(snapshot.spec.kv_blocks) * f64::from(BLOCK_TOKENS);
    for (name, help, value) in [
        ("sglang:num_running_reqs", "The number of running requests.", snapshot.running as f64),
        ("sglang:num_used_tokens", "The number of used tokens.", snapshot.resident as f64),
        ("sglang:token_usage", "The token usage.", snapshot.kv_use),
        ("sglang:num_queue_reqs", "The number of requests in the waiting queue.", snapshot.waiting as f64),
        ("sglang:num_grammar_queue_reqs", "The number of requests in the grammar waiting queue.", 0.0),
        ("sglang:cache_hit_rate", "The prefix cache hit rate.", 0.0),
        ("sglang:max_total_num_tokens", "Maximum total number of tokens in the KV cache pool.", capacity),
    ] {
        page.gauge(name, help, value);
    }
    let counters = snapshot.counters;
    for (name, help, value) in [
        ("sglang:prompt_tokens_total", "Number of prefill tokens processed.", counters.prompt_tokens),
        (
            "sglang:generation_tokens_total",
            "Number of generation tokens processed.",
            counters.generation_tokens,
        ),
        ("sglang:num_requests_total", "Number of requests processed.", counters.finished),
        ("sglang:num_aborted_requests_total", "Number of requests aborted.", counters.aborted),
    ] {
        page.counter(name, help, value as f64);
    }
    let latencies = snapshot.latencies;
    page.histogram(
        "sglang:time_to_first_token_seconds",
        "Histogram of time to first token in seconds.",
        &latencies.ttft,
    );
    page.histogram(
        "sglang:e2e_request_latency_seconds",
        "Histogram of End-to-end request latency in seconds",
        &latencies.e2e,
    );
    page.finish()
}

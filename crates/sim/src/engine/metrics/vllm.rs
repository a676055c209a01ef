//! vLLM's page: names, help texts, labels and bucket bounds as vLLM 0.32 shows them.

use super::Snapshot;
use super::latencies::Bounds;
use super::page::{Numbers, Page};
use crate::node::BLOCK_TOKENS;

pub(super) const BOUNDS: Bounds = Bounds {
    ttft: &[
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
        40.0, 80.0, 160.0, 640.0, 2560.0,
    ],
    tpot: &[
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
        80.0,
    ],
    e2e: &[
        0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
        480.0, 960.0, 1920.0, 7680.0,
    ],
    tokens: &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0],
};

pub(super) fn render(snapshot: &Snapshot<'_>, cache: &str) -> String {
    let mut page = Page::new(Numbers::Python, &[("engine", "0"), ("model_name", snapshot.model)]);
    gauges(&mut page, snapshot, cache);
    counters(&mut page, snapshot);
    histograms(&mut page, snapshot);
    cache_config(&mut page, snapshot);
    page.finish()
}

fn gauges(page: &mut Page, snapshot: &Snapshot<'_>, cache: &str) {
    let waiting = snapshot.waiting as f64;
    page.gauge(
        "vllm:num_requests_running",
        "Number of requests in model execution batches.",
        snapshot.running as f64,
    );
    page.gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", waiting);
    let by_reason = "vllm:num_requests_waiting_by_reason";
    page.family(
        by_reason,
        "gauge",
        "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' \
         = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals \
         vllm:num_requests_waiting.",
    );
    page.series(by_reason, &[("reason", "capacity")], waiting);
    page.series(by_reason, &[("reason", "deferred")], 0.0);
    let sleep = "vllm:engine_sleep_state";
    page.family(
        sleep,
        "gauge",
        "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = \
         1 means sleep level 1; discard_all = 1 means sleep level 2.",
    );
    let awake = f64::from(u8::from(snapshot.awake));
    page.series(sleep, &[("sleep_state", "awake")], awake);
    page.series(sleep, &[("sleep_state", "weights_offloaded")], 1.0 - awake);
    page.series(sleep, &[("sleep_state", "discard_all")], 0.0);
    page.gauge(cache, "KV-cache usage. 1 means 100 percent usage.", snapshot.kv_use);
}

fn counters(page: &mut Page, snapshot: &Snapshot<'_>) {
    let counters = snapshot.counters;
    page.counter(
        "vllm:num_preemptions_total",
        "Cumulative number of preemption from the engine.",
        counters.preemptions as f64,
    );
    page.counter(
        "vllm:prompt_tokens_total",
        "Number of prefill tokens processed.",
        counters.prompt_tokens as f64,
    );
    page.counter(
        "vllm:generation_tokens_total",
        "Number of generation tokens processed.",
        counters.generation_tokens as f64,
    );
    let success = "vllm:request_success_total";
    page.family(success, "counter", "Count of successfully processed requests.");
    let finished = snapshot.finished;
    for (reason, count) in [("stop", finished.stop), ("length", finished.length), ("abort", finished.abort)] {
        page.series(success, &[("finished_reason", reason)], count as f64);
    }
}

fn histograms(page: &mut Page, snapshot: &Snapshot<'_>) {
    let latencies = snapshot.latencies;
    let all = [
        ("vllm:request_prompt_tokens", "Number of prefill tokens processed.", &latencies.prompt),
        ("vllm:request_generation_tokens", "Number of generation tokens processed.", &latencies.generation),
        ("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", &latencies.ttft),
        (
            "vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            &latencies.tpot,
        ),
        ("vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", &latencies.e2e),
    ];
    for (name, help, histogram) in all {
        page.histogram(name, help, histogram);
    }
}

fn cache_config(page: &mut Page, snapshot: &Snapshot<'_>) {
    let name = "vllm:cache_config_info";
    page.family(name, "gauge", "Information of the LLMEngine CacheConfig");
    let (block_size, blocks) = (BLOCK_TOKENS.to_string(), snapshot.spec.kv_blocks.to_string());
    page.series(name, &[("block_size", &block_size), ("num_gpu_blocks", &blocks)], 1.0);
}

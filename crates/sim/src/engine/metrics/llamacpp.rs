//! llama.cpp's page: names and help texts as its server shows them. It has no labels and no KV-cache gauge.

use super::Snapshot;
use super::page::{Numbers, Page};

pub(super) fn render(snapshot: &Snapshot<'_>) -> String {
    let mut page = Page::new(Numbers::Plain, &[]);
    let counters = snapshot.counters;
    let latencies = snapshot.latencies;
    let (prompt, predicted) = (counters.prompt_tokens as f64, counters.generation_tokens as f64);
    let (prompt_seconds, steps) = (latencies.ttft.sum, counters.steps as f64);
    let predicted_seconds = (latencies.e2e.sum - latencies.ttft.sum).max(0.0);
    let rate = |of: f64, per: f64| if per > 0.0 { of / per } else { 0.0 };
    for (name, help, value) in [
        (
            "llamacpp:prompt_tokens_total",
            "Number of prompt tokens processed, excluding cached tokens",
            prompt,
        ),
        ("llamacpp:prompt_seconds_total", "Total time spent processing prompts", prompt_seconds),
        ("llamacpp:tokens_predicted_total", "Number of generation tokens processed", predicted),
        ("llamacpp:tokens_predicted_seconds_total", "Total time spent generating tokens", predicted_seconds),
        (
            "llamacpp:n_decode_total",
            "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding",
            steps,
        ),
    ] {
        page.counter(name, help, value);
    }
    for (name, help, value) in [
        (
            "llamacpp:prompt_tokens_seconds",
            "Average prompt throughput in tokens/s",
            rate(prompt, prompt_seconds),
        ),
        (
            "llamacpp:predicted_tokens_seconds",
            "Average generation throughput in tokens/s",
            rate(predicted, predicted_seconds),
        ),
        ("llamacpp:requests_processing", "Number of requests processing", snapshot.running as f64),
        ("llamacpp:requests_deferred", "Number of requests deferred", snapshot.waiting as f64),
        (
            "llamacpp:n_busy_slots_per_decode",
            "Average number of busy slots per llama_decode() call",
            rate(predicted, steps),
        ),
    ] {
        page.gauge(name, help, value);
    }
    page.finish()
}

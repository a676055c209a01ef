//! SGLang, started with `--enable-metrics`.

use super::{Engine, Family, Source};

/// SGLang, with a colon as it reports itself, and with `sglang_` as its router passes it on.
pub(super) static SGLANG: Engine = Engine {
    waiting: Source::sum(&[family("sglang:num_queue_reqs"), family("sglang_num_queue_reqs")]),
    running: Source::sum(&[family("sglang:num_running_reqs"), family("sglang_num_running_reqs")]),
    cache: Source::max(&[family("sglang:token_usage"), family("sglang_token_usage")]),
    ..Engine::new("sglang", "SGLang with `--enable-metrics`")
};

/// With priority scheduling a queue is reported for each priority, and in whole as `priority=""`. Each scheduler
/// process may report (every pipeline stage does, every tensor-parallel rank on request), but those of one
/// `dp_rank` work on the same requests. Source: `SchedulerMetricsCollector` of SGLang 0.5.
const fn family(name: &'static str) -> Family {
    Family { split: Some("priority"), copies: &["tp_rank", "pp_rank", "moe_ep_rank"], ..Family::named(name) }
}

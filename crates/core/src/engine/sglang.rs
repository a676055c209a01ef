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
/// `dp_rank` work on the same requests. One process at a time works as a rank, so that series which differ by `pid`
/// alone (prometheus_client adds the label where a gauge is kept for each process) are of the same requests too: SGLang
/// itself asks for the most recent of them (`multiprocess_mode="mostrecent"`). Source: `SchedulerMetricsCollector` of
/// SGLang 0.5.
const fn family(name: &'static str) -> Family {
    Family {
        split: Some("priority"),
        copies: &["tp_rank", "pp_rank", "moe_ep_rank", "pid"],
        ..Family::named(name)
    }
}

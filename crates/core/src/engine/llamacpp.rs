//! llama.cpp's server, started with `--metrics`.

use super::{Engine, Family, Source};

/// llama.cpp's server, which has no labels; only old versions report the KV-cache use. A router over several of them adds
/// the label `model`, and its models add up.
pub(super) static LLAMACPP: Engine = Engine {
    waiting: Source::sum(&[Family::named("llamacpp:requests_deferred")]),
    running: Source::sum(&[Family::named("llamacpp:requests_processing")]),
    cache: Source::max(&[Family::named("llamacpp:kv_cache_usage_ratio")]),
    ..Engine::new("llamacpp", "llama.cpp's server with `--metrics`")
};

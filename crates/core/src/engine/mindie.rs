//! MindIE, Huawei's engine for Ascend.

use super::{Engine, Family, Scale, Source};

/// MindIE, whose names have no prefix; that of the cache tells it from NIM. The documentation says of the cache's use
/// that 1 is 100 per cent, and some versions report it in per cent all the same.
pub(super) static MINDIE: Engine = Engine {
    waiting: Source::sum(&[Family::named("num_requests_waiting")]),
    running: Source::sum(&[Family::named("num_requests_running")]),
    cache: Source::max(&[Family { scale: Scale::RatioOrPerCent, ..Family::named("npu_cache_usage_perc") }]),
    ..Engine::new("mindie", "MindIE")
};

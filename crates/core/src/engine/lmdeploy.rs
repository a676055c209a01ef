//! LMDeploy.

use super::{Engine, Family, Source};

/// LMDeploy, one series for each data-parallel rank (label `engine`).
pub(super) static LMDEPLOY: Engine = Engine {
    waiting: Source::sum(&[Family::named("lmdeploy:num_requests_waiting")]),
    running: Source::sum(&[Family::named("lmdeploy:num_requests_running")]),
    cache: Source::max(&[Family::named("lmdeploy:gpu_cache_usage_perc")]),
    ..Engine::new("lmdeploy", "LMDeploy")
};

//! NVIDIA Dynamo's frontend.

use super::{Engine, Family, Source};

/// Dynamo's HTTP frontend, one series for each model (label `model`). A request counts as queued until its first token and as
/// in flight until its end, so that those in flight have the queued ones in them. Source: the page "Metrics" of Dynamo's
/// documentation.
pub(super) static DYNAMO: Engine = Engine {
    waiting: Source::sum(&[Family::named("dynamo_frontend_queued_requests")]),
    running: Source::sum(&[Family::named("dynamo_frontend_inflight_requests")]),
    running_has_waiting: true,
    ..Engine::new("dynamo", "NVIDIA Dynamo's frontend")
};

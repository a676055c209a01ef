//! Hugging Face's Text Generation Inference.

use super::{Engine, Family, Source};

/// TGI, whose series have no labels. It does not report its cache: `tgi_batch_current_max_tokens` is what the batch
/// may grow to, in tokens, and nothing says out of how many.
pub(super) static TGI: Engine = Engine {
    waiting: Source::sum(&[Family::named("tgi_queue_size")]),
    running: Source::sum(&[Family::named("tgi_batch_current_size")]),
    ..Engine::new("tgi", "Text Generation Inference")
};

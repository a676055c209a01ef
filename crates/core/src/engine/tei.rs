//! Hugging Face's Text Embeddings Inference.

use super::{Engine, Family, Source};

/// TEI, which reports its queue and nothing of what is being computed. Source: `router/src/lib.rs` and
/// `core/src/queue.rs` of text-embeddings-inference.
pub(super) static TEI: Engine = Engine {
    waiting: Source::sum(&[Family::named("te_queue_size")]),
    ..Engine::new("tei", "Text Embeddings Inference")
};

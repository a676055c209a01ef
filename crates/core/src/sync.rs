//! The atomic words that a board is made of: the standard library's, or loom's where `--cfg loom` asks for them, which
//! plays through the orders in which threads may read and write (`tests/loom`).

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU64, Ordering, fence};

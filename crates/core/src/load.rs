//! What an engine reports of its load.

/// One answer of an engine; a signal that it did not report, or not as a finite number ≥ 0, is unknown, not 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Requests queued.
    pub waiting: Option<f64>,
    /// Requests being executed.
    pub running: Option<f64>,
    /// KV-cache use, 0 to 1.
    pub cache: Option<f64>,
}

//! The numbers of a run that are compared and shown.

use crate::fleet::Measures;

/// A number of a run, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// What it is called at the head of a column.
    pub name: &'static str,
    /// The number, in ms but for [`ATTAINED`]; None where no request has it.
    pub of: fn(&Measures) -> Option<f64>,
}

const fn metric(name: &'static str, of: fn(&Measures) -> Option<f64>) -> Metric {
    Metric { name, of }
}

/// Mean time to the first token.
pub const TTFT_MEAN: Metric = metric("TTFT mean", |m| m.ttft_ms.map(|s| s.mean));
/// Its median.
pub const TTFT_MEDIAN: Metric = metric("TTFT median", |m| m.ttft_ms.map(|s| s.p50));
/// Its 99th percentile.
pub const TTFT_P99: Metric = metric("TTFT P99", |m| m.ttft_ms.map(|s| s.p99));
/// Mean time per output token.
pub const TPOT_MEAN: Metric = metric("TPOT mean", |m| m.tpot_ms.map(|s| s.mean));
/// Its median.
pub const TPOT_MEDIAN: Metric = metric("TPOT median", |m| m.tpot_ms.map(|s| s.p50));
/// Its 99th percentile.
pub const TPOT_P99: Metric = metric("TPOT P99", |m| m.tpot_ms.map(|s| s.p99));
/// Mean time to the end.
pub const E2E_MEAN: Metric = metric("E2E mean", |m| m.e2e_ms.map(|s| s.mean));
/// Its median.
pub const E2E_MEDIAN: Metric = metric("E2E median", |m| m.e2e_ms.map(|s| s.p50));
/// Its 99th percentile.
pub const E2E_P99: Metric = metric("E2E P99", |m| m.e2e_ms.map(|s| s.p99));
/// Mean time to the first token of the tenth of the requests that has the longest prompts.
pub const TTFT_LONGEST: Metric = metric("longest TTFT", |m| m.ttft_longest_ms.map(|s| s.mean));
/// The per cent of the requests that were served as promised.
pub const ATTAINED: Metric = metric("attained", |m| Some(m.attained * 100.0));

/// All times, as the tables have them.
pub const TIMES: [Metric; 10] = [
    TTFT_MEAN,
    TTFT_MEDIAN,
    TTFT_P99,
    TPOT_MEAN,
    TPOT_MEDIAN,
    TPOT_P99,
    E2E_MEAN,
    E2E_MEDIAN,
    E2E_P99,
    TTFT_LONGEST,
];

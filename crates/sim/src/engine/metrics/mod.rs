//! The `/metrics` page in the forms of real engines: their family names, help texts, types, labels and units.

mod latencies;
mod llamacpp;
mod page;
mod sglang;
mod vllm;

use super::live::Finished;
use crate::node::{Counters, NodeSpec};
use latencies::Bounds;
pub(super) use latencies::Latencies;

/// Whose page an engine shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsForm {
    /// vLLM's V1 engine.
    #[default]
    Vllm,
    /// vLLM's older name of the KV-cache gauge, `vllm:gpu_cache_usage_perc`.
    VllmOld,
    /// SGLang with `--enable-metrics`.
    Sglang,
    /// llama.cpp's server with `--metrics`; it reports no cache.
    LlamaCpp,
}

/// The forms by their names on the command line.
pub const METRICS_FORMS: &[(&str, MetricsForm)] = &[
    ("vllm", MetricsForm::Vllm),
    ("vllm-old", MetricsForm::VllmOld),
    ("sglang", MetricsForm::Sglang),
    ("llamacpp", MetricsForm::LlamaCpp),
];

/// All that a page tells.
pub(super) struct Snapshot<'a> {
    pub model: &'a str,
    pub awake: bool,
    pub waiting: usize,
    pub running: usize,
    pub kv_use: f64,
    pub resident: u64,
    pub counters: Counters,
    pub finished: Finished,
    pub latencies: &'a Latencies,
    pub spec: &'a NodeSpec,
}

impl MetricsForm {
    /// The form of this name in [`METRICS_FORMS`].
    pub fn named(name: &str) -> Option<Self> {
        METRICS_FORMS.iter().find(|(known, _)| *known == name).map(|&(_, form)| form)
    }

    pub(super) fn render(self, snapshot: &Snapshot<'_>) -> String {
        match self {
            Self::Vllm => vllm::render(snapshot, "vllm:kv_cache_usage_perc"),
            Self::VllmOld => vllm::render(snapshot, "vllm:gpu_cache_usage_perc"),
            Self::Sglang => sglang::render(snapshot),
            Self::LlamaCpp => llamacpp::render(snapshot),
        }
    }

    fn bounds(self) -> Bounds {
        match self {
            Self::Sglang => sglang::BOUNDS,
            Self::Vllm | Self::VllmOld | Self::LlamaCpp => vllm::BOUNDS,
        }
    }
}

#[cfg(test)]
mod tests;

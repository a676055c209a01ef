//! Prometheus text.

use std::fmt::Write;

use super::latencies::Histogram;

/// How an engine's library writes numbers.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Numbers {
    /// As Python does: `4.0`.
    Python,
    /// As C++ streams do: `4`.
    Plain,
}

/// A page that is being written.
pub(super) struct Page {
    text: String,
    numbers: Numbers,
    /// The labels of every series, sorted.
    labels: Vec<(&'static str, String)>,
}

impl Page {
    pub fn new(numbers: Numbers, labels: &[(&'static str, &str)]) -> Self {
        let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = labels.iter().map(|&(name, value)| (name, escaped(value))).collect();
        Self { text: String::with_capacity(32 * 1024), numbers, labels }
    }

    pub fn finish(self) -> String {
        self.text
    }

    /// A gauge with one series.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.series(name, &[], value);
    }

    /// A counter with one series; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "counter", help);
        self.series(name, &[], value);
    }

    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One series with these labels beside those of the page.
    pub fn series(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let mut all: Vec<(&str, &str)> = self
            .labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(labels.iter().copied())
            .collect();
        all.sort_unstable();
        self.text.push_str(name);
        for (at, (label, value)) in all.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        self.text.push_str(if all.is_empty() { " " } else { "} " });
        let _ = match self.numbers {
            Numbers::Python => writeln!(self.text, "{value:?}"),
            Numbers::Plain => writeln!(self.text, "{value}"),
        };
    }

    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (&bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            below += count;
            self.series(&bucket, &[("le", &format!("{bound:?}"))], below as f64);
        }
        self.series(&bucket, &[("le", "+Inf")], histogram.count() as f64);
        self.series(&format!("{name}_count"), &[], histogram.count() as f64);
        self.series(&format!("{name}_sum"), &[], histogram.sum);
    }
}

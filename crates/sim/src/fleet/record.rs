//! What a run was like for its clients.

use serde::Serialize;

use super::Asked;
use crate::node::{NANOS_PER_MS, Nanos};
use crate::policy::Try;
use crate::summary::{Summary, quantile};

/// One request, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// Its number in the plan.
    pub number: usize,
    /// Tokens of its prompt.
    pub prompt: u32,
    /// Tokens of its answer, if it came whole.
    pub output: u32,
    /// The node that it was sent to last; None if there was none to send it to.
    pub node: Option<usize>,
    /// Whether its answer came whole.
    pub whole: bool,
    /// Time to the first token in ms, if one came.
    pub ttft: Option<f64>,
    /// Time per output token after the first in ms, if there was another.
    pub tpot: Option<f64>,
    /// Time to the end in ms.
    pub e2e: f64,
}

impl Record {
    /// The request `number`, sent at `sent` and ended at `now`. An answer in one piece has no first token for its client.
    pub(super) fn of(
        asked: &Asked,
        number: usize,
        sent: Nanos,
        last: Option<&Try>,
        now: Nanos,
        whole: bool,
    ) -> Self {
        let ms = |from: Nanos, to: Nanos| (to - from) as f64 / NANOS_PER_MS;
        let further = f64::from(asked.length.output) - 1.0;
        let first = last.and_then(|last| last.first_byte).filter(|_| asked.streaming);
        Self {
            number,
            prompt: asked.length.input,
            output: asked.length.output,
            node: last.map(|last| last.peer),
            whole,
            ttft: first.map(|first| ms(sent, first)),
            tpot: first.filter(|_| whole && further > 0.0).map(|first| ms(first, now) / further),
            e2e: ms(sent, now),
        }
    }
}

/// What requests are promised, in ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slo {
    /// The longest time to the first token.
    pub ttft: f64,
    /// The longest time per further token.
    pub tpot: f64,
}

impl Slo {
    /// Whether a request was served as promised. One that failed was not; an answer in one piece was if it came within
    /// the time that both promises allow together.
    fn holds(&self, record: &Record) -> bool {
        record.whole
            && match record.ttft {
                Some(ttft) => ttft <= self.ttft && record.tpot.is_none_or(|tpot| tpot <= self.tpot),
                None => record.e2e <= self.ttft + self.tpot * f64::from(record.output.saturating_sub(1)),
            }
    }
}

/// All requests of a run, in the order of their ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The requests.
    pub records: Vec<Record>,
    nodes: usize,
}

/// What a run comes to, as the JSON lines have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    /// Requests that were sent.
    pub requests: usize,
    /// Those whose answer did not come whole.
    pub failed: usize,
    /// Time to the first token.
    pub ttft_ms: Option<Summary>,
    /// Time per output token after the first.
    pub tpot_ms: Option<Summary>,
    /// Time to the end.
    pub e2e_ms: Option<Summary>,
    /// Time to the first token of the tenth of the requests that has the longest prompts.
    pub ttft_longest_ms: Option<Summary>,
    /// The share of requests that were served as promised.
    pub attained: f64,
    /// The share of requests that each node served.
    pub shares: Vec<f64>,
}

impl Outcome {
    pub(super) fn new(nodes: usize, requests: usize) -> Self {
        Self { records: Vec::with_capacity(requests), nodes }
    }

    pub(super) fn add(&mut self, record: Record) {
        self.records.push(record);
    }

    /// What it comes to.
    pub fn measures(&self, slo: &Slo) -> Measures {
        let whole = || self.records.iter().filter(|record| record.whole);
        let count = self.records.len().max(1) as f64;
        let mut served = vec![0u32; self.nodes];
        self.records.iter().filter_map(|record| record.node).for_each(|node| served[node] += 1);
        let mut prompts: Vec<f64> = self.records.iter().map(|record| f64::from(record.prompt)).collect();
        prompts.sort_unstable_by(f64::total_cmp);
        let long = if prompts.is_empty() { 0.0 } else { quantile(&prompts, 0.9) };
        let longest = || whole().filter(|record| f64::from(record.prompt) >= long);
        Measures {
            requests: self.records.len(),
            failed: self.records.len() - whole().count(),
            ttft_ms: Summary::of(whole().filter_map(|record| record.ttft)),
            tpot_ms: Summary::of(whole().filter_map(|record| record.tpot)),
            e2e_ms: Summary::of(whole().map(|record| record.e2e)),
            ttft_longest_ms: Summary::of(longest().filter_map(|record| record.ttft)),
            attained: self.records.iter().filter(|record| slo.holds(record)).count() as f64 / count,
            shares: served.iter().map(|&served| f64::from(served) / count).collect(),
        }
    }
}

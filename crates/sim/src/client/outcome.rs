//! What came of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Job;
use crate::summary::Summary;
use crate::workload::Length;

/// What came of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place in the order of sending.
    pub number: usize,
    /// What was asked.
    pub length: Length,
    /// Whether it counts; requests that only warm up do not.
    pub measured: bool,
    /// The server that answered, as the response header names it.
    pub upstream: Option<String>,
    /// From sending to the first byte of the answer's body.
    pub ttft: Option<Duration>,
    /// From sending to the last bytes that held tokens.
    pub last_token: Option<Duration>,
    /// From sending to the end of the answer.
    pub e2e: Duration,
    /// Tokens that came, as the engine counts them.
    pub tokens: u32,
    /// What went wrong: `connect: …`, `status 502`, `timeout`, `broken off`, `ended without [DONE]`, …
    pub error: Option<String>,
}

impl Record {
    pub(super) fn new(job: Job) -> Self {
        Self {
            number: job.number,
            length: job.length,
            measured: job.measured,
            upstream: None,
            ttft: None,
            last_token: None,
            e2e: Duration::ZERO,
            tokens: 0,
            error: None,
        }
    }

    /// The mean time of each token after the first, if there was one.
    pub fn tpot(&self) -> Option<Duration> {
        let decoding = self.last_token?.checked_sub(self.ttft?)?;
        (self.tokens > 1).then(|| decoding / (self.tokens - 1))
    }

    fn counts(&self) -> bool {
        self.measured && self.error.is_none()
    }
}

/// What came of all requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// All requests in the order in which they were sent, those of the warm-up too.
    pub records: Vec<Record>,
    /// How long the run took.
    pub took: Duration,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Outcome {
    pub(super) fn new(records: Vec<Record>, took: Duration) -> Self {
        Self { records, took }
    }

    /// The requests that were measured and got their whole answer.
    pub fn answered(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.counts())
    }

    /// Time to the first token in ms. `None` if nothing was answered, here and below.
    pub fn ttft_ms(&self) -> Option<Summary> {
        Summary::of(self.answered().filter_map(|record| record.ttft).map(ms))
    }

    /// Time per output token after the first in ms; each request counts once.
    pub fn tpot_ms(&self) -> Option<Summary> {
        Summary::of(self.answered().filter_map(Record::tpot).map(ms))
    }

    /// Time to the end of the answer in ms.
    pub fn e2e_ms(&self) -> Option<Summary> {
        Summary::of(self.answered().map(|record| ms(record.e2e)))
    }

    /// Failed requests (those of the warm-up too) by what went wrong.
    pub fn errors(&self) -> BTreeMap<&str, usize> {
        let mut errors = BTreeMap::new();
        for error in self.records.iter().filter_map(|record| record.error.as_deref()) {
            *errors.entry(error).or_default() += 1;
        }
        errors
    }

    /// Each upstream server's part of the answered requests, 0 to 1, by its name in the response header.
    pub fn shares(&self) -> BTreeMap<&str, f64> {
        let answered = self.answered().count() as f64;
        let mut shares = BTreeMap::new();
        for upstream in self.answered().filter_map(|record| record.upstream.as_deref()) {
            *shares.entry(upstream).or_default() += 1.0 / answered;
        }
        shares
    }

    /// All of it as one JSON object.
    pub fn json(&self) -> Value {
        let answered = self.answered().count();
        json!({
            "requests": answered,
            "errors": self.errors(),
            "seconds": self.took.as_secs_f64(),
            "requests_per_second": answered as f64 / self.took.as_secs_f64(),
            "prompt_tokens": self.answered().map(|record| u64::from(record.length.input)).sum::<u64>(),
            "completion_tokens": self.answered().map(|record| u64::from(record.tokens)).sum::<u64>(),
            "ttft_ms": self.ttft_ms(),
            "tpot_ms": self.tpot_ms(),
            "e2e_ms": self.e2e_ms(),
            "shares": self.shares(),
        })
    }
}

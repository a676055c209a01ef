//! A load client: streaming completions in a closed or an open loop, measured as vLLM's benchmark measures them.
//!
//! The seed fixes which requests are sent and, in an open loop, when; two runs differ only in what answers them.

mod connection;
mod exchange;
mod fetch;
mod outcome;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::workload::{Length, Lengths, Workload};
use connection::Target;
pub use fetch::get;
pub use outcome::{Outcome, Record};

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// So many clients, each of which sends its next request when its last one is done.
    Closed {
        /// The number of clients.
        concurrency: usize,
    },
    /// Requests at random times, whatever becomes of those before (a Poisson process).
    Open {
        /// Requests a second.
        rate: f64,
    },
}

/// Which endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    Chat,
}

/// What to send where.
#[derive(Debug, Clone)]
pub struct Options {
    /// An `http://` URL; the endpoint's path is appended to its path.
    pub base_url: String,
    /// Which endpoint is asked.
    pub endpoint: Endpoint,
    /// The model's name in the requests.
    pub model: String,
    /// How requests follow each other.
    pub load: Load,
    /// Requests that are measured.
    pub requests: usize,
    /// Requests that are sent before those and not measured.
    pub warmup: usize,
    /// How long prompts and outputs are.
    pub lengths: Lengths,
    /// Fixes the lengths and, in an open loop, the times.
    pub seed: u64,
    /// The longest that a request may take.
    pub timeout: Duration,
    /// The response header that names the upstream server which answered.
    pub upstream_header: String,
    /// Whether connections are kept for further requests. The server may close one at the moment in which a request
    /// is sent on it, so where it may do so at any time, a request fails only by chance.
    pub keepalive: bool,
}

impl Options {
    /// ShareGPT's lengths in a closed loop of 16 clients, 200 requests, to the model `mock`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            endpoint: Endpoint::Completions,
            model: "mock".to_owned(),
            load: Load::Closed { concurrency: 16 },
            requests: 200,
            warmup: 0,
            lengths: Lengths::SHAREGPT,
            seed: 1,
            timeout: Duration::from_secs(120),
            upstream_header: "x-upstream".to_owned(),
            keepalive: true,
        }
    }
}

/// Options that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadOptions(String);

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadOptions {}

/// Sends all requests and waits for their ends, calling `on_record` at each, in the order in which they end. Dropping
/// the future closes all connections.
///
/// # Errors
/// The URL is not an `http://` one, or the load is none. What fails later is counted in the outcome.
pub async fn run(options: &Options, mut on_record: impl FnMut(&Record)) -> Result<Outcome, BadOptions> {
    let target = Arc::new(Target::new(options)?);
    let work = Arc::new(Mutex::new(Work::new(options)));
    let (sender, mut receiver) = unbounded_channel();
    let mut tasks = JoinSet::new();
    let since = Instant::now();
    match options.load {
        Load::Closed { concurrency } if concurrency > 0 => {
            for _ in 0..concurrency {
                tasks.spawn(one_client(Arc::clone(&target), Arc::clone(&work), sender.clone()));
            }
        }
        Load::Open { rate } if rate > 0.0 && rate.is_finite() => {
            tasks.spawn(at_random_times(
                Arc::clone(&target),
                Arc::clone(&work),
                sender.clone(),
                rate,
                options.seed,
            ));
        }
        _ => return Err(BadOptions("the load must be above 0".to_owned())),
    }
    drop(sender);
    let mut records = Vec::with_capacity(options.requests + options.warmup);
    while let Some(record) = receiver.recv().await {
        on_record(&record);
        records.push(record);
    }
    records.sort_unstable_by_key(|record| record.number);
    Ok(Outcome::new(records, since.elapsed()))
}

/// As [`run`], for callers without an asynchronous runtime.
///
/// # Errors
/// As [`run`], and if no runtime can be made.
pub fn run_blocking(options: &Options, on_record: impl FnMut(&Record)) -> Result<Outcome, BadOptions> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| BadOptions(error.to_string()))?.block_on(run(options, on_record))
}

/// The requests that are still to be sent.
struct Work {
    lengths: std::iter::Enumerate<std::iter::Take<Workload>>,
    warmup: usize,
}

/// One request to send.
#[derive(Debug, Clone, Copy)]
struct Job {
    number: usize,
    length: Length,
    measured: bool,
}

impl Work {
    fn new(options: &Options) -> Self {
        let lengths = Workload::new(options.lengths, options.seed).take(options.warmup + options.requests);
        Self { lengths: lengths.enumerate(), warmup: options.warmup }
    }
}

fn next(work: &Mutex<Work>) -> Option<Job> {
    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
    let (number, length) = work.lengths.next()?;
    Some(Job { number, length, measured: number >= work.warmup })
}

async fn one_client(target: Arc<Target>, work: Arc<Mutex<Work>>, records: UnboundedSender<Record>) {
    while let Some(job) = next(&work) {
        // The receiver is gone only if the run was dropped, and then this task is too.
        let _ = records.send(target.send(job).await);
    }
}

async fn at_random_times(
    target: Arc<Target>,
    work: Arc<Mutex<Work>>,
    records: UnboundedSender<Record>,
    rate: f64,
    seed: u64,
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    while let Some(job) = next(&work) {
        at += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate);
        tokio::time::sleep_until(at).await;
        let (target, records) = (Arc::clone(&target), records.clone());
        tasks.spawn(async move { records.send(target.send(job).await) });
    }
    tasks.join_all().await;
}

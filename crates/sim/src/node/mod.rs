//! A model of one inference engine in virtual time: continuous batching with chunked prefill, a paged KV cache and
//! preemption by recomputation, as vLLM's V1 scheduler does it.
//!
//! The model is pure: no clock, no I/O, and randomness only from the seed it is given. A caller hands it requests
//! ([`Node::submit`]), asks when something will happen next ([`Node::next_event_at`]) and lets time pass
//! ([`Node::advance`]). The simulator does so in virtual time, the mock engine in real time.
//!
//! A decoding sequence gains one token in every step, so its state is a difference to the number of steps, and a step
//! in which nobody joins or leaves costs the same with 1 sequence as with 256.

mod schedule;
mod sequence;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use crate::random::Normal;
use sequence::{Batch, Sequence};
pub use spec::{Arrival, BLOCK_TOKENS, NODE_TYPES, NodeSpec, StepTime};

/// Virtual time in nanoseconds from an origin that the caller chooses.
pub type Nanos = u64;

/// Nanoseconds in a millisecond, the unit of the step times.
pub const NANOS_PER_MS: f64 = 1e6;

/// What a caller asks of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The caller's name for it; events carry it. Must be unique among the requests that are in the node.
    pub id: u64,
    /// Tokens of the prompt; 0 counts as 1.
    pub prompt: u32,
    /// Tokens to generate; 0 counts as 1.
    pub output: u32,
}

/// What happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The first token came out.
    FirstToken,
    /// A further token came out. Only a node made [`Node::with_tokens`] tells.
    Token,
    /// The last token came out just before; the request has left the node.
    Done,
}

/// An event of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Nanos,
    /// The request's `id`.
    pub id: u64,
    /// What happened.
    pub kind: EventKind,
}

/// Totals since the node was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were accepted.
    pub submitted: u64,
    /// Requests that got all their tokens.
    pub finished: u64,
    /// Requests that their caller took back.
    pub aborted: u64,
    /// Times that a sequence lost its KV blocks and had to be computed again.
    pub preemptions: u64,
    /// Prompt tokens of the requests that had their first token (a recomputation does not count again).
    pub prompt_tokens: u64,
    /// Tokens that came out.
    pub generation_tokens: u64,
    /// Steps that were completed.
    pub steps: u64,
}

/// A request that could never run: its context is larger than the whole KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The largest number of tokens (prompt and output) that the node can hold.
    pub limit: u64,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prompt and output are longer than the {} tokens of the KV cache", self.limit)
    }
}

impl std::error::Error for TooLong {}

/// One engine: its queue, its batch and its KV cache. See the module's text.
#[derive(Debug)]
pub struct Node {
    spec: NodeSpec,
    noise: Normal,
    each_token: bool,
    /// How many times as long as usual everything takes.
    pace: f64,
    /// Submitted, still in the API server (the arrival overhead), first come first.
    arriving: VecDeque<Sequence>,
    /// Waiting for a place in the batch, first come first; preempted ones are put in front.
    waiting: VecDeque<Sequence>,
    batch: Batch,
    /// The end of the step that is being computed.
    step_end: Option<Nanos>,
    counters: Counters,
}

impl Node {
    /// An idle node that reports the first token and the end of each request. `seed` fixes its noise.
    pub fn new(spec: NodeSpec, seed: u64) -> Self {
        let batch = Batch::new(spec.kv_blocks, spec.max_seqs);
        Self {
            spec,
            noise: Normal::new(seed),
            each_token: false,
            pace: 1.0,
            arriving: VecDeque::new(),
            waiting: VecDeque::new(),
            batch,
            step_end: None,
            counters: Counters::default(),
        }
    }

    /// Makes the node report every token, which costs time in proportion to the batch in each step.
    #[must_use]
    pub fn with_tokens(mut self) -> Self {
        self.each_token = true;
        self
    }

    /// Takes in a request at `now`. The caller must have advanced the node to `now`, so that the arrival overhead
    /// sees who is running.
    ///
    /// # Errors
    /// [`TooLong`] if the KV cache could not hold it even alone.
    pub fn submit(&mut self, now: Nanos, request: Request) -> Result<(), TooLong> {
        self.submit_cached(now, request, 0)
    }

    /// Takes in a request like [`Node::submit`], of whose prompt the first `cached` tokens lie in the prefix cache: they
    /// need room in the KV cache and no time. At least one token is computed.
    ///
    /// # Errors
    /// [`TooLong`] if the KV cache could not hold it even alone.
    pub fn submit_cached(&mut self, now: Nanos, request: Request, cached: u32) -> Result<(), TooLong> {
        let mut sequence = Sequence::new(request, cached);
        let limit = self.token_limit();
        if u64::from(sequence.prompt) + u64::from(sequence.output) > limit {
            return Err(TooLong { limit });
        }
        let overhead = self.spec.arrival.base + self.spec.arrival.running * self.batch.running() as f64;
        // One API server takes requests in turn: a later one does not overtake an earlier one.
        let after = self.arriving.back().map_or(0, |last| last.ready);
        sequence.ready = (now + nanos(overhead * self.pace)).max(after);
        self.arriving.push_back(sequence);
        self.counters.submitted += 1;
        Ok(())
    }

    /// Makes everything that begins from now on take `factor` (above 0) times as long as the node's specification says.
    pub fn set_pace(&mut self, factor: f64) {
        self.pace = factor;
    }

    /// When the node will next do something by itself; `None` while it is idle.
    pub fn next_event_at(&self) -> Option<Nanos> {
        self.step_end.or_else(|| self.arriving.front().map(|first| first.ready))
    }

    /// Lets time pass up to and including `now`, appending to `out` what happened, in order of time. Steps begin and
    /// end at their own times, so it does not matter how often this is called.
    pub fn advance(&mut self, now: Nanos, out: &mut Vec<Event>) {
        while let Some(at) = self.next_event_at().filter(|&at| at <= now) {
            if self.step_end.take().is_some() {
                self.end_step(at, out);
            }
            self.admit_arrivals(at);
            self.begin_step(at);
        }
        self.admit_arrivals(now);
    }

    /// Takes back a request. Returns whether it was in the node. The step that is being computed takes as long as it
    /// would have taken with it.
    pub fn abort(&mut self, id: u64) -> bool {
        let found = remove(&mut self.arriving, id) || remove(&mut self.waiting, id) || self.batch.remove(id);
        self.counters.aborted += u64::from(found);
        found
    }

    /// Requests in the queue, as the engine would report them (those still in the API server are not seen).
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests in the batch.
    pub fn running(&self) -> usize {
        self.batch.running()
    }

    /// All requests in the node: arriving, waiting and running.
    pub fn requests(&self) -> usize {
        self.arriving.len() + self.waiting.len() + self.batch.running()
    }

    /// The part of the KV blocks that is taken, 0 to 1.
    pub fn kv_use(&self) -> f64 {
        self.batch.kv_use()
    }

    /// Tokens that lie in the KV cache.
    pub fn resident(&self) -> u64 {
        self.batch.resident()
    }

    /// The requests that decode, and how many tokens of each are out.
    pub fn coming(&self) -> impl Iterator<Item = (u64, u32)> {
        let computing = u32::from(self.step_end.is_some());
        self.batch.coming().map(move |(id, tokens)| (id, tokens - computing))
    }

    /// Totals since the node was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The largest number of tokens, prompt and output together, that a request may have.
    pub fn token_limit(&self) -> u64 {
        // The last token is never computed, so it needs no room.
        u64::from(self.spec.kv_blocks) * u64::from(BLOCK_TOKENS) + 1
    }

    /// What the node is like.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn admit_arrivals(&mut self, now: Nanos) {
        while self.arriving.front().is_some_and(|first| first.ready <= now) {
            self.waiting.extend(self.arriving.pop_front());
        }
    }
}

/// Milliseconds as nanoseconds of virtual time.
fn nanos(ms: f64) -> Nanos {
    (ms * NANOS_PER_MS) as Nanos
}

fn remove(queue: &mut VecDeque<Sequence>, id: u64) -> bool {
    queue.iter().position(|sequence| sequence.id == id).and_then(|at| queue.remove(at)).is_some()
}

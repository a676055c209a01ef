//! The model in real time: what all connections of an engine share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::clock::Clock;
use super::fault::{Fault, Faults};
use super::metrics::{Latencies, MetricsForm, Snapshot};
use super::{Options, Stats};
use crate::node::{Event, EventKind, Nanos, Node, Request, TooLong};
use crate::random::Normal;
use crate::workload::Lengths;

/// How far a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub tokens: u32,
    pub done: bool,
}

/// A request in the model.
struct Open {
    progress: watch::Sender<Progress>,
    request: Request,
    submitted: Nanos,
    first: Nanos,
    /// Whether the caller's limit, not the model's own end, fixed the length.
    limited: bool,
}

/// Why requests ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Finished {
    pub stop: u64,
    pub length: u64,
    pub abort: u64,
}

struct State {
    node: Node,
    clock: Clock,
    lengths: Normal,
    open: HashMap<u64, Open>,
    next_id: u64,
    /// Kept for its capacity.
    events: Vec<Event>,
    latencies: Latencies,
    finished: Finished,
    stats: Stats,
    /// What [`Fault::FrozenMetrics`] shows.
    frozen: Option<String>,
}

/// A request that was accepted. Dropping it before its end takes it back from the model.
pub(super) struct Ticket {
    live: Arc<Live>,
    pub id: u64,
    pub request: Request,
    /// `stop` or `length`.
    pub finish_reason: &'static str,
    pub progress: watch::Receiver<Progress>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.abort(self.id);
    }
}

pub(super) struct Live {
    state: Mutex<State>,
    /// The driver must look again at when to wake.
    changed: Notify,
    pub faults: watch::Sender<Faults>,
    pub model: String,
    pub form: MetricsForm,
}

impl Live {
    pub fn new(options: &Options) -> Self {
        let state = State {
            node: Node::new(options.node, options.seed).with_tokens(),
            clock: Clock::new(),
            lengths: Normal::new(options.seed.wrapping_add(1)),
            open: HashMap::new(),
            next_id: 0,
            events: Vec::new(),
            latencies: Latencies::new(options.metrics),
            finished: Finished::default(),
            stats: Stats::default(),
            frozen: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            faults: watch::Sender::new(Faults::default()),
            model: options.model.clone(),
            form: options.metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the model keep step with the clock, for ever.
    pub async fn drive(&self) {
        loop {
            let wake = {
                let mut state = self.lock();
                state.advance();
                state.node.next_event_at().and_then(|at| state.clock.instant(at))
            };
            match wake {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Takes in a request. `max_tokens` is its length if `ignore_eos`, else the model ends it by itself at a drawn
    /// length up to that.
    pub fn submit(
        self: &Arc<Self>,
        prompt: u32,
        max_tokens: Option<u32>,
        ignore_eos: bool,
    ) -> Result<Ticket, TooLong> {
        let mut state = self.lock();
        let now = state.advance();
        let drawn = Lengths::SHAREGPT.draw_output(&mut state.lengths);
        let room = max_tokens.unwrap_or_else(|| Lengths::SHAREGPT.total_max.saturating_sub(prompt)).max(1);
        let (output, limited) = if ignore_eos { (room, true) } else { (drawn.min(room), room <= drawn) };
        let request = Request { id: state.next_id, prompt, output };
        state.node.submit(now, request)?;
        state.next_id += 1;
        let (progress, seen) = watch::channel(Progress::default());
        state.open.insert(request.id, Open { progress, request, submitted: now, first: 0, limited });
        drop(state);
        self.changed.notify_one();
        let finish_reason = if limited { "length" } else { "stop" };
        Ok(Ticket { live: Arc::clone(self), id: request.id, request, finish_reason, progress: seen })
    }

    fn abort(&self, id: u64) {
        let mut state = self.lock();
        state.advance();
        if state.open.remove(&id).is_some() {
            state.node.abort(id);
            state.finished.abort += 1;
        }
    }

    /// Switches a fault; see [`Faults::set`].
    pub fn set_fault(&self, fault: Fault) {
        self.faults.send_modify(|faults| {
            faults.set(fault);
            let mut state = self.lock();
            state.advance();
            state.frozen = None;
            state.clock.set_stopped(faults.stops_time());
        });
        self.changed.notify_one();
    }

    /// Changes what the server counts.
    pub fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock().stats);
    }

    pub fn stats(&self) -> Stats {
        let mut state = self.lock();
        state.advance();
        let counters = state.node.counters();
        Stats {
            open_requests: state.open.len(),
            running: state.node.running(),
            waiting: state.node.waiting(),
            kv_use: state.node.kv_use(),
            finished: counters.finished,
            aborted: counters.aborted,
            preemptions: counters.preemptions,
            ..state.stats.clone()
        }
    }

    /// The `/metrics` page.
    pub fn metrics_page(&self) -> String {
        let awake = self.faults.borrow().inference != Fault::Sleep;
        let mut state = self.lock();
        state.advance();
        self.form.render(&Snapshot {
            model: &self.model,
            awake,
            // An engine that sleeps looks idle.
            waiting: if awake { state.node.waiting() } else { 0 },
            running: if awake { state.node.running() } else { 0 },
            kv_use: if awake { state.node.kv_use() } else { 0.0 },
            resident: state.node.resident(),
            counters: state.node.counters(),
            finished: state.finished,
            latencies: &state.latencies,
            spec: state.node.spec(),
        })
    }

    /// The page as it was when this was called first after a fault was switched.
    pub fn frozen_page(&self) -> String {
        let page = self.metrics_page();
        self.lock().frozen.get_or_insert(page).clone()
    }

    /// The longest request in tokens.
    pub fn max_tokens(&self) -> u64 {
        self.lock().node.token_limit()
    }
}

impl State {
    /// Brings the model to the present and tells the streams. Returns the present.
    fn advance(&mut self) -> Nanos {
        let now = self.clock.now();
        let mut events = std::mem::take(&mut self.events);
        self.node.advance(now, &mut events);
        for event in events.drain(..) {
            self.tell(event);
        }
        self.events = events;
        now
    }

    fn tell(&mut self, event: Event) {
        let Some(open) = self.open.get_mut(&event.id) else { return };
        match event.kind {
            EventKind::FirstToken => {
                open.first = event.at;
                self.latencies.first_token(event.at - open.submitted);
                open.progress.send_modify(|progress| progress.tokens = 1);
            }
            EventKind::Token => open.progress.send_modify(|progress| progress.tokens += 1),
            EventKind::Done => {
                self.latencies.done(open.request, event.at - open.submitted, event.at - open.first);
                let reason = if open.limited { &mut self.finished.length } else { &mut self.finished.stop };
                *reason += 1;
                open.progress.send_modify(|progress| progress.done = true);
                self.open.remove(&event.id);
            }
        }
    }
}

//! The poller that one of the workers runs: the lease, its threads, whom it polls, and its lines in the log.

use crate::clock;
use crate::conf::UpstreamConf;
use crate::log::{self, Level};
use crate::peers::Copied;
use crate::targets::{self, Names};
use crate::worker::alive;
use crossbeam::channel::{Receiver, Sender, bounded};
use ngx::ffi::ngx_log_t;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tblb_core::board::{Board, Holder, Outcome};
use tblb_core::engine::Reading;
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;
use tblb_poller::{Failure, MAX_THREADS, Poller, Sink, State, Target, When};

/// Changes of state that wait to be logged; more than this between two ticks are lost, and the status has them.
const EVENTS: usize = 1024;

/// What this worker knows of polling.
pub struct Polling {
    running: Option<Running>,
    /// Which servers the targets are.
    names: Names,
    /// Why the poller could not be started when it was last tried.
    failed: Option<String>,
    /// What is to be logged of the poller itself.
    news: Option<(Level, String)>,
    send: Sender<Event>,
    events: Receiver<Event>,
}

/// The lease is ours.
struct Running {
    /// None where no upstream is polled: then there are no threads, and the lease only says who looks after the board.
    poller: Option<Poller>,
    sink: Arc<BoardSink>,
    /// Which peers it was told of, as a count of their changes; None before the first.
    told: Option<u64>,
}

/// A change of a target's state.
struct Event {
    key: u64,
    state: State,
    /// What is known of a poll that failed.
    failure: Option<Failure>,
}

/// Where the poller's threads write: the board.
struct BoardSink {
    board: Board<'static>,
    /// The holder that this process is, pid and epoch.
    holder: AtomicU64,
    events: Sender<Event>,
}

impl BoardSink {
    fn holder(&self) -> Holder {
        let word = self.holder.load(Relaxed);
        Holder { pid: word as u32, epoch: (word >> 32) as u32 }
    }

    fn set_holder(&self, holder: Holder) {
        self.holder.store(u64::from(holder.epoch) << 32 | u64::from(holder.pid), Relaxed);
    }
}

impl Sink for BoardSink {
    fn hold(&self) -> bool {
        self.board.lease().renew(self.holder(), clock::now_ms())
    }

    fn own(&self, target: &Target) -> u64 {
        target.slots.iter().map(|slot| self.board.in_flight(*slot as usize).active).sum()
    }

    fn publish(&self, target: &Target, reading: &Result<Reading, Fault>, when: When) {
        // A process that was stopped for long may have lost the lease during the poll.
        if self.board.lease().holder() != Some(self.holder()) {
            return;
        }
        let result = match reading {
            Ok(reading) => {
                reading.engine.index().map(|engine| (engine, reading.load)).ok_or(Fault::NoSeries.index())
            }
            Err(fault) => Err(fault.index()),
        };
        let at = clock::now_ms().saturating_sub(when.ended.elapsed().as_millis() as u64);
        let outcome = Outcome { at, took: when.took.as_micros() as u64, result };
        let models = reading.as_ref().ok().and_then(|reading| reading.models.as_ref());
        hit(Point::PollPublishes);
        let flaw = reading.as_ref().ok().and_then(|reading| reading.flaw);
        for slot in target.slots.iter().map(|slot| *slot as usize) {
            self.board.publish_with(slot, &outcome, models);
            if let (Some(flaw), Some(slot)) = (flaw, self.board.slot(slot)) {
                slot.count_flaw(flaw.index());
            }
        }
    }

    fn over(&self) {
        self.board.lease().release(self.holder());
    }

    fn changed(&self, target: &Target, _from: Option<State>, state: State, failure: Option<&Failure>) {
        // Where the channel is full the line is lost; the counts are not.
        let _ = self.events.try_send(Event { key: target.key, state, failure: failure.cloned() });
    }
}

impl Polling {
    pub fn new() -> Self {
        let (send, events) = bounded(EVENTS);
        Polling { running: None, names: Names::default(), failed: None, news: None, send, events }
    }

    /// Whether this worker polls, if any upstream `polls`, and looks after the board: it has the lease, or takes it
    /// now.
    pub fn lead(&mut self, board: &Board<'static>, polls: bool, now: u64) -> bool {
        if let Some(running) = &self.running {
            let held = match running.poller {
                Some(_) => board.lease().holder() == Some(running.sink.holder()),
                None => running.sink.hold(),
            };
            if held {
                return true;
            }
        }
        let Some(holder) = board.lease().acquire(std::process::id(), now, alive) else {
            // Another polls, since this process was stopped for long: its threads end by themselves.
            self.running = None;
            return false;
        };
        match &mut self.running {
            Some(running) => {
                running.sink.set_holder(holder);
                running.told = None;
                true
            }
            None => self.start(board, polls, holder),
        }
    }

    fn start(&mut self, board: &Board<'static>, polls: bool, holder: Holder) -> bool {
        let sink = BoardSink { board: *board, holder: AtomicU64::new(0), events: self.send.clone() };
        sink.set_holder(holder);
        let sink = Arc::new(sink);
        hit(Point::PollerStarts);
        let poller = polls.then(|| without_signals(|| Poller::start(sink.clone(), MAX_THREADS)));
        match poller.transpose() {
            Ok(poller) => {
                hit(Point::PollerStarted);
                board.set_threads(poller.as_ref().map_or(0, Poller::threads) as u64);
                self.running = Some(Running { poller, sink, told: None });
                if self.failed.take().is_some() {
                    self.news = Some((Level::Notice, "tblb: the poller is started".to_owned()));
                }
                true
            }
            Err(error) => {
                // It is tried again at every tick, here or in another worker, and logged once.
                let error = error.to_string();
                if self.failed.as_ref() != Some(&error) {
                    self.news = Some((Level::Warn, format!("tblb: the poller cannot be started: {error}")));
                    self.failed = Some(error);
                }
                board.lease().release(holder);
                false
            }
        }
    }

    /// Tells the poller of the peers if they changed since it was told, as `version` counts.
    pub fn follow<'a>(
        &mut self,
        version: u64,
        groups: impl Iterator<Item = (&'a UpstreamConf, &'a [Copied], &'a [Option<u32>])>,
    ) {
        let Some(running) = &mut self.running else { return };
        let Some(poller) = running.poller.as_ref().filter(|_| running.told != Some(version)) else { return };
        running.told = Some(version);
        let (targets, names) = targets::of(groups);
        self.names = names;
        poller.set_targets(targets);
    }

    /// Writes what changed into the log.
    ///
    /// # Safety
    /// `log` is a log of nginx that is open.
    pub unsafe fn report(&mut self, log: *mut ngx_log_t) {
        if let Some((level, text)) = self.news.take() {
            // SAFETY: as the caller says.
            unsafe { log::line(log, level, &text) };
        }
        for event in self.events.try_iter() {
            let Some(name) = self.names.get(&event.key) else { continue };
            let (level, text) = line_of(name, &event);
            // SAFETY: as the caller says.
            unsafe { log::line(log, level, &text) };
        }
    }

    /// Stops polling; waits for nothing, since requests may be under way. The lease is given back when the last thread has
    /// closed its connections, so that no engine ever sees two pollers.
    pub fn stop(&self) {
        let Some(running) = &self.running else { return };
        match &running.poller {
            Some(poller) => poller.stop(),
            None => running.sink.over(),
        }
    }

    /// Stops polling and waits for the threads, which are about to stop: nothing writes to the board after this.
    pub fn end(&mut self) {
        self.stop();
        if let Some(poller) = self.running.take().and_then(|running| running.poller) {
            poller.join();
        }
    }
}

/// The line that tells a change of state. It ends with the word of the fault, as the status has it.
fn line_of(name: &str, event: &Event) -> (Level, String) {
    match event.state {
        State::Fails(fault) => {
            let seen = event.failure.as_ref().map(seen).unwrap_or_default();
            (Level::Warn, format!("tblb: no metrics of {name} ({seen}{}): {}", fault.cure(), fault.name()))
        }
        State::Flawed { engine, fault, signal } => {
            let what = signal.map_or("its state of sleep", |signal| signal.name());
            let text = format!(
                "tblb: metrics of {name} by {}, but {what} is unknown ({}): {}",
                engine.name,
                fault.cure(),
                fault.name()
            );
            (Level::Warn, text)
        }
        State::Answers(engine) => (Level::Notice, format!("tblb: metrics of {name} by {}", engine.name)),
    }
}

/// What was asked and what came of it.
fn seen(failure: &Failure) -> String {
    if failure.url.is_empty() {
        return String::new();
    }
    let status = failure.status.map_or(String::new(), |status| format!(", status {status}"));
    let location = failure.location.as_ref().map_or(String::new(), |to| format!(", redirect to {to}"));
    format!("GET {}{status}{location}; ", failure.url)
}

/// Runs `f`, and thus starts its threads, with all signals blocked: signals are for nginx's own thread.
fn without_signals<T>(f: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid memory; the first is filled before it is read, and the second by the call.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let outcome = f();
    if blocked {
        // SAFETY: the set was filled by the call that succeeded.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    outcome
}

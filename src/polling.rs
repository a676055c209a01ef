//! The poller that one of the workers runs: the lease, its threads, whom it polls, and its lines in the log.

use crate::clock;
use crate::conf::UpstreamConf;
use crate::log::{self, Level};
use crate::peers::Copied;
use crate::worker::alive;
use crossbeam::channel::{Receiver, Sender, bounded};
use ngx::ffi::ngx_log_t;
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tblb_core::board::{Board, Holder, Outcome};
use tblb_core::config::{self, Metrics};
use tblb_core::engine::Reading;
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;
use tblb_poller::{MAX_THREADS, MetricsPath, Poller, Scheme, Settings, Sink, State, Target, When};

/// Changes of state that wait to be logged; more than this between two ticks are lost, and the status has them.
const EVENTS: usize = 1024;

/// What this worker knows of polling.
pub struct Polling {
    running: Option<Running>,
    /// Peers by key: upstream and server.
    names: HashMap<u64, (String, String)>,
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

/// A change of a peer's state.
struct Event {
    key: u64,
    state: State,
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
        self.board.in_flight(target.slot as usize).active
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
        self.board.publish_with(target.slot as usize, &outcome, models);
    }

    fn over(&self) {
        self.board.lease().release(self.holder());
    }

    fn changed(&self, target: &Target, _from: Option<State>, state: State) {
        // Where the channel is full the line is lost; the counts are not.
        let _ = self.events.try_send(Event { key: target.key, state });
    }
}

impl Polling {
    pub fn new() -> Self {
        let (send, events) = bounded(EVENTS);
        Polling { running: None, names: HashMap::new(), failed: None, news: None, send, events }
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
        self.names.clear();
        let mut targets = Vec::new();
        for (upstream, peers, slots) in groups {
            let Some(metrics) = &upstream.block.metrics else { continue };
            let settings = Arc::new(settings(upstream, metrics));
            for (peer, slot) in peers.iter().zip(slots) {
                let (Some(slot), Some(target)) = (slot, target(upstream, peer, metrics, &settings)) else {
                    continue;
                };
                self.names.insert(target.key, (upstream.name.clone(), peer.name.to_string()));
                targets.push(Target { slot: *slot, ..target });
            }
        }
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
            let Some((upstream, server)) = self.names.get(&event.key) else { continue };
            let (level, text) = match event.state {
                State::Fails(fault) => (
                    Level::Warn,
                    format!("tblb: no metrics of {server} in upstream \"{upstream}\": {}", fault.name()),
                ),
                State::Answers(engine) => (
                    Level::Notice,
                    format!("tblb: metrics of {server} in upstream \"{upstream}\" by {}", engine.name),
                ),
            };
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

/// How to poll, as the poller takes it.
fn settings(upstream: &UpstreamConf, metrics: &Metrics) -> Settings {
    Settings {
        scheme: match metrics.scheme {
            config::Scheme::Http => Scheme::Http,
            config::Scheme::Https => Scheme::Https,
        },
        path: metrics.path.as_deref().and_then(MetricsPath::new),
        lookup: upstream.block.lookup(),
        credentials: upstream.credentials.clone(),
        interval: metrics.interval,
        timeout: metrics.timeout,
        verify: metrics.verify.on,
        ca_file: metrics.verify.trusted.as_ref().map(Into::into),
    }
}

/// What to poll of a peer, None where it has no address that metrics could come from.
fn target(
    upstream: &UpstreamConf,
    peer: &Copied,
    metrics: &Metrics,
    settings: &Arc<Settings>,
) -> Option<Target> {
    let mut address = peer.address?;
    let server = peer.server.to_string();
    let port = metrics.port();
    if let Some(port) = port {
        address.set_port(port);
    }
    let host = match (&metrics.verify.name, port) {
        (Some(name), _) => name.clone(),
        (None, Some(port)) => format!("{}:{port}", without_port(&server)),
        (None, None) => server,
    };
    let key = upstream.peer_key(peer.name.as_bytes());
    Some(Target { key, slot: 0, address, host, settings: settings.clone() })
}

/// The host of `host:port` or `[v6]:port`.
fn without_port(server: &str) -> &str {
    match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => server,
    }
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

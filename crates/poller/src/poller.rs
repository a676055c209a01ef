//! The poller as its owner sees it.

use crate::failure::Failure;
use crate::jobs::Results;
use crate::reactor::{self, STACK};
use crate::schedule::Scheduler;
use crate::state::State;
use crate::stop::Stop;
use crate::target::Target;
use crossbeam_channel::{Sender, bounded, unbounded};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tblb_core::engine::Reading;
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;

/// How many threads a poller has at most, the scheduler among them. The others wait for sockets and read pages, which takes
/// 4 to 7 % of a core for 1,000 engines a second (docs/results/polling.md): the number only keeps pages that are slow to read
/// from holding up all others.
pub const MAX_THREADS: usize = 4;

/// Where readings go. All of it is called by one thread, the scheduler, never two at a time; what blocks there
/// delays polls. A panic in it is caught and otherwise ignored (in [`Sink::hold`] it means false).
pub trait Sink: Send + Sync + 'static {
    /// Renews the lease, at least every 250 ms. While it says false nothing is polled, nothing is published, and
    /// connections are closed.
    fn hold(&self) -> bool;

    /// How many requests of our own are at a target now: an engine whose numbers stand still while these change is not
    /// believed. Without that knowledge, as by default, every engine is.
    fn own(&self, _target: &Target) -> u64 {
        0
    }

    /// Takes what a poll of a target gave, and when: a busy machine may hand it over late. Never called for a target that is not in
    /// the set that [`Poller::set_targets`] was last given, once that has returned.
    fn publish(&self, target: &Target, outcome: &Result<Reading, Fault>, when: When);

    /// All threads have ended and all connections are closed: another may poll now. Called once, by the last thread.
    fn over(&self) {}

    /// Takes a change that is worth a line in a log: from what was told before, None at first. One poll that goes
    /// otherwise than those before is not told, only two in a row. `failure` has what is known of a poll that failed.
    fn changed(&self, target: &Target, from: Option<State>, to: State, failure: Option<&Failure>);
}

/// When a poll was.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// When it ended: the answer is as old as this at least.
    pub ended: Instant,
    /// How long it took.
    pub took: Duration,
}

/// Held by each thread as long as it may have a connection; the last one that lets go says that all is over.
pub(crate) struct Over(Arc<dyn Sink>);

impl Drop for Over {
    fn drop(&mut self) {
        // A panic there must not become one while unwinding.
        let _ = reactor::caught(|| {
            hit(Point::PollerEnds);
            self.0.over();
        });
    }
}

/// The threads that poll. Dropped, they end without being waited for.
#[derive(Debug)]
pub struct Poller {
    shared: Arc<Shared>,
    wake: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Poller {
    /// Starts up to `threads` threads, the scheduler among them: at least 2, at most [`MAX_THREADS`]. There is
    /// nothing to poll until [`Poller::set_targets`]. Threads that cannot be started are done without. They inherit
    /// the signal mask of the caller, who should have blocked all.
    ///
    /// # Errors
    /// The system does not give two threads and a descriptor.
    pub fn start(sink: Arc<dyn Sink>, threads: usize) -> io::Result<Poller> {
        let stop = Arc::new(Stop::new()?);
        let over = Arc::new(Over(Arc::clone(&sink)));
        let shared = Arc::new(Shared { sink, stop: Arc::clone(&stop), targets: Mutex::default() });
        let ((done, collected), (wake, woken)) = (unbounded(), bounded(1));
        let results = Results { done, wake: wake.clone() };
        let (inputs, threads) = reactor::start(threads.clamp(2, MAX_THREADS) - 1, &results, &stop, &over)?;
        // From here on, dropping the poller ends the threads.
        let mut poller = Poller { shared: Arc::clone(&shared), wake, threads };
        let mut scheduler = Scheduler::new(shared, inputs, collected, woken);
        let schedule = move || {
            scheduler.run();
            drop(scheduler);
            drop(over);
        };
        let scheduler = Builder::new().name("tblb-schedule".into()).stack_size(STACK).spawn(schedule)?;
        poller.threads.push(scheduler);
        Ok(poller)
    }

    /// How many threads there are, the scheduler among them.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Sets whom to poll, instead of those before. Of several with one key, the last counts.
    pub fn set_targets(&self, targets: Vec<Target>) {
        *self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner) = Some(targets);
        self.wake();
    }

    /// Makes the threads end soon, polls under way too; does not wait for it.
    pub fn stop(&self) {
        self.shared.stop.say();
        self.wake();
    }

    /// Makes the scheduler look up. If the channel is full, it is about to.
    fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Stops, and waits until all threads have ended.
    pub fn join(mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the owner and the scheduler share.
pub(crate) struct Shared {
    pub sink: Arc<dyn Sink>,
    pub stop: Arc<Stop>,
    /// Targets that the scheduler has not taken over yet.
    targets: Mutex<Option<Vec<Target>>>,
}

impl Shared {
    pub fn new_targets(&self) -> Option<Vec<Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Does something while no other targets can be set; does not, and says false, if others were set already.
    pub fn while_targets_hold<T>(&self, act: impl FnOnce() -> T) -> bool {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let hold = targets.is_none();
        if hold {
            act();
        }
        hold
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("stop", &self.stop).finish_non_exhaustive()
    }
}

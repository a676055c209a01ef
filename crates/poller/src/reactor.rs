//! The threads that wait for engines.
//!
//! Each has its part of the engines, and waits for all of their connections at once. So an engine that hangs holds up
//! nobody, from the first poll on and however many hang: it only keeps its own connection until its deadline.

use crate::buffers::Buffers;
use crate::client::{Client, Outcome};
use crate::failure::Failure;
use crate::jobs::{Asked, Done, Input, Inputs, Job, Results};
use crate::poller::{Over, When};
use crate::stop::{Event, Stop};
use crate::stream::Registry;
use crate::tls::Configs;
use crossbeam_channel::{Receiver, unbounded};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tblb_core::fault::Fault;

/// The stack of a polling thread: a TLS handshake, the deepest there is, fits into half of it in a debug build.
pub(crate) const STACK: usize = 256 * 1024;

/// How many events are taken at once.
const EVENTS: usize = 256;

/// The numbers under which the thread's own events appear; all others are keys of targets.
const JOBS: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// Starts up to `count` threads, and gives their inputs and the threads that could be started.
///
/// # Errors
/// None could.
pub(crate) fn start(
    count: usize,
    results: &Results,
    stop: &Arc<Stop>,
    over: &Arc<Over>,
) -> io::Result<(Inputs, Vec<JoinHandle<()>>)> {
    let configs = Arc::default();
    let (mut inputs, mut threads) = (Vec::new(), Vec::new());
    for index in 0..count {
        match start_one(index, results, stop, over, &configs) {
            Ok((input, thread)) => {
                inputs.push(input);
                threads.push(thread);
            }
            Err(error) if threads.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok((Inputs::new(inputs), threads))
}

fn start_one(
    index: usize,
    results: &Results,
    stop: &Arc<Stop>,
    over: &Arc<Over>,
    configs: &Arc<Configs>,
) -> io::Result<(Input, JoinHandle<()>)> {
    let ((jobs, asked), event) = (unbounded(), Arc::new(Event::new()?));
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, event.fd(), epoll::EventData::new_u64(JOBS), epoll::EventFlags::IN)?;
    epoll::add(&epoll, stop.event(), epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
    let mut reactor = Reactor {
        epoll,
        event: Arc::clone(&event),
        asked,
        results: results.clone(),
        stop: Arc::clone(stop),
        configs: Arc::clone(configs),
        engines: HashMap::new(),
        deadlines: BinaryHeap::new(),
        buffers: Buffers::new()?,
    };
    let over = Arc::clone(over);
    let work = move || {
        reactor.run();
        // With its connections.
        drop(reactor);
        drop(over);
    };
    let thread = Builder::new().name(format!("tblb-poll-{index}")).stack_size(STACK).spawn(work)?;
    Ok((Input::new(jobs, event), thread))
}

/// What one thread has.
struct Reactor {
    epoll: OwnedFd,
    event: Arc<Event>,
    asked: Receiver<Job>,
    results: Results,
    stop: Arc<Stop>,
    configs: Arc<Configs>,
    engines: HashMap<u64, Polled>,
    /// When which engine is to be looked at; entries that do not agree with the engine are out of date.
    deadlines: BinaryHeap<Reverse<(Instant, u64)>>,
    buffers: Buffers,
}

/// An engine of a thread.
struct Polled {
    generation: u64,
    client: Client,
    /// The poll under way: when it was handed over, and when it began.
    under_way: Option<(Instant, Instant)>,
    /// The connection is to be closed when the poll is done.
    forgotten: bool,
}

impl Reactor {
    /// Goes on until polling stops.
    fn run(&mut self) {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(0) }; EVENTS];
        while !self.stop.is_said() {
            let ready = match epoll::wait(&self.epoll, &mut events[..], self.patience().as_ref()) {
                Ok(ready) => ready,
                Err(Errno::INTR) => 0,
                // It does not happen to a descriptor that is good.
                Err(_) => return,
            };
            for event in events.get(..ready).unwrap_or_default() {
                match event.data.u64() {
                    STOP => return,
                    JOBS => self.event.clear(),
                    key => self.act(key, |client, registry, buffers| client.ready(registry, buffers)),
                }
            }
            self.expire();
            while let Ok(job) = self.asked.try_recv() {
                self.take(job);
            }
        }
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Option<Timespec> {
        let Reverse((next, _)) = self.deadlines.peek()?;
        let left = next.saturating_duration_since(Instant::now());
        // Rounded up to what epoll can wait for, so that a deadline has come when the wait ends.
        let left = left + Duration::from_micros(999);
        Some(Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() })
    }

    /// Gives up what has taken too long.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((deadline, key))) = self.deadlines.peek().copied().filter(|due| due.0.0 <= now)
        {
            self.deadlines.pop();
            if self.engines.get(&key).is_some_and(|polled| polled.client.deadline() == Some(deadline)) {
                self.act(key, |client, registry, buffers| client.late(registry, buffers));
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Poll(asked) => self.begin(asked),
            Job::Forget(key) => self.forget(|polled| *polled == key),
            Job::ForgetAll => self.forget(|_| true),
        }
    }

    fn begin(&mut self, asked: Asked) {
        let Asked { key, generation, target, within, at } = asked;
        let known = self.engines.get(&key).is_some_and(|polled| polled.generation == generation);
        if !known {
            let Ok(client) = caught(|| Client::new(&target, &self.configs)) else {
                let now = Instant::now();
                return self.put(key, generation, Err(panicked()), at, now);
            };
            self.engines.insert(key, Polled { generation, client, under_way: None, forgotten: false });
        }
        if let Some(polled) = self.engines.get_mut(&key) {
            polled.under_way = Some((at, Instant::now()));
            polled.forgotten = false;
        }
        self.act(key, |client, registry, buffers| client.begin(within, registry, buffers));
    }

    /// Does something with the client of an engine, and hands over what came of it.
    fn act(&mut self, key: u64, act: impl FnOnce(&mut Client, Registry, &mut Buffers) -> Option<Outcome>) {
        let Some(polled) = self.engines.get_mut(&key) else { return };
        let (registry, buffers) = (Registry { epoll: &self.epoll, token: key }, &mut self.buffers);
        let before = polled.client.deadline();
        let (client, generation) = (&mut polled.client, polled.generation);
        let outcome = caught(|| act(client, registry, buffers));
        let broken = outcome.is_err();
        if let Some(outcome) = outcome.unwrap_or_else(|_| Some(Err(panicked()))) {
            let under_way = polled.under_way.take();
            if broken || polled.forgotten {
                self.engines.remove(&key);
            }
            if let Some((at, began)) = under_way {
                self.put(key, generation, outcome, at, began);
            }
        } else if let Some(deadline) = polled.client.deadline().filter(|deadline| Some(*deadline) != before) {
            self.deadlines.push(Reverse((deadline, key)));
        }
    }

    fn put(&self, key: u64, generation: u64, outcome: Outcome, at: Instant, began: Instant) {
        let ended = Instant::now();
        let when = When { ended, took: ended - began };
        self.results.put(Done { key, generation, outcome, when }, at);
    }

    /// Closes connections that are idle now, and others of these engines when their polls are done.
    fn forget(&mut self, who: impl Fn(&u64) -> bool) {
        for (_, polled) in self.engines.iter_mut().filter(|(key, _)| who(key)) {
            polled.forgotten = true;
        }
        self.engines.retain(|_, polled| !polled.forgotten || polled.under_way.is_some());
    }
}

/// What a poll gave that panicked.
fn panicked() -> Failure {
    Failure { fault: Fault::Panic, url: String::new(), status: None, location: None }
}

/// What `act` gives, or [`Fault::Panic`]. What it worked on may be in any state then, and must be thrown away.
pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|_| Fault::Panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_fault() {
        assert_eq!(caught(|| 1), Ok(1));
        let panicking: fn() -> i32 = || panic!("as the test wants");
        assert_eq!(caught(panicking), Err(Fault::Panic));
    }
}

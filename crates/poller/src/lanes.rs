//! The threads that wait for engines.
//!
//! An engine is polled in the lane of those like it, and each lane but the last has a budget: a poll that overruns
//! it is given up and done again in the next lane. So an engine that begins to hang costs the quick and the slow
//! their budgets once; after that it delays only those that hang as well. A thread with nothing to do in its own
//! lane helps in the quicker ones, where it is soon free again.

use crate::client::{CHUNK, Client};
use crate::stop::Stop;
use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased, unbounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tblb_core::engine::Reading;
use tblb_core::fault::Fault;

/// Where an engine is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Nearly all engines: a page comes in 1 to 20 ms.
    Quick,
    /// Those that are slow or far away.
    Slow,
    /// Those that take longer still, most of them for ever.
    Hung,
}

impl Lane {
    const ALL: [Lane; 3] = [Lane::Quick, Lane::Slow, Lane::Hung];

    /// What a poll may take here, None: as long as its engine is given. A thread of the quick lane that is held up
    /// for 100 ms, once for each engine that begins to hang, leaves the others enough; and a slow engine is known
    /// after a few seconds although a dozen hang.
    fn budget(self) -> Option<Duration> {
        match self {
            Lane::Quick => Some(Duration::from_millis(100)),
            Lane::Slow => Some(Duration::from_secs(1)),
            Lane::Hung => None,
        }
    }

    /// What a poll may take here, of an engine that is given `timeout`.
    pub fn within(self, timeout: Duration) -> Duration {
        self.budget().map_or(timeout, |budget| budget.min(timeout))
    }

    /// The lane for those that take too long for this one.
    pub fn next(self) -> Lane {
        if self == Lane::Quick { Lane::Slow } else { Lane::Hung }
    }

    /// The lane of an engine that was in this one and took so long. It has to be well below the budget of a quicker
    /// one to go there, so that it does not go to and fro.
    pub fn after(self, took: Duration) -> Lane {
        let fits = |lane: &Lane| {
            let budget = lane.budget().map(|budget| if *lane < self { budget / 2 } else { budget });
            budget.is_none_or(|budget| took <= budget)
        };
        Lane::ALL.into_iter().find(fits).unwrap_or(Lane::Hung)
    }
}

/// The stack of a polling thread: a TLS handshake, the deepest there is, fits into half of it in a debug build.
pub(crate) const STACK: usize = 256 * 1024;

/// A poll to do.
#[derive(Debug)]
pub(crate) struct Job {
    /// Whose it is.
    pub key: u64,
    /// Tells apart targets that had the same key one after the other.
    pub generation: u64,
    /// It travels with the job, so there cannot be two polls of one engine at a time.
    pub client: Box<Client>,
    pub lane: Lane,
    /// What it may take.
    pub within: Duration,
    /// When it was handed over.
    pub at: Instant,
}

/// A poll that was done.
#[derive(Debug)]
pub(crate) struct Done {
    pub key: u64,
    pub generation: u64,
    /// None after a panic.
    pub client: Option<Box<Client>>,
    pub lane: Lane,
    pub within: Duration,
    pub outcome: Result<Reading, Fault>,
    pub took: Duration,
}

/// The ends of the lanes where jobs go in.
#[derive(Debug)]
pub(crate) struct Lanes([Sender<Job>; 3]);

impl Lanes {
    /// Hands a job over. It is lost if no thread is left, which is so only when all ends.
    pub fn send(&self, job: Job) {
        let _ = self.0[job.lane as usize].send(job);
    }
}

/// Where threads put what they did.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    pub done: Sender<Done>,
    /// Wakes who collects the results.
    pub wake: Sender<()>,
}

/// Results are collected this long after jobs were handed over. A thread does not wake anybody for a result until
/// then: a wake-up for each of a thousand polls a second costs more than the polls.
pub(crate) const COLLECT: Duration = Duration::from_millis(10);

impl Results {
    /// Says false if nobody wants results any more.
    fn put(&self, done: Done, at: Instant) -> bool {
        let wanted = self.done.send(done).is_ok();
        if at.elapsed() >= COLLECT {
            // It may be full: then somebody is about to look already.
            let _ = self.wake.try_send(());
        }
        wanted
    }
}

/// The lanes that one thread serves: its own, and the others in which it helps. Those it does not serve never have
/// a job for it.
struct Served {
    own: Receiver<Job>,
    other: Receiver<Job>,
    third: Receiver<Job>,
}

impl Served {
    /// What thread `index` of `count` serves, so that each lane is served whatever the number.
    fn by(index: usize, count: usize, [quick, slow, hung]: [Receiver<Job>; 3]) -> Served {
        match (count, index % 3) {
            (1, _) => Served { own: quick, other: slow, third: hung },
            (_, 0) => Served { own: quick, other: never(), third: never() },
            (2, _) => Served { own: slow, other: hung, third: quick },
            (_, 1) => Served { own: slow, other: quick, third: never() },
            _ => Served { own: hung, other: slow, third: quick },
        }
    }

    /// The next job; None when there will be none.
    fn next(&self) -> Option<Job> {
        select_biased! {
            recv(self.own) -> job => job.ok(),
            recv(self.other) -> job => job.ok(),
            recv(self.third) -> job => job.ok(),
        }
    }
}

/// Starts up to `count` threads, and gives the lanes' ends and the threads that could be started.
///
/// # Errors
/// None could.
pub(crate) fn start(
    count: usize,
    results: &Results,
    stop: &Arc<Stop>,
) -> io::Result<(Lanes, Vec<JoinHandle<()>>)> {
    let (inputs, outputs): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded()).unzip();
    let mut threads = Vec::new();
    // What a thread serves depends on how many there are, which is known only once they are started.
    let mut assignments = Vec::new();
    for index in 0..count {
        let (assign, assigned) = bounded::<Served>(1);
        let (results, stop) = (results.clone(), Arc::clone(stop));
        let work = move || {
            if let Ok(served) = assigned.recv() {
                work(&served, &results, &stop);
            }
        };
        match Builder::new().name(format!("tblb-poll-{index}")).stack_size(STACK).spawn(work) {
            Ok(thread) => threads.push(thread),
            Err(error) if threads.is_empty() => return Err(error),
            Err(_) => break,
        }
        assignments.push(assign);
    }
    for (index, assign) in assignments.iter().enumerate() {
        let _ =
            assign.send(Served::by(index, threads.len(), std::array::from_fn(|lane| outputs[lane].clone())));
    }
    Ok((Lanes(std::array::from_fn(|lane| inputs[lane].clone())), threads))
}

fn work(served: &Served, results: &Results, stop: &Stop) {
    let mut chunk = vec![0; CHUNK];
    while let Some(job) = served.next() {
        let at = job.at;
        if stop.is_said() || !results.put(poll(job, &mut chunk), at) {
            return;
        }
    }
}

fn poll(job: Job, chunk: &mut [u8]) -> Done {
    let Job { key, generation, mut client, lane, within, .. } = job;
    let start = Instant::now();
    let (client, outcome) = match caught(|| client.poll(within, chunk)) {
        Ok(outcome) => (Some(client), outcome),
        Err(fault) => (None, Err(fault)),
    };
    Done { key, generation, client, lane, within, outcome, took: start.elapsed() }
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

    #[test]
    fn engines_change_lanes_when_they_clearly_belong_elsewhere() {
        let after = |lane: Lane, ms| lane.after(Duration::from_millis(ms));
        assert_eq!(
            [99, 101, 999, 1001].map(|ms| after(Lane::Quick, ms)),
            [Lane::Quick, Lane::Slow, Lane::Slow, Lane::Hung]
        );
        assert_eq!(
            [49, 51, 999, 1001].map(|ms| after(Lane::Slow, ms)),
            [Lane::Quick, Lane::Slow, Lane::Slow, Lane::Hung]
        );
        assert_eq!(
            [49, 51, 499, 501].map(|ms| after(Lane::Hung, ms)),
            [Lane::Quick, Lane::Slow, Lane::Slow, Lane::Hung]
        );
        for lane in Lane::ALL {
            assert!(lane.next() > lane || lane == Lane::Hung);
            assert!(lane.within(Duration::from_millis(7)) == Duration::from_millis(7));
        }
    }
}

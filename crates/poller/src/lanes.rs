//! The threads that wait for engines.
//!
//! An engine is polled in the lane of those like it, and each lane but the last has a budget: a poll that overruns
//! it is given up and done again in the next lane. So an engine that begins to hang costs the quick and the slow
//! their budgets once; after that it delays only those that hang as well. A thread with nothing to do in its own
//! lane helps in the quicker ones, where it is soon free again.

use crate::client::{CHUNK, Client};
use crate::poller::{Over, When};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Nearly all engines: a page comes in 1 to 20 ms.
    Quick,
    /// Those that are slow or far away, and those that answered until now but keep us waiting this time.
    Slow,
    /// Those that are slower still, and those that did not answer before.
    Doubtful,
    /// Those that take longer than that, most of them for ever.
    Hung,
}

impl Lane {
    const COUNT: usize = 4;

    /// What a poll may take here, four times as long from lane to lane. When a dozen engines begin to hang at once,
    /// the seven threads that help in the first lane have moved them on after 12 · 0.1 s / 7 < 0.2 s, the four that
    /// help in the second after about 1 s, and in the third, after some 5 s more, they keep nobody waiting who
    /// answered before.
    fn budget(self) -> Duration {
        match self {
            Lane::Quick => Duration::from_millis(100),
            Lane::Slow => Duration::from_millis(400),
            Lane::Doubtful => Duration::from_millis(1600),
            Lane::Hung => Duration::MAX,
        }
    }

    /// What a poll may take here, of an engine that is given `timeout`.
    pub fn within(self, timeout: Duration) -> Duration {
        self.budget().min(timeout)
    }

    /// The lane for an engine that took too long for this one, and that answered the last time or did not.
    pub fn next(self, answered: bool) -> Lane {
        match self {
            Lane::Quick if answered => Lane::Slow,
            Lane::Quick | Lane::Slow => Lane::Doubtful,
            Lane::Doubtful | Lane::Hung => Lane::Hung,
        }
    }

    /// The lane of an engine that was in this one and took so long. It has to be well below the budget of a quicker
    /// one to go there, so that it does not go to and fro.
    pub fn after(self, took: Duration) -> Lane {
        let fits = |lane: &Lane| match lane.budget() {
            budget if budget < self.budget() => took <= budget / 2,
            budget => took <= budget,
        };
        [Lane::Quick, Lane::Slow, Lane::Doubtful].into_iter().find(fits).unwrap_or(Lane::Hung)
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
    pub when: When,
}

/// The ends of the lanes where jobs go in.
#[derive(Debug)]
pub(crate) struct Lanes([Sender<Job>; Lane::COUNT]);

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

/// The lanes that one thread serves, its own first. Those it does not serve never have a job for it.
struct Served([Receiver<Job>; Lane::COUNT]);

impl Served {
    /// What thread `index` of `count` serves, so that each lane is served whatever the number.
    fn by(index: usize, count: usize, lanes: &[Receiver<Job>]) -> Served {
        let served: &[Lane] = match (count, index % 3) {
            (1, _) => &[Lane::Quick, Lane::Slow, Lane::Doubtful, Lane::Hung],
            (_, 0) => &[Lane::Quick],
            (2, _) => &[Lane::Slow, Lane::Doubtful, Lane::Hung, Lane::Quick],
            (_, 1) => &[Lane::Slow, Lane::Doubtful, Lane::Quick],
            _ => &[Lane::Hung, Lane::Slow, Lane::Doubtful, Lane::Quick],
        };
        let lane = |place: usize| served.get(place).map_or_else(never, |&lane| lanes[lane as usize].clone());
        Served(std::array::from_fn(lane))
    }

    /// The next job; None when there will be none.
    fn next(&self) -> Option<Job> {
        select_biased! {
            recv(self.0[0]) -> job => job.ok(),
            recv(self.0[1]) -> job => job.ok(),
            recv(self.0[2]) -> job => job.ok(),
            recv(self.0[3]) -> job => job.ok(),
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
    over: &Arc<Over>,
) -> io::Result<(Lanes, Vec<JoinHandle<()>>)> {
    let (inputs, outputs): (Vec<_>, Vec<_>) = (0..Lane::COUNT).map(|_| unbounded()).unzip();
    let mut threads = Vec::new();
    // What a thread serves depends on how many there are, which is known only once they are started.
    let mut assignments = Vec::new();
    for index in 0..count {
        let (assign, assigned) = bounded::<Served>(1);
        let (results, stop, over) = (results.clone(), Arc::clone(stop), Arc::clone(over));
        let work = move || {
            if let Ok(served) = assigned.recv() {
                work(&served, &results, &stop);
            }
            drop(over);
        };
        match Builder::new().name(format!("tblb-poll-{index}")).stack_size(STACK).spawn(work) {
            Ok(thread) => threads.push(thread),
            Err(error) if threads.is_empty() => return Err(error),
            Err(_) => break,
        }
        assignments.push(assign);
    }
    for (index, assign) in assignments.iter().enumerate() {
        let _ = assign.send(Served::by(index, threads.len(), &outputs));
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
    let ended = Instant::now();
    let when = When { ended, took: ended - start };
    Done { key, generation, client, lane, within, outcome, when }
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
        let after = |lane: Lane, times: [u64; 6]| times.map(|ms| lane.after(Duration::from_millis(ms)));
        let lanes = [Lane::Quick, Lane::Slow, Lane::Slow, Lane::Doubtful, Lane::Doubtful, Lane::Hung];
        assert_eq!(after(Lane::Quick, [99, 101, 399, 401, 1599, 1601]), lanes);
        assert_eq!(after(Lane::Slow, [49, 51, 399, 401, 1599, 1601]), lanes);
        assert_eq!(after(Lane::Doubtful, [49, 51, 199, 201, 1599, 1601]), lanes);
        assert_eq!(after(Lane::Hung, [49, 51, 199, 201, 799, 801]), lanes);
    }

    #[test]
    fn the_last_lane_gives_all_the_time_and_is_reached() {
        let timeout = Duration::from_secs(600);
        for (answered, most) in [(false, 2), (true, 3)] {
            let (mut lane, mut steps) = (Lane::Quick, 0);
            while lane.within(timeout) < timeout {
                (lane, steps) = (lane.next(answered), steps + 1);
            }
            assert_eq!((lane, steps), (Lane::Hung, most));
        }
        assert_eq!(Lane::Slow.within(Duration::from_millis(7)), Duration::from_millis(7));
    }

    #[test]
    fn each_lane_is_served_whatever_the_number_of_threads() {
        for count in 1..8 {
            let lanes: Vec<Receiver<Job>> = (0..Lane::COUNT).map(|_| unbounded().1).collect();
            let served: Vec<_> = (0..count).flat_map(|index| Served::by(index, count, &lanes).0).collect();
            for lane in &lanes {
                assert!(served.iter().any(|served| served.same_channel(lane)));
            }
        }
    }
}

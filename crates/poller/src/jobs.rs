//! What passes between the scheduler and the threads that wait for engines.

use crate::client::Outcome;
use crate::poller::When;
use crate::stop::Event;
use crate::target::Target;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a thread is to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// To poll an engine.
    Poll(Asked),
    /// To close the connection to an engine that is no target any more.
    Forget(u64),
    /// To close all connections.
    ForgetAll,
}

/// A poll to do.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Whose it is. There is no other poll of the same key under way.
    pub key: u64,
    /// Tells apart targets that had the same key one after the other.
    pub generation: u64,
    pub target: Arc<Target>,
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
    pub outcome: Outcome,
    pub when: When,
}

/// Where the scheduler hands jobs over.
#[derive(Debug)]
pub(crate) struct Inputs(Vec<Input>);

/// Where one thread takes its jobs from.
#[derive(Debug)]
pub(crate) struct Input {
    jobs: Sender<Job>,
    event: Arc<Event>,
    /// Jobs were handed over, and the thread does not know of them yet.
    pending: bool,
}

impl Inputs {
    pub fn new(inputs: Vec<Input>) -> Inputs {
        Inputs(inputs)
    }

    /// Hands over what concerns the engine of that key. Nothing is done before [`Inputs::flush`].
    pub fn send(&mut self, key: u64, job: Job) {
        let count = self.0.len() as u64;
        if let Some(input) = self.0.get_mut((key % count.max(1)) as usize) {
            input.send(job);
        }
    }

    /// Has all connections closed that are idle, and the others when their polls are done.
    pub fn forget_all(&mut self) {
        self.0.iter_mut().for_each(|input| input.send(Job::ForgetAll));
    }

    /// Wakes the threads that have something new to do.
    pub fn flush(&mut self) {
        for input in self.0.iter_mut().filter(|input| input.pending) {
            input.pending = false;
            input.event.set();
        }
    }
}

impl Input {
    pub fn new(jobs: Sender<Job>, event: Arc<Event>) -> Input {
        Input { jobs, event, pending: false }
    }

    /// The job is lost if the thread is gone, which is so only when all ends.
    fn send(&mut self, job: Job) {
        self.pending |= self.jobs.send(job).is_ok();
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
    pub fn put(&self, done: Done, asked_at: Instant) {
        let _ = self.done.send(done);
        if asked_at.elapsed() >= COLLECT {
            // It may be full: then somebody is about to look already.
            let _ = self.wake.try_send(());
        }
    }
}

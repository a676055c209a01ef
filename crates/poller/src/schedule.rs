//! When which engine is polled.

use crate::failure::Failure;
use crate::jobs::{Asked, COLLECT, Done, Inputs, Job};
use crate::poller::{Shared, When};
use crate::reactor::caught;
use crate::state::{State, Told};
use crate::target::Target;
use crossbeam_channel::Receiver;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tblb_core::engine::Reading;
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;
use tblb_core::frozen::Watch;

/// How often the lease is renewed: a lease runs out after six times as long.
const RENEWAL: Duration = Duration::from_millis(200);

/// Polls that are due within this time are begun together, so that a thousand engines do not mean a thousand
/// wake-ups a second. It is a tenth of the default interval's jitter.
const TOGETHER: Duration = COLLECT;

/// First polls are spread over the interval, so that they do not come at once ever after; but no longer than this,
/// for until then an engine counts as unknown.
const SPREAD: Duration = Duration::from_secs(1);

/// An engine that fails is polled half as often after each further failure, up to a 16th, but every 30 s at least:
/// it gets little to do when it may be starting, and is soon found to be back.
const MAX_DOUBLINGS: u32 = 4;
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// The scheduler: the thread that decides, and calls the sink.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    inputs: Inputs,
    done: Receiver<Done>,
    woken: Receiver<()>,
    engines: HashMap<u64, Polled>,
    /// The keys of polls under way, those of targets that were since replaced too: no engine is asked twice at a
    /// time.
    under_way: HashSet<u64>,
    /// When which target is due; entries that do not agree with `engines` are out of date.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    generations: u64,
    /// When the scheduler began: times are counted from here.
    began: Instant,
    /// Whether the lease is held; if not, nothing is polled and nothing is told.
    held: bool,
    renewal: Instant,
    /// When to look for results, if nobody wakes us before.
    collect: Option<Instant>,
}

/// What is known of a target.
struct Polled {
    target: Arc<Target>,
    generation: u64,
    due: Instant,
    /// Polls that failed since the last that did not.
    failures: u32,
    told: Told,
    watch: Watch,
}

impl Scheduler {
    pub fn new(shared: Arc<Shared>, inputs: Inputs, done: Receiver<Done>, woken: Receiver<()>) -> Scheduler {
        Scheduler {
            shared,
            inputs,
            done,
            woken,
            engines: HashMap::new(),
            under_way: HashSet::new(),
            due: BinaryHeap::new(),
            generations: 0,
            began: Instant::now(),
            held: false,
            renewal: Instant::now(),
            collect: None,
        }
    }

    /// Goes on until polling stops.
    pub fn run(&mut self) {
        while !self.shared.stop.is_said() {
            // A panic would be a mistake in here; polling goes on with what there is, but does not spin. Whoever it was
            // about is made due again with all others.
            if caught(|| self.turn()).is_err() {
                std::thread::sleep(RENEWAL);
                self.spread();
            }
        }
    }

    fn turn(&mut self) {
        self.renew();
        if let Some(targets) = self.shared.new_targets() {
            self.replace(targets);
        }
        self.collect();
        if self.held {
            self.begin(Instant::now() + TOGETHER);
        }
        let due = self.due.peek().filter(|_| self.held).map(|Reverse((due, _))| *due);
        let next = [due, self.collect].into_iter().flatten().fold(self.renewal, Instant::min);
        // Woken or not: all that there may be is looked at.
        let _ = self.woken.recv_deadline(next);
    }

    fn collect(&mut self) {
        self.collect = self.collect.filter(|&collect| collect > Instant::now());
        while let Ok(done) = self.done.try_recv() {
            self.take(done);
        }
    }

    fn renew(&mut self) {
        let now = Instant::now();
        if now < self.renewal {
            return;
        }
        self.renewal = now + RENEWAL;
        let held = caught(|| self.shared.sink.hold()).unwrap_or(false);
        if held && !self.held {
            self.spread();
        }
        if !held && self.held {
            // Whoever has the lease makes connections of its own.
            self.inputs.forget_all();
            self.inputs.flush();
        }
        self.held = held;
    }

    /// Makes every target due anew, spread over the interval.
    fn spread(&mut self) {
        let now = Instant::now();
        self.due.clear();
        for (&key, polled) in &mut self.engines {
            polled.due = now + spread(polled.target.settings.interval);
            self.due.push(Reverse((polled.due, key)));
        }
    }

    fn replace(&mut self, targets: Vec<Target>) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.engines);
        for target in targets {
            let key = target.key;
            let known = before.remove(&key);
            let is_known = known.is_some();
            let kept = known.filter(|polled| polled.target.is_polled_as(&target));
            if is_known && kept.is_none() {
                self.inputs.send(key, Job::Forget(key));
            }
            let polled = match kept {
                Some(polled) => Polled { target: Arc::new(target), ..polled },
                None => {
                    self.generations += 1;
                    let due = now + spread(target.settings.interval);
                    self.due.push(Reverse((due, key)));
                    Polled::new(target, self.generations, due)
                }
            };
            self.engines.insert(key, polled);
        }
        before.keys().for_each(|key| self.inputs.send(*key, Job::Forget(*key)));
        self.inputs.flush();
    }

    /// Begins the polls that are due by then.
    fn begin(&mut self, by: Instant) {
        while self.due.peek().is_some_and(|Reverse((due, _))| *due <= by) {
            let Some(Reverse((due, key))) = self.due.pop() else { return };
            let Some(polled) = self.engines.get_mut(&key).filter(|polled| polled.due == due) else {
                continue;
            };
            if self.under_way.contains(&key) {
                continue; // it is made due again when that poll is done
            }
            hit(Point::PollDue);
            let asked = polled.asked(key);
            self.under_way.insert(key);
            self.collect = Some(asked.at + COLLECT);
            self.inputs.send(key, Job::Poll(asked));
        }
        self.inputs.flush();
    }

    fn take(&mut self, done: Done) {
        if self.shared.stop.is_said() {
            return; // it was broken off
        }
        let key = done.key;
        self.under_way.remove(&key);
        hit(Point::PollDone);
        let Some(polled) = self.engines.get_mut(&key) else { return };
        if self.held && polled.generation == done.generation {
            polled.learn(done.outcome.is_ok());
            let sink = &self.shared.sink;
            let at = done.when.ended.saturating_duration_since(self.began).as_millis() as u64;
            let (outcome, failure) = match done.outcome {
                Ok(reading) => {
                    (polled.believe(reading, at, |target| caught(|| sink.own(target)).unwrap_or(0)), None)
                }
                Err(failure) => (Err(failure.fault), Some(failure)),
            };
            self.tell(key, &outcome, failure.as_ref(), done.when);
        }
        if let Some(polled) = self.engines.get(&key) {
            self.due.push(Reverse((polled.due, key)));
        }
    }

    /// Hands what a poll gave to the sink, unless other targets were set meanwhile.
    fn tell(&mut self, key: u64, outcome: &Result<Reading, Fault>, failure: Option<&Failure>, when: When) {
        let Some(polled) = self.engines.get_mut(&key) else { return };
        let sink = &self.shared.sink;
        if !self.shared.while_targets_hold(|| caught(|| sink.publish(&polled.target, outcome, when))) {
            return;
        }
        if let Some((from, to)) = polled.told.change(State::of(outcome)) {
            let _ = caught(|| sink.changed(&polled.target, from, to, failure));
        }
    }
}

impl Polled {
    fn new(target: Target, generation: u64, due: Instant) -> Polled {
        let (told, watch) = (Told::default(), Watch::default());
        Polled { target: Arc::new(target), generation, due, failures: 0, told, watch }
    }

    fn asked(&self, key: u64) -> Asked {
        let within = self.target.settings.timeout;
        let (generation, target) = (self.generation, Arc::clone(&self.target));
        Asked { key, generation, target, within, at: Instant::now() }
    }

    /// What a poll gave that ended at `at` (ms), unless its numbers are not to be believed. (The engine answers: it is polled as
    /// often as before.)
    fn believe(
        &mut self,
        reading: Reading,
        at: u64,
        own: impl FnOnce(&Target) -> u64,
    ) -> Result<Reading, Fault> {
        // Who reports by model says nothing of requests.
        let frozen = !reading.load.is_unknown() && self.watch.is_frozen(&reading.load, own(&self.target), at);
        if frozen { Err(Fault::Frozen) } else { Ok(reading) }
    }

    /// Draws from a poll when the next one is due.
    fn learn(&mut self, answered: bool) {
        self.failures = if answered { 0 } else { self.failures + 1 };
        if self.failures > 0 {
            hit(Point::PollBacksOff);
        }
        let pause = jitter(back_off(self.target.settings.interval, self.failures));
        // In step with the last time, but an engine that takes longer than its interval gets time to breathe.
        self.due = (self.due + pause).max(Instant::now() + pause / 2);
    }
}

/// From one poll to the next, after so many failures in a row.
fn back_off(interval: Duration, failures: u32) -> Duration {
    let doubled = interval * (1 << failures.saturating_sub(1).min(MAX_DOUBLINGS));
    doubled.min(MAX_BACK_OFF.max(interval))
}

/// A time that is up to 10 % shorter or longer.
fn jitter(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// How long after it was set a target is first polled.
fn spread(interval: Duration) -> Duration {
    interval.min(SPREAD).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_and_ends() {
        let second = Duration::from_secs(1);
        let pauses: Vec<_> = (0..9).map(|failures| back_off(second, failures).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 16, 16, 16]);
        assert_eq!(back_off(5 * second, 9), 30 * second);
        assert_eq!(back_off(60 * second, 9), 60 * second);
        assert_eq!(back_off(second / 20, 9), second * 16 / 20);
    }

    #[test]
    fn jitter_is_a_tenth_either_way() {
        let (mut less, mut more) = (false, false);
        for _ in 0..1000 {
            let time = jitter(Duration::from_millis(1000));
            assert!((900..=1100).contains(&time.as_millis()));
            less |= time < Duration::from_millis(950);
            more |= time > Duration::from_millis(1050);
        }
        assert!(less && more);
    }
}

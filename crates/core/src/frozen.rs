//! Numbers that stand still while requests come and go: the page of an engine that has stopped to count, or of a cache
//! before it.

use crate::load::Load;

/// By how many our own requests in flight must differ before they speak against numbers that stand: one may have come
/// or gone between the engine's answer and our count.
const DIFFERENCE: u64 = 2;

/// The mismatch must be seen in this many polls, so that one short burst of requests is not enough.
const POLLS: u32 = 3;

/// The mismatch must last this long in ms, however short the interval of the polls is: engines renew their gauges every
/// few seconds (one known engine every 2 s), and until then a page repeats the old numbers rightly.
const LASTS: u64 = 10_000;

/// One poll adds at most this much to the time of a mismatch, in ms: nothing is known of the time between two polls that
/// are far apart.
const MOST: u64 = LASTS.div_ceil(POLLS as u64);

/// After this many polls, and after [`LASTS`], with a constant number of our requests, not above what the engine reports,
/// the numbers are trusted again: numbers that rightly stay the same have no other way to show it.
const STILL: u32 = 10;

/// Finds out, poll by poll, whether the numbers of one engine stand still.
///
/// Only an engine that reports how many requests run can be found so: a queue that is empty all the time is a good queue.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Watch {
    /// What the engine reports since its numbers changed last; None before the first answer.
    load: Option<Load>,
    /// Our own requests there at that time.
    own: u64,
    /// The time of the last poll, in ms.
    at: u64,
    /// Polls since then at which our own requests differed by [`DIFFERENCE`] or more.
    moved: u32,
    /// For how long they differed in all, in ms.
    mismatch: u64,
    /// Our own requests there at the last poll, and for how many polls and ms their number has been the same.
    last: u64,
    still: u32,
    still_for: u64,
    frozen: bool,
}

impl Watch {
    /// Takes in what the engine reports at the time `at` (ms of any clock that does not go back) while `own` requests of ours
    /// are there. Returns true if the numbers are not to be believed: they are the same as before though our requests
    /// changed. They are believed again when they change, or when the number of our requests has long been constant and not
    /// above what the engine reports.
    pub fn is_frozen(&mut self, load: &Load, own: u64, at: u64) -> bool {
        let (Some(running), true) = (load.running, self.load == Some(*load)) else {
            *self = Watch { load: Some(*load), own, at, last: own, ..Watch::default() };
            return false;
        };
        let passed = at.saturating_sub(self.at).min(MOST);
        self.at = at;
        let reported = running + load.waiting.unwrap_or(0.0);
        // Clients may take what the engine has sent long after the engine has come to rest.
        let rests = own == 0 && reported == 0.0;
        if own.abs_diff(self.own) >= DIFFERENCE && !rests {
            self.moved = self.moved.saturating_add(1);
            self.mismatch = self.mismatch.saturating_add(passed);
        }
        self.follow_own(own, passed);
        self.frozen |= self.moved >= POLLS && self.mismatch >= LASTS;
        if self.still >= STILL && self.still_for >= LASTS && own as f64 <= reported {
            (self.own, self.moved, self.mismatch, self.frozen) = (own, 0, 0, false);
        }
        self.frozen
    }

    /// Counts for how long the number of our requests has been the same.
    fn follow_own(&mut self, own: u64, passed: u64) {
        let same = own == self.last;
        self.still = if same { self.still.saturating_add(1) } else { 0 };
        self.still_for = if same { self.still_for.saturating_add(passed) } else { 0 };
        self.last = own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(running: Option<f64>) -> Load {
        Load { waiting: Some(0.0), running, cache: Some(0.1), ..Load::default() }
    }

    /// The verdicts on polls `interval` ms apart, each with what runs and how many requests are our own.
    fn verdicts_every(interval: u64, polls: &[(Option<f64>, u64)]) -> Vec<bool> {
        let (mut watch, mut at) = (Watch::default(), 77);
        let poll = |(running, own): &(Option<f64>, u64)| {
            at += interval;
            watch.is_frozen(&load(*running), *own, at)
        };
        polls.iter().map(poll).collect()
    }

    /// The verdicts on polls so far apart that their number alone counts.
    fn verdicts(polls: &[(Option<f64>, u64)]) -> Vec<bool> {
        verdicts_every(LASTS, polls)
    }

    /// The number of the first poll that finds the numbers frozen, of polls of an engine that stays at 0 while three requests
    /// of ours are there from the second poll on.
    fn first_frozen(interval: u64) -> Option<usize> {
        let polls = [&[(Some(0.0), 0)][..], &[(Some(0.0), 3); 400]].concat();
        verdicts_every(interval, &polls).iter().position(|frozen| *frozen)
    }

    #[test]
    fn numbers_that_stand_while_requests_come_and_go_are_frozen() {
        let polls = [(Some(5.0), 5), (Some(5.0), 9), (Some(5.0), 2), (Some(5.0), 8), (Some(5.0), 7)];
        assert_eq!(verdicts(&polls), [false, false, false, true, true]);
    }

    #[test]
    fn it_takes_three_polls_and_ten_seconds() {
        assert_eq!(first_frozen(50), Some(200));
        assert_eq!(first_frozen(200), Some(50));
        assert_eq!(first_frozen(1000), Some(10));
        assert_eq!(first_frozen(5000), Some(3));
        assert_eq!(first_frozen(60_000), Some(3));
    }

    /// An engine that renews its gauges every 2 s, polled every 100 ms, under a load that changes all the time.
    #[test]
    fn gauges_that_are_renewed_now_and_then_are_believed() {
        let own = |poll: u64| (poll * 7 / 5) % 9;
        let polls: Vec<_> = (0..2000).map(|poll| (Some(own(poll / 20 * 20) as f64), own(poll))).collect();
        assert!(!verdicts_every(100, &polls).contains(&true));
        // Bursts of 1.5 s, of which some come and go between two renewals.
        let own = |poll: u64| if poll % 41 < 15 { 4 } else { 0 };
        let bursts: Vec<_> = (0..2000).map(|poll| (Some(own(poll / 20 * 20) as f64), own(poll))).collect();
        assert!(!verdicts_every(100, &bursts).contains(&true));
    }

    /// An engine that shows for ever that it is idle, under a load that differs by less than two half of the time.
    #[test]
    fn a_light_load_shows_that_numbers_stand_still() {
        let polls: Vec<_> = (0..300).map(|poll| (Some(0.0), if poll % 2 == 0 { 1 } else { 2 })).collect();
        let polls = [&[(Some(0.0), 0)][..], &polls].concat();
        assert_eq!(verdicts_every(100, &polls).iter().position(|frozen| *frozen), Some(200));
    }

    #[test]
    fn a_gap_between_two_polls_proves_nothing() {
        let mut watch = Watch::default();
        let mut poll = |own, at| watch.is_frozen(&load(Some(0.0)), own, at);
        assert!(!poll(0, 0) && !poll(3, 60_000) && !poll(3, 60_100) && !poll(3, 60_200));
    }

    #[test]
    fn they_stay_frozen_until_they_change() {
        let zero = [(Some(0.0), 0), (Some(0.0), 3), (Some(0.0), 3), (Some(0.0), 3), (Some(0.0), 0)];
        let polls = [&zero[..], &[(Some(3.0), 3), (Some(3.0), 3)]].concat();
        assert_eq!(verdicts(&polls), [false, false, false, true, true, false, false]);
    }

    #[test]
    fn an_engine_that_has_come_to_rest_is_believed() {
        let busy = [(Some(0.0), 0), (Some(0.0), 3), (Some(0.0), 3), (Some(0.0), 3)];
        let verdicts_of = |then: (Option<f64>, u64)| verdicts(&[&busy[..], &[then; 14]].concat());
        assert_eq!(verdicts_of((Some(0.0), 0))[3..], [[true; 11].as_slice(), &[false; 4]].concat());
        assert!(verdicts_of((Some(0.0), 3))[3..].iter().all(|frozen| *frozen), "there is more than it says");
    }

    #[test]
    fn rest_is_judged_by_time_too() {
        let busy = [&[(Some(0.0), 0)][..], &[(Some(0.0), 3); 101]].concat();
        let verdicts = verdicts_every(100, &[&busy[..], &[(Some(0.0), 0); 150]].concat());
        let frozen = verdicts.iter().filter(|frozen| **frozen).count();
        // From the 100th poll on, until 100 polls after the first that found no requests.
        assert_eq!(frozen, 2 + 100);
    }

    #[test]
    fn clients_that_are_slow_do_not_speak_against_an_engine_at_rest() {
        let polls = [(Some(2.0), 5), (Some(0.0), 5), (Some(0.0), 4), (Some(0.0), 4)];
        let verdicts = verdicts(&[&polls[..], &[(Some(0.0), 0); 20]].concat());
        assert!(!verdicts.contains(&true));
    }

    #[test]
    fn numbers_that_stand_while_nothing_changes_are_believed() {
        assert!(!verdicts(&[(Some(0.0), 0); 50]).contains(&true), "idle");
        assert!(
            !verdicts(&[(Some(8.0), 8), (Some(8.0), 9)].repeat(25)).contains(&true),
            "a request on its way"
        );
    }

    #[test]
    fn a_queue_that_stays_empty_is_believed() {
        assert!(!verdicts(&[(None, 0), (None, 9), (None, 4)].repeat(25)).contains(&true));
    }
}

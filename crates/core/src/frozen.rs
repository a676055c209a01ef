//! Numbers that stand still while requests come and go: the page of an engine that has stopped to count, or of a cache
//! before it.

use crate::load::Load;

/// By how many our own requests in flight must differ before they speak against numbers that stand: one may have come
/// or gone between the engine's answer and our count.
const DIFFERENCE: u64 = 2;

/// In so many polls since the numbers changed last. Traffic that is gone between two polls thus proves nothing.
const POLLS: u32 = 3;

/// So many polls in a row with as many requests of ours, and no more than the numbers allow for, speak for these again:
/// what does not change any more has nothing else to say.
const STILL: u32 = 10;

/// Whether the numbers of one engine stand still, poll by poll.
///
/// Only an engine that says how many requests run can be found so: a queue that is empty all the time is a good queue.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Watch {
    /// What it reports since it changed last; None before the first answer.
    load: Option<Load>,
    /// Our own requests there at that time.
    own: u64,
    /// Polls since then at which our own requests were others by [`DIFFERENCE`] or more.
    moved: u32,
    /// Our own requests there at the last poll, and for how many polls they have been as many.
    last: u64,
    still: u32,
}

impl Watch {
    /// Takes in what the engine says while `own` requests of ours are there. True if it is not to be believed: it says the
    /// same as before though they changed. It is believed again when it says something else, or when they have long been
    /// as many, and not more than it says.
    pub fn is_frozen(&mut self, load: &Load, own: u64) -> bool {
        let (Some(running), true) = (load.running, self.load == Some(*load)) else {
            *self = Watch { load: Some(*load), own, last: own, ..Watch::default() };
            return false;
        };
        let says = running + load.waiting.unwrap_or(0.0);
        // Clients may take what it has sent long after it has come to rest.
        let rests = own == 0 && says == 0.0;
        if own.abs_diff(self.own) >= DIFFERENCE && !rests {
            self.moved = self.moved.saturating_add(1);
        }
        self.still = if own == self.last { self.still.saturating_add(1) } else { 0 };
        self.last = own;
        if self.still >= STILL && own as f64 <= says {
            (self.own, self.moved) = (own, 0);
        }
        self.moved >= POLLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(running: Option<f64>) -> Load {
        Load { waiting: Some(0.0), running, cache: Some(0.1), ..Load::default() }
    }

    /// The verdicts on polls, each with what runs and how many requests are our own.
    fn verdicts(polls: &[(Option<f64>, u64)]) -> Vec<bool> {
        let mut watch = Watch::default();
        polls.iter().map(|(running, own)| watch.is_frozen(&load(*running), *own)).collect()
    }

    #[test]
    fn numbers_that_stand_while_requests_come_and_go_are_frozen() {
        let polls = [(Some(5.0), 5), (Some(5.0), 9), (Some(5.0), 2), (Some(5.0), 5), (Some(5.0), 7)];
        assert_eq!(verdicts(&polls), [false, false, false, false, true]);
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

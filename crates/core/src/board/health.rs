//! Whether a peer fails, as its own answers show.
//!
//! A peer that failed is left alone for a pause. Then one request at a time tries whether the peer is well again. A good
//! answer ends the record of failures, and so does a minute without a further failure. Where more than a fifth of a peer's
//! answers fail, the good answer has to be to a request that began after the last failure.
//!
//! # Why plain loads and stores do
//!
//! Two workers that record a failure at the same time may lose one of the two. The next failure is recorded like any other,
//! so a lost failure only makes one pause shorter. The right to try is taken by one compare-and-swap, since two workers must
//! not both have it.

use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// The pause after the first failure in ms. It doubles with each further failure.
const FIRST_PAUSE_MS: u64 = 2_000;

/// The longest pause in ms, nginx's own default of `fail_timeout`: an engine that is well again has to wait no longer for a
/// request that shows it.
const LONGEST_PAUSE_MS: u64 = 10_000;

/// After this time in ms without a failure the record of failures ends.
const MEMORY_MS: u64 = 60_000;

/// A peer that refuses as many requests in a row (400, 401, 404, …) as this fails: one such answer is its client's mistake,
/// and a peer that gives no other answers is not fast.
const REFUSALS: u64 = 2;

/// What a failure adds to the mark of a peer, and a good answer takes away: the mark rises where more than a fifth of the answers
/// fail.
const FAILURE_MARK: u64 = 4;
const SUCCESS_MARK: u64 = 1;

/// The highest mark, and the mark from which on a peer fails so often that a good answer to a request from before the last
/// failure shows nothing.
const HIGHEST_MARK: u64 = 16;
const OFTEN: u64 = 8;

/// Words: failures and refusals in a row, when the last failure was, until when the peer is left alone, until when the right to
/// try is taken, the mark, and whether the last failure was of a request for something that is generated.
mod word {
    pub const FAILURES: usize = 0;
    pub const REFUSALS: usize = 1;
    pub const FAILED_AT: usize = 2;
    pub const RETRY_AT: usize = 3;
    pub const TRIAL_UNTIL: usize = 4;
    pub const MARK: usize = 5;
    pub const GENERATES: usize = 6;
    pub const END: usize = 7;
}

pub(super) const WORDS: usize = word::END;

/// How a peer is, by its own answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its last answer was good, or nothing is known.
    Well,
    /// It fails, and is left alone until this time (ms).
    Fails {
        /// When to look again, in ms of the monotonic clock.
        until: u64,
    },
    /// It failed, and one request may try whether it is well again.
    OnTrial,
}

/// A view of what is known of the failures of one peer. Times are in ms of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Health<'a>(&'a [AtomicU64]);

impl<'a> Health<'a> {
    /// `words` are [`WORDS`] long.
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Health(words)
    }

    fn get(&self, word: usize) -> u64 {
        self.0[word].load(Relaxed)
    }

    fn set(&self, word: usize, value: u64) {
        self.0[word].store(value, Relaxed);
    }

    /// How the peer is now.
    pub fn condition(&self, now: u64) -> Condition {
        if self.get(word::FAILURES) == 0 || self.is_forgotten(now) {
            return Condition::Well;
        }
        match self.get(word::RETRY_AT).max(self.0[word::TRIAL_UNTIL].load(Acquire)) {
            until if now < until => Condition::Fails { until },
            _ => Condition::OnTrial,
        }
    }

    /// Failures in a row, 0 for a peer that is well.
    pub fn failures(&self) -> u64 {
        self.get(word::FAILURES)
    }

    /// When the last failure was, in ms.
    pub fn failed_at(&self) -> u64 {
        self.get(word::FAILED_AT)
    }

    /// Whether the last failure was of a request for something that is generated: then other requests show nothing, since an
    /// engine may list its models and generate nothing.
    pub fn fails_to_generate(&self) -> bool {
        self.get(word::GENERATES) > 0
    }

    /// Records that for the last failure.
    pub fn set_fails_to_generate(&self, generates: bool) {
        self.set(word::GENERATES, u64::from(generates));
    }

    /// An attempt that began at `begun` failed now. True if the peer was well until now.
    pub fn fail(&self, begun: u64, now: u64) -> bool {
        let before = if self.is_forgotten(now) { 0 } else { self.get(word::FAILURES) };
        // Attempts that were under way at the last failure fail for the same reason, and show nothing new.
        let more = u64::from(before == 0 || begun >= self.get(word::FAILED_AT));
        let failures = before.saturating_add(more);
        self.set(word::FAILED_AT, now);
        self.set(word::RETRY_AT, now.saturating_add(pause_ms(failures)));
        self.set(word::TRIAL_UNTIL, 0);
        self.set(word::FAILURES, failures);
        self.set(word::MARK, self.get(word::MARK).saturating_add(FAILURE_MARK).min(HIGHEST_MARK));
        before == 0
    }

    /// An attempt that began at `begun` was refused now for a mistake of its client. True if the peer counts as failing from
    /// now on.
    pub fn refuse(&self, begun: u64, now: u64) -> bool {
        let refusals = self.get(word::REFUSALS).saturating_add(1);
        self.set(word::REFUSALS, refusals);
        refusals >= REFUSALS && self.fail(begun, now)
    }

    /// A good answer came to an attempt that began at `begun`. True if the peer failed until now, and is well again.
    pub fn succeed(&self, begun: u64) -> bool {
        if self.get(word::REFUSALS) > 0 {
            self.set(word::REFUSALS, 0);
        }
        let mark = self.get(word::MARK);
        if mark > 0 {
            self.set(word::MARK, mark.min(HIGHEST_MARK).saturating_sub(SUCCESS_MARK));
        }
        let failed = self.get(word::FAILURES) > 0;
        let well = failed && (mark < OFTEN || begun >= self.get(word::FAILED_AT));
        if well {
            self.set(word::FAILURES, 0);
            self.set(word::TRIAL_UNTIL, 0);
        }
        well
    }

    /// Takes the right to try a peer that is [`Condition::OnTrial`]; false if the peer is not, or if another request has the
    /// right. It lapses after a minute, so that a worker that dies keeps it no longer.
    pub fn begin_trial(&self, now: u64) -> bool {
        let taken = self.0[word::TRIAL_UNTIL].load(Acquire);
        let until = now.saturating_add(MEMORY_MS);
        taken <= now
            && self.condition(now) == Condition::OnTrial
            && self.0[word::TRIAL_UNTIL].compare_exchange(taken, until, AcqRel, Relaxed).is_ok()
    }

    /// A request that had the right to try ended and showed nothing: its client went away. Another may try.
    pub fn end_trial(&self) {
        self.set(word::TRIAL_UNTIL, 0);
    }

    /// Whether the last failure was [`MEMORY_MS`] ago, and no request tries the peer now.
    fn is_forgotten(&self, now: u64) -> bool {
        now.saturating_sub(self.get(word::FAILED_AT)) >= MEMORY_MS && self.get(word::TRIAL_UNTIL) <= now
    }
}

fn pause_ms(failures: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(16) as u32;
    (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!([1, 2, 3, 4, 100].map(pause_ms), [2_000, 4_000, 8_000, 10_000, 10_000]);
    }

    #[test]
    fn one_request_at_a_time_tries_a_peer_that_failed() {
        let words = words();
        let health = Health::new(&words);
        assert_eq!(health.condition(5), Condition::Well);
        assert!(!health.begin_trial(5), "a peer that is well needs no trial");
        assert!(health.fail(900, 1_000));
        assert_eq!(health.condition(2_999), Condition::Fails { until: 3_000 });
        assert_eq!(health.condition(3_000), Condition::OnTrial);
        assert!(health.begin_trial(3_000) && !health.begin_trial(3_001));
        assert_eq!(health.condition(3_001), Condition::Fails { until: 63_000 });
        assert!(!health.fail(3_000, 3_100), "it failed already");
        assert_eq!(health.condition(3_101), Condition::Fails { until: 7_100 });
        assert!(health.begin_trial(7_100));
        health.end_trial();
        assert!(health.begin_trial(7_200));
        assert!(health.succeed(7_200) && !health.succeed(7_200));
        assert_eq!(health.condition(7_300), Condition::Well);
    }

    #[test]
    fn attempts_that_were_under_way_together_fail_once() {
        let words = words();
        let health = Health::new(&words);
        (0..20).for_each(|n| _ = health.fail(500, 1_000 + n));
        assert_eq!((health.failures(), health.condition(1_020)), (1, Condition::Fails { until: 3_019 }));
        health.fail(3_019, 3_019);
        assert_eq!(health.failures(), 2);
    }

    #[test]
    fn a_minute_without_a_failure_ends_the_record() {
        let words = words();
        let health = Health::new(&words);
        (0..5).for_each(|n| _ = health.fail(20_000 * n, 20_000 * n));
        assert_eq!(health.condition(139_999), Condition::OnTrial);
        assert_eq!(health.condition(140_000), Condition::Well);
        assert!(health.fail(140_000, 140_000));
        assert_eq!(health.failures(), 1);
    }

    #[test]
    fn one_refusal_is_the_clients_and_refusals_in_a_row_are_the_peers() {
        let words = words();
        let health = Health::new(&words);
        assert!(!health.refuse(0, 10));
        assert!(!health.succeed(0));
        assert!(!health.refuse(0, 20));
        assert!(health.refuse(0, 30));
        assert_eq!(health.condition(40), Condition::Fails { until: 2_030 });
        assert!(health.succeed(0));
        assert!(!health.refuse(50, 60));
    }

    #[test]
    fn a_peer_that_fails_often_is_judged_by_new_requests() {
        let words = words();
        let health = Health::new(&words);
        // A failure now and then: whatever good answer comes shows that the peer works.
        for n in 1..20 {
            assert!(health.fail(1_000 * n, 1_000 * n));
            assert!(health.succeed(0), "of a request from before");
            (0..9).for_each(|_| _ = health.succeed(0));
        }
        // Every second one.
        for _ in 0..4 {
            health.fail(50_000, 50_000);
            health.succeed(0);
        }
        assert!(!health.succeed(49_999) && health.succeed(50_000));
        (0..16).for_each(|_| _ = health.succeed(50_000));
        assert!(health.fail(60_000, 60_000) && health.succeed(0), "it has been well for long");
    }

    #[test]
    fn any_words_are_a_condition() {
        for bits in [1, u64::MAX, u64::MAX / 2] {
            let words = words();
            words.iter().for_each(|word| word.store(bits, Relaxed));
            let health = Health::new(&words);
            let _ = (health.condition(7), health.begin_trial(7), health.refuse(7, 7), health.fail(7, 7));
            assert!(health.succeed(u64::MAX));
            assert_eq!(health.condition(8), Condition::Well);
        }
    }
}

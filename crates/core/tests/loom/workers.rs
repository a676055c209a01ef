//! Workers that come and go: their rows, the lease, and the slots they claim.

use crate::play::{reads, writes};
use tblb_core::board::{Board, InFlight};

/// What a request adds and takes in the course of its life.
#[test]
fn a_request_is_seen_once_and_whole() {
    const PROMPT: InFlight = InFlight { active: 0, streams: 0, prefill: 9 };
    const STREAM: InFlight = InFlight { active: 0, streams: 1, prefill: 0 };
    reads(|zone| {
        zone.board().row(0).unwrap().begin(100);
        let request = |board: Board| {
            let row = board.row(0).unwrap();
            row.enter(0, InFlight::one(9));
            row.leave(0, PROMPT);
            row.enter(0, STREAM);
            row.leave(0, InFlight { active: 1, ..STREAM });
        };
        zone.both(request, |board| {
            let seen = board.in_flight(0);
            let (prompt, stream) = (seen.prefill == 9, seen.streams == 1);
            let here =
                InFlight { active: 1, streams: u64::from(stream), prefill: if prompt { 9 } else { 0 } };
            assert!(seen == InFlight::default() || (seen == here && !(prompt && stream)), "{seen:?}");
        });
        assert_eq!(zone.board().in_flight(0), InFlight::default());
    });
}

/// Promise 4.
#[test]
fn a_worker_that_follows_keeps_its_count_while_the_one_before_is_forgotten() {
    writes(1, |zone| {
        zone.predecessor();
        let follow = |board: Board| {
            let row = board.row(0).unwrap();
            row.begin(200);
            row.enter(0, InFlight::one(7));
        };
        zone.both(follow, |board| board.forget_gone(|pid| pid == 200));
        assert_eq!(zone.board().in_flight(0), InFlight::one(7));
    });
}

#[test]
fn who_sees_a_worker_counts_nothing_of_the_one_before() {
    reads(|zone| {
        zone.predecessor();
        let follow = |board: Board| board.row(0).unwrap().begin(200);
        zone.both(follow, |board| {
            let row = board.row(0).unwrap();
            assert!(row.pid() != 200 || row.in_flight(0) == InFlight::default());
        });
    });
}

#[test]
fn of_two_that_take_the_lease_one_gets_it() {
    // Free, and held by one that has been silent.
    for held in [false, true] {
        writes(1, move |zone| {
            if held {
                zone.board().lease().acquire(9, 1000, |_| true).unwrap();
            }
            let take = |pid| move |board: Board| board.lease().acquire(pid, 5000, |_| true);
            let (first, second) = zone.both(take(1), take(2));
            assert!(first.is_some() != second.is_some(), "{first:?} and {second:?}");
            assert_eq!(zone.board().lease().holder(), first.or(second));
        });
    }
}

#[test]
fn who_lost_the_lease_by_silence_learns_of_it_and_is_no_sign_of_life() {
    writes(1, |zone| {
        let silent = zone.board().lease().acquire(1, 1000, |_| true).unwrap();
        let renew = move |board: Board| board.lease().renew(silent, 2600);
        let (_, next) = zone.both(renew, |board| board.lease().acquire(2, 5000, |_| true));
        let lease = zone.board().lease();
        assert!(next.is_none() || lease.heartbeat() == 5000);
        assert_eq!(lease.renew(silent, 5001), next.is_none());
        assert_eq!(lease.holder(), next.or(Some(silent)));
    });
}

#[test]
fn who_gives_the_lease_back_takes_it_from_nobody() {
    writes(1, |zone| {
        let silent = zone.board().lease().acquire(1, 1000, |_| true).unwrap();
        let back = move |board: Board| board.lease().release(silent);
        let (_, next) = zone.both(back, |board| board.lease().acquire(2, 5000, |_| true));
        assert_eq!(zone.board().lease().holder(), next);
    });
}

#[test]
fn two_workers_that_look_for_slots_agree() {
    for (key, other) in [(6, 6), (6, 8)] {
        writes(2, move |zone| {
            let claim = |key| move |board: Board| board.claim(key, 0, 1).unwrap();
            let (mine, theirs) = zone.both(claim(key), claim(other));
            assert_eq!(mine == theirs, key == other);
            let board = zone.board();
            assert_eq!((board.find(key), board.find(other)), (Some(mine), Some(theirs)));
        });
    }
}

/// Promise 4.
#[test]
fn a_slot_that_is_being_claimed_is_not_reclaimed() {
    writes(1, |zone| {
        let claim = |board: Board| board.claim(7, 0, 100_000);
        zone.both(claim, |board| board.reclaim(100_000, 60_000));
        assert_eq!(zone.board().find(7), Some(0));
    });
}

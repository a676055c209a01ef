//! What the poller writes, while others read it.

use crate::play::{Zone, reads};
use tblb_core::board::{Board, Outcome};
use tblb_core::load::Load;
use tblb_core::model::{Models, key};

/// An answer in which all numbers say which it is.
fn answer(n: u64) -> Outcome {
    let x = Some(n as f64);
    let load = Load { waiting: x, running: x, cache: x, closed: n % 2 == 0 };
    Outcome { at: n, took: n, result: Ok((n as u8, load)) }
}

/// The number of the newest answer in the slot, which must be of one piece; 0 if there is none.
fn newest(board: Board, slot: usize) -> u64 {
    let Some(sample) = board.slot(slot).unwrap().sample() else { return 0 };
    let whole = answer(sample.at);
    assert_eq!(whole.result, Ok((sample.engine, sample.load)), "half of a sample");
    sample.at
}

/// Promise 4.
#[test]
fn a_sample_is_whole_however_often_the_poller_comes_round() {
    reads(|zone| {
        let publish = |board: Board| (1..=3).for_each(|n| board.publish(0, &answer(n)));
        zone.both(publish, |board| newest(board, 0));
        assert_eq!(newest(zone.board(), 0), 3);
    });
}

#[test]
fn models_are_those_of_one_answer() {
    /// The first `n` models, each as busy as there are models.
    fn models(n: usize) -> Models {
        let mut models = Models::default();
        (0..n).for_each(|i| models.add(&format!("m{i}"), Some(n as f64)));
        models
    }
    reads(|zone| {
        let publish = |board: Board| {
            [1, 1, 2].iter().for_each(|n| board.publish_with(0, &answer(1), Some(&models(*n))))
        };
        zone.both(publish, |board| {
            let Some(served) = board.slot(0).unwrap().served() else { return };
            let found: Vec<_> = served.models().collect();
            let n = found.len();
            let of = |i: usize| (key(format!("m{i}").as_bytes()), Some(n as f64));
            assert_eq!(found, (0..n).map(of).collect::<Vec<_>>(), "models of two answers");
        });
    });
}

#[test]
fn who_sees_that_metrics_changed_sees_those_that_changed() {
    reads(|zone| {
        let publish = |board: Board| (1..=2).for_each(|n| board.publish(0, &answer(n)));
        zone.both(publish, |board| {
            let version = board.version(0);
            assert!(newest(board, 0) >= version, "scores would be made of old metrics, and kept");
        });
    });
}

/// A reload copies the board while the poller before it still publishes.
#[test]
fn a_sample_that_is_carried_over_is_whole() {
    reads(|zone| {
        zone.board().claim(7, 0, 1);
        zone.board().publish(0, &answer(1));
        let new = Zone::new(1, false);
        let poller = |board: Board| board.publish(0, &answer(2));
        let reload = {
            let new = new.clone();
            move |old: Board| new.board().carry_over(&old, 1)
        };
        zone.both(poller, reload);
        assert!((1..=2).contains(&newest(new.board(), 0)));
    });
}

//! What all workers write at once: counts, averages and the quantile of prompts.

use crate::play::writes;
use tblb_core::board::{Average, Board};

#[test]
fn nothing_that_workers_count_is_lost() {
    writes(1, |zone| {
        let count = |board: Board| {
            let slot = board.slot(0).unwrap();
            slot.count_pick();
            slot.ttft().add(1000);
        };
        zone.both(count, count);
        let slot = zone.board().slot(0).unwrap();
        assert_eq!((slot.totals().picks, slot.ttft().count(), slot.ttft().sum_us()), (2, 2, 2000));
    });
}

#[test]
fn an_average_lies_between_what_two_workers_saw() {
    fn between(tpot: Average) -> bool {
        tpot.get().is_none_or(|us| (10.0..=20.0).contains(&us)) && tpot.count() <= 3
    }
    writes(1, |zone| {
        let learn = |us| move |board: Board| board.slot(0).unwrap().learned().tpot().learn(us);
        let twice = move |board: Board| [10.0, 14.0].iter().for_each(|us| learn(*us)(board));
        let see_and_learn = move |board: Board| {
            assert!(between(board.slot(0).unwrap().learned().tpot()));
            learn(20.0)(board);
        };
        zone.both(twice, see_and_learn);
        let tpot = zone.board().slot(0).unwrap().learned().tpot();
        assert!(between(tpot) && tpot.count() > 0 && tpot.get().is_some(), "{tpot:?}");
    });
}

#[test]
fn a_gap_is_as_long_as_one_that_was_heard() {
    writes(1, |zone| {
        zone.board().slot(0).unwrap().learned().hear(1000, true);
        let hear = |now| move |board: Board| board.slot(0).unwrap().learned().hear(now, true);
        zone.both(hear(1020), hear(1040));
        let learned = zone.board().slot(0).unwrap().learned();
        assert!([1020, 1040].contains(&learned.heard_at()));
        assert!(
            learned.gap().get().is_some_and(|ms| (20.0..=40.0).contains(&ms)),
            "{:?}",
            learned.gap().get()
        );
    });
}

/// As long as nothing is known the first prompt says where the quantile is; who counts it must know it.
#[test]
fn the_first_prompts_say_how_long_prompts_are() {
    writes(1, |zone| {
        let learn = |board: Board| board.prompts(0).unwrap().learn(4000);
        zone.both(learn, learn);
        let prompts = zone.board().prompts(0).unwrap();
        (0..20).for_each(|_| prompts.learn(4000));
        assert!(prompts.tokens(4000) == 1000, "{}", prompts.tokens(4000));
    });
}

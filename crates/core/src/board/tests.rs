use super::*;
use crate::load::Load;
use crate::model::{CAPACITY, Models, key as model_key};
use proptest::prelude::*;

const SHAPE: Shape = Shape { upstreams: 2, slots: 5, rows: 3 };

fn zone(shape: Shape) -> Vec<AtomicU64> {
    (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect()
}

fn load(x: f64) -> Load {
    Load { waiting: Some(x), running: None, cache: Some(x / 10.0), closed: x % 2.0 == 1.0 }
}

fn good(at: u64, x: f64) -> Outcome {
    Outcome { at, took: 1500, result: Ok((1, load(x))) }
}

#[test]
fn a_sample_comes_back_and_changes_the_version_of_its_upstream() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let index = board.claim(77, 1, 10).unwrap();
    let slot = board.slot(index).unwrap();
    assert_eq!(slot.sample(), None);
    assert_eq!(slot.last_poll(), None);
    for x in [1.0, 2.0, 3.0] {
        let before = (board.version(0), board.version(1));
        board.publish(index, &good(1000, x));
        assert_eq!(slot.sample(), Some(Sample { at: 1000, engine: 1, load: load(x), own: 0 }));
        assert_eq!((board.version(0), board.version(1)), (before.0, before.1 + 1));
    }
    board.publish(index, &Outcome { at: 2000, took: 3, result: Err(4) });
    assert_eq!(slot.sample().unwrap().at, 1000, "a fault leaves the last sample");
    assert_eq!((slot.last_fault(), slot.faults(4), slot.faults(5)), (Some(4), 1, 0));
    assert_eq!(slot.last_poll(), Some((2000, 3, 4)));
}

/// Promise 4.
#[test]
fn a_slot_whose_claim_was_cut_short_is_made_whole() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let index = board.claim(77, 1, 10).unwrap();
    // As after a kill between the key and the number of the upstream.
    board.slot(index).unwrap().belong(0);
    assert_eq!(board.claim(77, 1, 20), Some(index));
    let before = board.version(1);
    board.publish(index, &good(1000, 1.0));
    assert_eq!((board.slot(index).unwrap().upstream(), board.version(1)), (1, before + 1));
}

#[test]
fn a_reader_never_sees_half_a_sample() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let index = board.claim(77, 1, 10).unwrap();
    let slot = board.slot(index).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..200_000u32).for_each(|i| board.publish(index, &good(u64::from(i), f64::from(i)))));
        for _ in 0..200_000 {
            if let Some(sample) = slot.sample() {
                assert_eq!(sample.load, load(sample.at as f64));
            }
        }
    });
}

/// Models `first` to `end`, each with a utilization of its own.
fn models(first: usize, end: usize) -> Models {
    let mut models = Models::default();
    (first..end).for_each(|n| models.add(&format!("m{n}"), Some(n as f64)));
    models
}

#[test]
fn a_reader_never_sees_the_models_of_two_answers() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let index = board.claim(77, 1, 10).unwrap();
    let slot = board.slot(index).unwrap();
    let lists = [models(0, CAPACITY), models(1, 4), models(5, 9)];
    std::thread::scope(|scope| {
        let writer =
            || (0..20_000).for_each(|i| board.publish_with(index, &good(1, 1.0), Some(&lists[i % 3])));
        scope.spawn(writer);
        for _ in 0..20_000 {
            let Some(served) = slot.served() else { continue };
            let keys: Vec<_> = served.models().map(|(key, _)| key).collect();
            let list = |models: &Models| {
                models.list.iter().map(|model| model_key(model.name.as_bytes())).eq(keys.iter().copied())
            };
            assert!(lists.iter().any(list), "{served:?}");
        }
    });
}

#[test]
fn models_are_known_by_key_and_number_and_up_to_a_bound() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let index = board.claim(77, 1, 10).unwrap();
    let slot = board.slot(index).unwrap();
    board.publish(index, &good(1, 1.0));
    assert_eq!(slot.served(), None, "it says nothing of them");
    let mut all = models(0, CAPACITY + 1);
    board.publish_with(index, &good(1, 1.0), Some(&all));
    let served = slot.served().unwrap();
    assert_eq!((served.models().count(), served.more), (CAPACITY, true));
    let last = (model_key(b"m31"), Some(31.0));
    assert_eq!(served.models().last(), Some(last));
    assert_eq!((slot.model_name(31, last.0).as_deref(), slot.model_name(32, last.0)), (Some("m31"), None));

    all.list.truncate(2);
    all.list[0].name = "n".repeat(64);
    all.list[1].name = format!("{}é", "n".repeat(63));
    (all.list[1].utilization, all.more) = (None, false);
    board.publish_with(index, &good(1, 1.0), Some(&all));
    let served = slot.served().unwrap();
    let found: Vec<_> = served.models().collect();
    assert_eq!((found.len(), served.more, found[1].1), (2, false, None));
    assert_eq!(slot.model_name(0, found[0].0), Some("n".repeat(64)));
    assert_eq!(slot.model_name(1, found[1].0), Some(format!("{}…", "n".repeat(63))), "cut");
    assert_eq!(slot.model_name(2, 1), None, "another's");
    board.publish_with(index, &good(1, 1.0), Some(&Models::default()));
    assert_eq!(slot.served().unwrap().models().count(), 0, "it says that there are none");
}

#[test]
fn every_record_has_words_of_its_own_whatever_the_numbers() {
    for (upstreams, slots, rows) in [(0, 0, 0), (1, 1, 1), (1, 7, 3), (3, 64, 16), (5, 129, 1), (2, 1, 257)] {
        let shape = Shape { upstreams, slots, rows };
        let words = zone(shape);
        assert!(Board::format(&words[1..], shape).is_none(), "{shape:?}: a word too few");
        let board = Board::format(&words, shape).unwrap();
        (0..upstreams).for_each(|upstream| board.set_upstream_key(upstream, 1 + upstream as u64));
        (0..slots).for_each(|slot| assert!(board.claim(1 + slot as u64, 0, u64::MAX).is_some()));
        board.slots().for_each(|(_, slot)| slot.ttft().add(1));
        board.rows().for_each(|row| {
            row.begin(u32::MAX);
            (0..slots).for_each(|slot| row.enter(slot, InFlight::one(9)));
        });
        assert_eq!(Board::open(&words).map(|board| board.shape()), Some(shape));
        assert!((0..upstreams).all(|upstream| board.upstream_key(upstream) == 1 + upstream as u64));
        assert!((1..=slots as u64).all(|key| board.find(key).is_some()), "{shape:?}");
        assert!(board.slots().all(|(_, slot)| slot.ttft().count() == 1));
        assert!((0..slots).all(|slot| board.in_flight(slot).active == rows as u64), "{shape:?}");
        assert!(
            board.slot(slots).is_none() && board.row(rows).is_none() && board.prompts(upstreams).is_none()
        );
    }
}

#[test]
fn peers_keep_their_slots_and_a_full_board_says_so() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let slots: Vec<_> = (1..=5).map(|key| board.claim(key * 5, 0, 0).unwrap()).collect();
    assert_eq!(slots, [0, 1, 2, 3, 4]);
    assert_eq!(board.claim(15, 0, 0), Some(2));
    assert_eq!((board.claim(99, 0, 0), board.refused()), (None, 1));
}

#[test]
fn only_what_was_used_is_looked_at() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    assert_eq!((board.slots_used(), board.used_rows().count()), (0, 0));
    board.claim(7, 0, 1).unwrap();
    board.claim(12, 0, 1).unwrap();
    board.row(1).unwrap().begin(100);
    assert_eq!((board.slots_used(), board.used_rows().count()), (2, 2));
    // Another process was killed between the claim of a slot and the record that the slot is used.
    assert!(board.slot(2).unwrap().claim(20, 1));
    assert_eq!((board.find(20), board.slots_used()), (None, 2));
    assert_eq!((board.claim(20, 0, 1), board.slots_used()), (Some(2), 3));
}

#[test]
fn only_slots_of_peers_that_are_gone_and_idle_are_reclaimed() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let [seen, busy, gone] = [11, 12, 13].map(|key| board.claim(key, 0, 1).unwrap());
    board.publish(gone, &good(5, 1.0));
    board.slot(seen).unwrap().see(1000);
    board.row(2).unwrap().begin(100);
    board.row(2).unwrap().enter(busy, InFlight::one(9));
    assert_eq!(board.reclaim(1000, 500), 1);
    assert_eq!([11, 12, 13].map(|key| board.find(key).is_some()), [true, true, false]);
    let again = board.claim(13, 1, 1000).unwrap();
    assert_eq!(board.slot(again).unwrap().sample(), None, "a new peer starts with nothing known");
}

/// Who claims a slot says when right after, if nobody kills it in between.
#[test]
fn a_slot_that_nobody_ever_saw_has_its_time_too() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    board.claim(11, 0, 0).unwrap();
    assert_eq!([1000, 1500, 1501].map(|now| board.reclaim(now, 500)), [0, 0, 1]);
}

#[test]
fn in_flight_counts_add_up_over_the_workers_and_vanish_with_one() {
    let words = zone(SHAPE);
    let board = Board::format(&words, SHAPE).unwrap();
    let rows: Vec<_> = board.rows().collect();
    rows[0].begin(100);
    rows[1].begin(101);
    rows[0].enter(3, InFlight::one(9));
    rows[1].enter(3, InFlight::one(9));
    rows[1].enter(3, InFlight::one(9));
    rows[1].enter(4, InFlight::one(9));
    assert_eq!((board.in_flight(3).active, board.in_flight(4).active), (3, 1));
    rows[0].leave(3, InFlight::one(9));
    rows[0].leave(3, InFlight::one(9));
    assert_eq!(board.in_flight(3).active, 2, "a count never falls under 0");
    rows[1].forget(100);
    assert_eq!(board.in_flight(3).active, 2, "the row is another's");
    rows[1].forget(101);
    assert_eq!((board.in_flight(3).active, board.in_flight(4).active), (0, 0));
}

#[test]
fn the_lease_has_one_holder_who_loses_it_by_death_silence_or_giving_back() {
    let words = zone(SHAPE);
    let lease = Board::format(&words, SHAPE).unwrap().lease();
    let alive = |_| true;
    let first = lease.acquire(1, 1000, alive).unwrap();
    assert_eq!(lease.acquire(2, 1100, alive), None);
    assert!(lease.renew(first, 2400));
    assert_eq!(lease.acquire(2, 3900, alive), None);
    let second = lease.acquire(2, 3901, alive).unwrap();
    assert!(!lease.renew(first, 4000), "silence");
    let third = lease.acquire(3, 3950, |pid| pid != 2).unwrap();
    assert!(!lease.renew(second, 4000), "death");
    lease.release(second);
    assert_eq!(lease.holder(), Some(third), "only the holder gives back");
    lease.release(third);
    let fourth = lease.acquire(1, 3951, alive).unwrap();
    assert_ne!(fourth, first, "the same process is another holder");
}

#[test]
fn a_reload_carries_over_what_is_known() {
    let words = zone(SHAPE);
    let old = Board::format(&words, SHAPE).unwrap();
    let kept = old.claim(21, 0, 0).unwrap();
    old.claim(22, 1, 0).unwrap();
    [501, 502].iter().enumerate().for_each(|(number, key)| old.set_upstream_key(number, *key));
    old.publish_with(kept, &good(900, 4.0), Some(&models(3, 5)));
    old.slot(kept).unwrap().count_pick();
    old.slot(kept).unwrap().ttft().add(20_000);
    old.row(0).unwrap().enter(kept, InFlight::one(9));
    old.lease().acquire(1, 800, |_| true).unwrap();

    let shape = Shape { upstreams: 3, slots: 4, rows: 8 };
    let words = zone(shape);
    let new = Board::format(&words, shape).unwrap();
    new.set_upstream_key(2, 501);
    new.carry_over(&old, 1000);
    let slot = new.slot(new.find(21).unwrap()).unwrap();
    assert_eq!((slot.upstream(), slot.seen_at()), (2, 1000));
    assert_eq!(slot.sample().unwrap(), Sample { at: 900, engine: 1, load: load(4.0), own: 0 });
    assert_eq!((slot.totals().picks, slot.ttft().count()), (1, 1));
    let served: Vec<_> = slot.served().unwrap().models().collect();
    assert_eq!(served, [(model_key(b"m3"), Some(3.0)), (model_key(b"m4"), Some(4.0))]);
    assert_eq!(slot.model_name(0, served[0].0).as_deref(), Some("m3"));
    assert_eq!(new.find(22), None, "its upstream is gone");
    assert_eq!(
        new.in_flight(new.find(21).unwrap()).active,
        0,
        "the old workers' requests stay on the old board"
    );
    assert_eq!(new.lease().acquire(2, 1000, |_| true), None, "the old poller may still be at work");
    assert!(new.lease().acquire(2, 2301, |_| true).is_some());
}

#[test]
fn quantiles_are_right_to_nine_per_cent() {
    let words = zone(SHAPE);
    let ttft = Board::format(&words, SHAPE).unwrap().slot(0).unwrap().ttft();
    assert_eq!((ttft.mean_ms(), ttft.quantile_ms(0.5)), (None, None));
    (1..=1000).for_each(|ms| ttft.add(ms * 1000));
    assert_eq!(ttft.mean_ms(), Some(500.5));
    for q in [0.1, 0.5, 0.9, 0.99] {
        let got = ttft.quantile_ms(q).unwrap();
        assert!((got / (1000.0 * q) - 1.0).abs() < 0.09, "{q}: {got}");
    }
    ttft.add(0);
    ttft.add(u64::MAX / 2);
    assert_eq!(ttft.count(), 1002);
    assert!(ttft.octaves().is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
}

proptest! {
    #[test]
    fn any_words_are_a_board_or_refused(mut raw in prop::collection::vec(any::<u64>(), 0..2000), valid: bool, key: u64) {
        if let (true, Some(header)) = (valid, raw.get_mut(..4)) {
            header.copy_from_slice(&[MAGIC, 1, 2, 3]);
        }
        let words: Vec<_> = raw.into_iter().map(AtomicU64::new).collect();
        if let Some(board) = Board::open(&words) {
            for (index, slot) in board.slots() {
                let _ = (slot.sample(), slot.last_fault(), slot.last_poll(), slot.totals(), board.in_flight(index));
                let _ = (slot.served().map(|served| served.models().count()), slot.model_name(31, key));
                let _ = (slot.ttft().quantile_ms(0.99), slot.ttft().octaves().count());
                board.publish(index, &good(1, 1.0));
            }
            let _ = (board.claim(key.max(1), 7, 1), board.version(9), board.reclaim(u64::MAX, 0));
            let _ = board.lease().acquire(3, key, |_| false);
        }
    }
}

#[test]
fn there_is_room_for_every_kind_of_fault() {
    assert!(crate::fault::Fault::ALL.len() <= FAULTS);
}

use super::*;
use crate::board::{Condition, Shape};
use crate::reason::Reason;
use std::sync::atomic::AtomicU64;

const SHAPE: Shape = Shape { upstreams: 1, slots: 2, rows: 1 };

/// A board with two peers and one worker.
struct Zone(Vec<AtomicU64>);

impl Zone {
    fn new() -> Self {
        let zone = Zone((0..SHAPE.words().unwrap()).map(|_| AtomicU64::new(0)).collect());
        let board = Board::format(&zone.0, SHAPE).unwrap();
        (1..=2).for_each(|key| assert!(board.claim(key, 0, 0).is_some()));
        board.row(0).unwrap().begin(1);
        zone
    }

    fn ledger(&self) -> Ledger<'_> {
        let board = Board::open(&self.0).unwrap();
        Ledger { board, row: board.row(0).unwrap() }
    }

    fn slot(&self) -> Slot<'_> {
        self.ledger().board.slot(0).unwrap()
    }

    fn in_flight(&self) -> (u64, u64) {
        let InFlight { active, prefill, .. } = self.ledger().board.in_flight(0);
        (active, prefill)
    }
}

/// When tries end, where that does not matter.
const NOW: u64 = 1_200_000;

/// The peer of a slot as it was taken, with `others` requests of others there.
fn to(slot: u32, others: f64) -> Taken {
    Taken { place: 0, slot: Some(slot), others, score: None, reason: Reason::Score, trial: false }
}

/// Events of a token each.
fn tokens(n: u32) -> Part {
    Part { events: n, tokens: f64::from(n) }
}

/// An answer in one piece.
fn whole(tokens: f64) -> Part {
    Part { events: 1, tokens }
}

#[test]
fn the_prompt_weighs_until_the_first_text_and_the_request_until_its_end() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let first = tries.begin(at, &to(0, 0.0), 100, 1_000_000).unwrap();
    let second = tries.begin(at, &to(0, 0.0), 50, 1_000_001).unwrap();
    assert_eq!(zone.in_flight(), (2, 150));
    tries.count(at, first, Part::default(), 1_010_000);
    assert_eq!(zone.in_flight(), (2, 150), "a header is no text");
    tries.count(at, first, tokens(1), 1_020_000);
    tries.count(at, first, tokens(1), 1_040_000);
    assert_eq!(zone.in_flight(), (2, 50));
    tries.end(at, second, Ending::Failed, NOW);
    assert_eq!(zone.in_flight(), (1, 0));
    tries.end(at, first, Ending::Aborted, NOW);
    tries.end(at, first, Ending::Aborted, NOW);
    assert_eq!((zone.in_flight(), tries.len()), ((0, 0), 0));
    let totals = zone.slot().totals();
    assert_eq!((totals.picks, totals.failures, totals.aborts, totals.completions), (2, 1, 1, 0));
    assert_eq!(zone.slot().learned().tpot().get(), None, "what did not complete teaches nothing");
}

#[test]
fn a_stream_teaches_both_times() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let _other = tries.begin(at, &to(0, 0.0), 0, 900_000).unwrap();
    let id = tries.begin(at, &to(0, 10.0), 200, 1_000_000).unwrap();
    assert!(tries.count(at, id, tokens(1), 1_050_000), "the first token");
    for n in 1..=100 {
        tries.count(at, id, tokens(1), 1_050_000 + n * 20_000);
    }
    tries.end(at, id, Ending::Completed, NOW);
    let learned = zone.slot().learned();
    assert!((learned.tpot().get().unwrap() / 20_000.0 - 1.0).abs() < 0.02);
    assert!((learned.prefill().get().unwrap() - 50_000.0 / 500.0).abs() < 1e-9, "of 200 tokens and 300");
    let slope = learned.tpot().get().unwrap() / (50.0 + 1.0 + 0.9 * 10.0);
    assert!((learned.slope().get().unwrap() / slope - 1.0).abs() < 1e-9, "one request, and ten of others");
}

#[test]
fn an_answer_in_one_piece_lets_go_of_its_prompt_in_time_and_teaches_the_time_per_token() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    zone.slot().learned().prefill().learn(100.0);
    zone.slot().learned().pieces().learn(1.5);
    let id = tries.begin(at, &to(0, 0.0), 200, 1_000_000).unwrap();
    tries.sweep(at, 1_090_000);
    assert_eq!(zone.in_flight(), (1, 200));
    tries.sweep(at, 1_201_000);
    assert_eq!(zone.in_flight(), (1, 0), "four times the 50 ms that 500 tokens take");
    tries.count(at, id, whole(200.0), 5_050_000);
    tries.end(at, id, Ending::Completed, NOW);
    assert!((zone.slot().learned().tpot().get().unwrap() - 20_000.0).abs() < 1e-6, "200 tokens in 4 s");
    assert!((zone.slot().learned().slope().get().unwrap() - 400.0).abs() < 1e-6, "and of an idle peer");
}

#[test]
fn what_was_not_generated_teaches_nothing() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let page = whole(500.0);
    for (prompt, took) in [(0, 4_000), (0, 4_000_000), (100, 20_000)] {
        let id = tries.begin(at, &to(0, 0.0), prompt, 1_000_000).unwrap();
        tries.count(at, id, page, 1_000_000 + took);
        tries.end(at, id, Ending::Completed, NOW);
        assert_eq!(zone.slot().learned().tpot().get(), None, "{prompt} tokens, {took} µs");
    }
    assert_eq!(zone.slot().learned().pieces().count(), 1, "the last one could have been generated");
}

#[test]
fn what_a_long_idle_peer_taught_counts_as_one_answer() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let learned = zone.slot().learned();
    learned.hear(1000, false);
    (0..100).for_each(|_| learned.tpot().learn(800_000.0));
    let mut answer = |picked_at: u64| {
        let id = tries.begin(at, &to(0, 0.0), 200, picked_at).unwrap();
        (0..=100).for_each(|n| {
            tries.count(at, id, tokens(1), picked_at + (n + 1) * 20_000);
        });
        tries.end(at, id, Ending::Completed, NOW);
        (learned.tpot().get().unwrap() / 1000.0).round()
    };
    assert_eq!(answer(3_000_000), 777.0, "one of 33");
    assert_eq!(answer(30_000_000), 398.0, "one of two");
    assert_eq!(answer(33_000_000), 272.0, "one of three: it has not been idle for long");
}

#[test]
fn what_has_no_room_is_not_counted() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(1));
    let at = zone.ledger();
    let room = tries.tries.capacity();
    let ids: Vec<_> = (0..room).filter_map(|_| tries.begin(at, &to(1, 0.0), 1, 1)).collect();
    assert_eq!((ids.len(), tries.begin(at, &to(1, 0.0), 1, 1)), (room, None));
    tries.end(at, ids[0], Ending::Completed, NOW);
    let again = tries.begin(at, &to(1, 0.0), 1, 1).unwrap();
    assert_ne!(again, ids[0]);
    tries.end(at, ids[0], Ending::Completed, NOW);
    assert_eq!(tries.len(), room, "a name of a try that has ended names none");
}

#[test]
fn where_answers_are_streams_a_prompt_weighs_until_its_first_text() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    zone.slot().learned().prefill().learn(100.0);
    zone.slot().learned().pieces().learn(2.0);
    let id = tries.begin(at, &to(0, 0.0), 200, 1_000_000).unwrap();
    tries.sweep(at, 60_000_000);
    assert_eq!(zone.in_flight(), (1, 200), "the engine may hang");
    tries.count(at, id, tokens(1), 61_000_000);
    assert_eq!((zone.in_flight(), at.board.in_flight(0).streams), ((1, 0), 1));
    tries.end(at, id, Ending::Aborted, NOW);
    assert_eq!(at.board.in_flight(0), InFlight::default());
}

fn event(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

/// Sends a request to the peer at 1 s, of whose answer so many events come 20 ms apart from 1.1 s on; `with` is called before
/// each.
fn answer(zone: &Zone, events: u64, mut with: impl FnMut(&mut Tries, Id, u64, u64)) {
    let (at, mut tries) = (zone.ledger(), Tries::with_capacity(4));
    let id = tries.begin(at, &to(0, 0.0), 200, 1_000_000).unwrap();
    for n in 0..events {
        let now = 1_100_000 + n * 20_000;
        with(&mut tries, id, n, now);
        tries.read(at, id, event(" a").as_bytes(), false, now);
    }
    tries.end(at, id, Ending::Completed, NOW);
}

#[test]
fn comments_and_events_without_text_are_no_beginning() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let id = tries.begin(at, &to(0, 0.0), 100, 1_000_000).unwrap();
    for quiet in [": keep-alive\n\n", &event("")] {
        assert!(!tries.read(at, id, quiet.as_bytes(), false, 1_010_000));
    }
    assert_eq!((zone.in_flight(), zone.slot().learned().heard_at()), ((1, 100), 0));
    assert!(tries.read(at, id, event(" a").as_bytes(), false, 1_020_000));
    assert!(!tries.read(at, id, event(" a").as_bytes(), false, 1_040_000));
    assert!(!tries.read(at, id, b": keep-alive\n\n", false, 1_090_000));
    assert_eq!((zone.in_flight(), zone.slot().learned().heard_at()), ((1, 0), 1_040));
    assert_eq!(zone.slot().learned().gap().get(), Some(20.0));
}

#[test]
fn errors_and_what_cannot_be_read_teach_nothing() {
    let zone = Zone::new();
    answer(&zone, 40, |tries, id, n, _| {
        if n == 0 {
            tries.give_up(id)
        }
    });
    answer(&zone, 40, |tries, id, n, now| {
        if n == 20 {
            tries.read(zone.ledger(), id, b"data: {\"error\":{\"message\":\"x\"}}\n\n", false, now);
        }
    });
    let learned = zone.slot().learned();
    let known =
        || [learned.tpot().get(), learned.slope().get(), learned.prefill().get(), learned.pieces().get()];
    assert_eq!(known(), [None; 4]);
    answer(&zone, 40, |_, _, _, _| ());
    assert_eq!(known().map(|value| value.is_some()), [true; 4]);
    assert!((learned.tpot().get().unwrap() / 20_000.0 - 1.0).abs() < 0.01);
}

#[test]
fn what_was_held_back_teaches_nothing() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    for gap in [0, 100] {
        let id = tries.begin(at, &to(0, 0.0), 200, 1_000_000).unwrap();
        (0..40).for_each(|n| {
            tries.read(at, id, event(" a").as_bytes(), false, 1_900_000 + n * gap);
        });
        tries.end(at, id, Ending::Completed, NOW);
    }
    let learned = zone.slot().learned();
    assert_eq!([learned.tpot().get(), learned.prefill().get(), learned.pieces().get()], [None; 3]);
}

#[test]
fn while_the_client_takes_nothing_no_time_passes_for_the_engine() {
    let zone = Zone::new();
    let streams = || zone.ledger().board.in_flight(0).streams;
    answer(&zone, 40, |tries, id, n, now| {
        let at = zone.ledger();
        if n == 10 {
            assert_eq!(streams(), 1);
            tries.blocked(at, id, true, now - 10_000);
            tries.blocked(at, id, true, now - 9_000);
            assert_eq!(streams(), 0);
        }
        if n == 11 {
            tries.blocked(at, id, false, now - 1_000);
            assert_eq!((streams(), zone.slot().learned().heard_at()), (1, (now - 1_000) / 1000));
        }
    });
    assert_eq!(streams(), 0);
    // 29 ms of 780: what the client took no time for is the engine's.
    let tpot = zone.slot().learned().tpot();
    assert!((tpot.get().unwrap() / (751_000.0 / 39.0) - 1.0).abs() < 0.001, "{:?}", tpot.get());
    // 100 ms of 780 are too much.
    answer(&zone, 40, |tries, id, n, now| {
        if n == 10 || n == 15 {
            tries.blocked(zone.ledger(), id, n == 10, now);
        }
    });
    // One that ends while its client takes nothing leaves no stream behind.
    answer(&zone, 10, |tries, id, n, now| {
        if n == 5 {
            tries.blocked(zone.ledger(), id, true, now)
        }
    });
    assert_eq!((tpot.count(), streams()), (1, 0));
    // Blocked from the start on, it is no stream that is waited for.
    answer(&zone, 2, |tries, id, n, now| match n {
        0 => tries.blocked(zone.ledger(), id, true, now),
        _ => assert_eq!(streams(), 0),
    });
}

#[test]
fn failures_count_until_a_good_answer() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let condition = |ms: u64| zone.slot().health().condition(ms);
    let mut ends = |begun: u64, ending: Ending, ended: u64| {
        let id = tries.begin(at, &to(0, 0.0), 100, begun * 1000).unwrap();
        tries.end(at, id, ending, ended * 1000);
    };
    let version = at.board.version(0);
    ends(1_000, Ending::Refused, 1_010);
    assert_eq!((condition(1_010), at.board.version(0)), (Condition::Well, version), "the client's mistake");
    ends(1_020, Ending::Completed, 1_030);
    ends(1_040, Ending::Failed, 1_050);
    assert_eq!((condition(1_050), at.board.version(0)), (Condition::Fails { until: 3_050 }, version + 1));
    ends(1_060, Ending::Completed, 1_070);
    assert_eq!((condition(1_070), at.board.version(0)), (Condition::Well, version + 2));
}

#[test]
fn lists_that_come_show_nothing_of_an_engine_that_generates_nothing() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let (at, health) = (zone.ledger(), zone.slot().health());
    let mut ends = |prompt: u32, ending: Ending, at_ms: u64| {
        let id = tries.begin(at, &to(0, 0.0), prompt, at_ms * 1000).unwrap();
        tries.end(at, id, ending, at_ms * 1000 + 10);
        health.failures()
    };
    assert_eq!([1, 2, 3].map(|ms| ends(0, Ending::Refused, ms)), [0; 3], "pages that nobody has");
    assert_eq!((ends(100, Ending::Failed, 10), ends(0, Ending::Completed, 20)), (1, 1));
    assert_eq!(ends(100, Ending::Completed, 30), 0);
    assert_eq!(
        (ends(0, Ending::Failed, 40), ends(0, Ending::Completed, 50)),
        (1, 0),
        "where nothing is generated"
    );
}

#[test]
fn clients_that_give_up_count_where_they_had_reason_to() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let mut fails = |usual_ms: u64, text_at: &[u64], gives_up: u64| {
        let learned = zone.slot().learned();
        (0..300).for_each(|_| learned.wait().learn(usual_ms as f64 * 1e3));
        (0..300).for_each(|_| learned.gap().learn(20.0));
        let id = tries.begin(at, &to(0, 0.0), 100, 1_000_000).unwrap();
        text_at.iter().for_each(|ms| {
            tries.count(at, id, tokens(1), (1000 + ms) * 1000);
        });
        tries.end(at, id, Ending::Aborted, (1000 + gives_up) * 1000);
        zone.slot().health().succeed(u64::MAX)
    };
    assert!(!fails(50, &[], 400), "in haste");
    assert!(fails(50, &[], 600));
    assert!(!fails(400, &[], 700), "no longer than twice what is usual");
    assert!(!fails(50, &[100, 120, 140], 500), "a stream that was read enough of");
    assert!(fails(50, &[100, 120, 140], 700), "a stream that stopped");
}

#[test]
fn an_error_in_the_body_of_a_success_is_a_failure() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let id = tries.begin(at, &to(0, 0.0), 100, 1_000_000).unwrap();
    tries.read(at, id, b"{\"object\":\"error\",\"message\":\"x\"}", false, 1_010_000);
    tries.end(at, id, Ending::Completed, 1_010_000);
    let totals = zone.slot().totals();
    assert_eq!((totals.failures, totals.completions, zone.slot().health().failures()), (1, 0, 1));
}

#[test]
fn a_client_that_took_nothing_had_no_reason_to_give_up() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    let id = tries.begin(at, &to(0, 0.0), 100, 1_000_000).unwrap();
    tries.count(at, id, tokens(1), 1_100_000);
    tries.blocked(at, id, true, 1_100_000);
    tries.end(at, id, Ending::Aborted, 60_000_000);
    assert_eq!(zone.slot().health().failures(), 0);
}

#[test]
fn a_stream_that_keeps_coming_shows_that_its_peer_is_well() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let at = zone.ledger();
    zone.slot().health().fail(0, 1_000);
    let before = tries.begin(at, &to(0, 0.0), 100, 500_000).unwrap();
    let after = tries.begin(at, &to(0, 0.0), 100, 3_000_000).unwrap();
    let failures = || zone.slot().health().failures();
    [600, 1_700, 3_000].iter().for_each(|ms| {
        tries.count(at, before, tokens(1), ms * 1000);
    });
    assert_eq!(failures(), 1, "it began before the failure");
    [3_100, 3_500].iter().for_each(|ms| {
        tries.count(at, after, tokens(1), ms * 1000);
    });
    assert_eq!(failures(), 1, "an engine that hangs may have sent as much");
    tries.count(at, after, tokens(1), 4_200_000);
    assert_eq!(failures(), 0);
}

#[test]
fn a_trial_that_shows_nothing_leaves_the_right_to_try_to_another() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(4));
    let (at, health) = (zone.ledger(), zone.slot().health());
    health.fail(0, 1_000);
    assert!(health.begin_trial(3_000));
    let id = tries.begin(at, &Taken { trial: true, ..to(0, 0.0) }, 100, 3_000_000).unwrap();
    assert_eq!(health.condition(3_100), Condition::Fails { until: 63_000 });
    tries.end(at, id, Ending::Aborted, 3_100_000);
    assert_eq!(health.condition(3_100), Condition::OnTrial);
}

#[test]
fn five_answers_a_second_are_read_once_some_have_taught() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(1));
    let at = zone.ledger();
    let mut read = Vec::new();
    for n in 0..40 {
        let now = NOW + 50_000 * n;
        let id = tries.begin(at, &to(0, 0.0), 100, now).unwrap();
        if tries.reads(id) {
            read.push(n);
        }
        (0..10).for_each(|token| _ = tries.count(at, id, tokens(1), now + 1_000 + 4_000 * token));
        tries.end(at, id, Ending::Completed, now + 40_000);
    }
    assert_eq!(read, [0, 1, 2, 3, 4, 5, 6, 7, 11, 15, 19, 23, 27, 31, 35, 39]);
    assert_eq!(zone.slot().learned().tpot().count(), 16);
}

#[test]
fn an_answer_that_is_not_read_shows_life_and_errors() {
    let (zone, mut tries) = (Zone::new(), Tries::with_capacity(2));
    let at = zone.ledger();
    (0..8).for_each(|_| zone.slot().learned().wait().learn(1_000.0));
    let mut begin = |now: u64| {
        zone.slot().set_read_at(now / 1000);
        let id = tries.begin(at, &to(0, 0.0), 100, now).unwrap();
        assert!(!tries.reads(id));
        id
    };
    let (stream, whole) = (begin(NOW), begin(NOW));
    let event = b"data: {\"choices\":[{\"text\":\" a\"}]}\n\n";
    assert!(!tries.read(at, stream, b": keep-alive\n\n", false, NOW + 1), "a comment is no beginning");
    assert!(tries.read(at, stream, event, false, NOW + 20_000));
    assert!(!tries.read(at, stream, event, false, NOW + 40_000));
    assert_eq!((at.board.in_flight(0).streams, zone.slot().learned().heard_at()), (1, NOW / 1000 + 40));
    tries.end(at, stream, Ending::Completed, NOW + 50_000);
    assert_eq!(zone.slot().learned().tpot().get(), None);
    assert!(tries.read(at, whole, b"{\"error\":{\"code\":500}}", true, NOW + 60_000));
    tries.end(at, whole, Ending::Completed, NOW + 60_000);
    assert_eq!((zone.slot().totals().failures, zone.slot().health().failures()), (1, 1));
}

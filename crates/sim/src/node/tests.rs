use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A node without noise, so that times can be computed by hand.
fn quiet(name: &str) -> NodeSpec {
    NodeSpec { noise: 0.0, ..NodeSpec::named(name).expect("a preset") }
}

fn ms(at: Nanos) -> f64 {
    at as f64 / NANOS_PER_MS
}

/// Lets the node run until it is idle.
fn drain(node: &mut Node) -> Vec<Event> {
    let mut out = Vec::new();
    while let Some(at) = node.next_event_at() {
        node.advance(at, &mut out);
    }
    out
}

fn time_of(events: &[Event], id: u64, kind: EventKind) -> f64 {
    ms(events.iter().find(|event| event.id == id && event.kind == kind).expect("an event").at)
}

#[test]
fn a_request_alone_takes_what_the_formula_says() {
    for spec in NODE_TYPES.iter().map(|spec| quiet(spec.name)) {
        let (prompt, output) = (300, 50);
        let mut node = Node::new(spec, 1);
        node.submit(0, Request { id: 7, prompt, output }).expect("it fits");
        let events = drain(&mut node);
        let first = spec.arrival.base + spec.step.base + spec.step.prefill * f64::from(prompt);
        let steps: f64 = (0..output - 1)
            .map(|step| spec.step.base + spec.step.decode + spec.step.resident * f64::from(prompt + step))
            .sum();
        assert!((time_of(&events, 7, EventKind::FirstToken) - first).abs() < 1e-3);
        assert!((time_of(&events, 7, EventKind::Done) - first - steps).abs() < 1e-3);
        assert_eq!(events.len(), 2);
    }
}

#[test]
fn a_long_prompt_is_computed_in_chunks() {
    let spec = quiet("4gpu-tp");
    let mut node = Node::new(spec, 1);
    node.submit(0, Request { id: 1, prompt: 5000, output: 1 }).expect("it fits");
    let events = drain(&mut node);
    let chunks = [(2048, 0), (2048, 2048), (904, 4096)];
    let expected: f64 = chunks.iter().map(|&(chunk, resident)| spec.step.ms(chunk, 0, resident)).sum();
    assert!((time_of(&events, 1, EventKind::Done) - spec.arrival.base - expected).abs() < 1e-3);
    assert_eq!(node.counters().steps, 3);
}

#[test]
fn decoding_goes_before_prefill_in_the_budget() {
    let spec = NodeSpec { prefill_budget: 64, ..quiet("1gpu") };
    let mut node = Node::new(spec, 1);
    node.submit(0, Request { id: 1, prompt: 10, output: 100 }).expect("it fits");
    let mut out = Vec::new();
    let first = node.next_event_at().expect("an arrival");
    node.advance(first, &mut out);
    node.submit(first, Request { id: 2, prompt: 630, output: 2 }).expect("it fits");
    let events = drain(&mut node);
    let steps_of_prefill = 630_u32.div_ceil(63);
    assert_eq!(node.counters().steps, 100);
    let between = time_of(&events, 2, EventKind::Done) - time_of(&events, 1, EventKind::FirstToken);
    assert!(between > f64::from(steps_of_prefill) * spec.step.base);
}

#[test]
fn crowded_steps_cost_more() {
    let step = quiet("1gpu").step;
    assert!((step.ms(0, 35, 0) - (17.5 + 35.0 * 0.06)).abs() < 1e-9);
    assert!((step.ms(0, 45, 0) - (17.5 + 45.0 * 0.06 + 10.0 * 0.05)).abs() < 1e-9);
}

#[test]
fn speed_divides_every_time() {
    let at_speed = |speed| {
        let mut node = Node::new(quiet("1gpu").at_speed(speed), 1);
        for id in 0..60 {
            node.submit(0, Request { id, prompt: 100, output: 20 }).expect("it fits");
        }
        ms(drain(&mut node).last().expect("events").at)
    };
    assert!((at_speed(1.0) / at_speed(4.0) - 4.0).abs() < 1e-3);
}

#[test]
fn arrivals_wait_longer_at_a_busy_node_and_keep_their_order() {
    let spec = quiet("1gpu");
    let mut node = Node::new(spec, 1);
    let mut out = Vec::new();
    for id in 0..20 {
        node.submit(0, Request { id, prompt: 10, output: 400 }).expect("it fits");
    }
    let now = 100_000_000;
    node.advance(now, &mut out);
    assert_eq!((node.running(), node.waiting()), (20, 0));
    node.submit(now, Request { id: 20, prompt: 10, output: 1 }).expect("it fits");
    let ready = now + nanos(12.0 + 20.0 * 0.1);
    node.advance(ready - 1, &mut out);
    assert_eq!(node.requests(), 21);
    assert_eq!((node.running(), node.waiting()), (20, 0));
}

#[test]
fn the_batch_is_full_at_its_maximum_and_the_rest_waits() {
    let spec = NodeSpec { max_seqs: 4, ..quiet("1gpu") };
    let mut node = Node::new(spec, 1);
    for id in 0..10 {
        node.submit(0, Request { id, prompt: 16, output: 10 }).expect("it fits");
    }
    let mut out = Vec::new();
    node.advance(nanos(12.0), &mut out);
    assert_eq!((node.running(), node.waiting()), (4, 6));
    assert!((node.kv_use() - 4.0 / 4800.0).abs() < 1e-12);
    let events = drain(&mut node);
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Done).count(), 10);
    assert_eq!((node.requests(), node.resident(), node.kv_use()), (0, 0, 0.0));
}

#[test]
fn what_cannot_fit_is_refused() {
    let spec = NodeSpec { kv_blocks: 10, ..quiet("1gpu") };
    let mut node = Node::new(spec, 1);
    let limit = 161;
    assert_eq!(node.submit(0, Request { id: 1, prompt: 100, output: 62 }), Err(TooLong { limit }));
    assert_eq!(node.submit(0, Request { id: 1, prompt: 100, output: 61 }), Ok(()));
    drain(&mut node);
    assert_eq!(node.counters().finished, 1);
}

#[test]
fn a_preempted_request_starts_again_and_loses_no_token() {
    let spec = NodeSpec { kv_blocks: 20, ..quiet("1gpu") };
    let mut node = Node::new(spec, 1).with_tokens();
    for id in 0..3 {
        node.submit(0, Request { id, prompt: 90, output: 150 }).expect("it fits");
    }
    let events = drain(&mut node);
    assert!(node.counters().preemptions > 0);
    for id in 0..3 {
        let tokens = events.iter().filter(|event| event.id == id && event.kind != EventKind::Done).count();
        assert_eq!(tokens, 150);
    }
    // The oldest is never the victim, so they end in the order in which they came.
    let ends: Vec<_> =
        events.iter().filter(|event| event.kind == EventKind::Done).map(|event| event.id).collect();
    assert_eq!(ends, [0, 1, 2]);
    assert_eq!((node.kv_use(), node.counters().prompt_tokens), (0.0, 270));
}

#[test]
fn an_aborted_request_gives_everything_back() {
    let spec = NodeSpec { max_seqs: 2, prefill_budget: 100, ..quiet("1gpu") };
    let mut node = Node::new(spec, 1);
    let mut out = Vec::new();
    for id in 0..4 {
        node.submit(0, Request { id, prompt: 90, output: 50 }).expect("it fits");
    }
    // Request 0 decodes, 1 is in the middle of its prefill, 2 and 3 wait.
    node.advance(nanos(45.0), &mut out);
    assert_eq!((node.running(), node.waiting()), (2, 2));
    node.submit(nanos(45.0), Request { id: 4, prompt: 90, output: 50 }).expect("it fits");
    assert_eq!(node.requests(), 5);
    for id in 0..5 {
        assert!(node.abort(id), "{id}");
        assert!(!node.abort(id));
    }
    assert_eq!((node.requests(), node.resident(), node.kv_use()), (0, 0, 0.0));
    assert_eq!(drain(&mut node).len(), 0);
    assert_eq!(node.counters().aborted, 5);
}

#[test]
fn the_tokens_that_are_out_are_those_of_which_events_told() {
    let mut node = Node::new(quiet("1gpu"), 1).with_tokens();
    for id in 0..3 {
        node.submit(0, Request { id, prompt: 500 * (id as u32 + 1), output: 20 }).expect("it fits");
    }
    let mut told = [0u32; 3];
    for ms in 0..800 {
        let mut out = Vec::new();
        node.advance(ms * 1_000_000, &mut out);
        out.iter()
            .filter(|event| event.kind != EventKind::Done)
            .for_each(|event| told[event.id as usize] += 1);
        for (id, tokens) in node.coming() {
            assert_eq!(tokens, told[id as usize], "{id} at {ms} ms");
        }
    }
    assert!(told[0] > 5 && told[2] > 0);
}

#[test]
fn what_the_prefix_cache_holds_takes_room_and_no_time() {
    let first_token = |cached, pace| {
        let mut node = Node::new(quiet("1gpu"), 1);
        node.set_pace(pace);
        node.submit_cached(0, Request { id: 1, prompt: 3000, output: 2 }, cached).expect("it fits");
        let at = drain(&mut node)[0].at as f64 / NANOS_PER_MS;
        assert_eq!((node.resident(), node.kv_use()), (0, 0.0));
        at
    };
    // Two steps for 3000 tokens, one for 1000; 12 ms of arrival, 17.5 ms a step, .096 ms a token, and the first
    // 2048 tokens lie in the cache when the second step begins.
    assert!((first_token(0, 1.0) - (12.0 + 35.0 + 288.0 + 2048.0 * 0.00018)).abs() < 0.1);
    assert!((first_token(2000, 1.0) - (12.0 + 17.5 + 96.0)).abs() < 0.1);
    assert!((first_token(9999, 1.0) - (12.0 + 17.5 + 0.096)).abs() < 0.1, "one token is computed");
    assert!((first_token(2000, 5.0) - 5.0 * (12.0 + 17.5 + 96.0)).abs() < 0.1);
}

#[test]
fn the_seed_fixes_the_noise() {
    let run = |seed| {
        let mut node = Node::new(NodeSpec::named("1gpu").expect("a preset"), seed);
        node.submit(0, Request { id: 1, prompt: 10, output: 200 }).expect("it fits");
        drain(&mut node)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn how_often_time_is_let_pass_does_not_matter() {
    let run = |often: bool| {
        let mut node = Node::new(quiet("1gpu"), 1);
        for id in 0..8 {
            node.submit(0, Request { id, prompt: 10, output: 30 }).expect("it fits");
        }
        let mut out = Vec::new();
        if often {
            (0..2000).for_each(|ms| node.advance(ms * 1_000_000, &mut out));
        }
        node.advance(2_000_000_000, &mut out);
        out
    };
    assert_eq!(run(true), run(false));
}

#[derive(Debug, Clone)]
enum Act {
    Submit { prompt: u32, output: u32 },
    Abort(usize),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1u32..400, 1u32..120).prop_map(|(prompt, output)| Act::Submit { prompt, output }),
        1 => any::<usize>().prop_map(Act::Abort),
        3 => (0u64..300_000_000).prop_map(Act::Wait),
    ]
}

/// What was seen of one request.
#[derive(Default)]
struct Seen {
    output: u32,
    tokens: u32,
    gone: bool,
}

fn check(seen: &mut HashMap<u64, Seen>, events: &[Event]) {
    for event in events {
        let request = seen.get_mut(&event.id).expect("a request of ours");
        assert!(!request.gone, "an event after the end of {}", event.id);
        match event.kind {
            EventKind::FirstToken => {
                assert_eq!(request.tokens, 0);
                request.tokens = 1;
            }
            EventKind::Token => {
                assert!(request.tokens > 0);
                request.tokens += 1;
            }
            EventKind::Done => {
                assert_eq!(request.tokens, request.output);
                request.gone = true;
            }
        }
    }
    assert!(events.is_sorted_by_key(|event| event.at));
}

proptest! {
    /// Whatever is asked and taken back: every token comes once, blocks never run over and all are given back,
    /// nobody waits while the node idles.
    #[test]
    fn tokens_and_blocks_are_conserved(
        acts in proptest::collection::vec(act(), 1..60),
        kv_blocks in 33u32..200,
        max_seqs in 1u32..12,
        prefill_budget in 16u32..512,
    ) {
        let spec = NodeSpec { kv_blocks, max_seqs, prefill_budget, ..quiet("1gpu") };
        let mut node = Node::new(spec, 1).with_tokens();
        let mut seen: HashMap<u64, Seen> = HashMap::new();
        let (mut now, mut out, mut next) = (0, Vec::new(), 0);
        for act in acts {
            match act {
                Act::Submit { prompt, output } => {
                    prop_assert_eq!(node.submit(now, Request { id: next, prompt, output }), Ok(()));
                    seen.insert(next, Seen { output, ..Seen::default() });
                    next += 1;
                }
                Act::Abort(any) if next > 0 => {
                    let id = any as u64 % next;
                    let request = seen.get_mut(&id).expect("a request of ours");
                    prop_assert_eq!(node.abort(id), !request.gone);
                    request.gone = true;
                }
                Act::Abort(_) => {}
                Act::Wait(nanos) => {
                    now += nanos;
                    out.clear();
                    node.advance(now, &mut out);
                    check(&mut seen, &out);
                }
            }
            prop_assert!((0.0..=1.0).contains(&node.kv_use()));
            prop_assert!(node.running() <= max_seqs as usize);
            prop_assert!(node.resident() <= u64::from(kv_blocks) * u64::from(BLOCK_TOKENS));
            prop_assert!(node.next_event_at().is_some() || node.waiting() == 0);
            prop_assert_eq!(node.requests(), seen.values().filter(|request| !request.gone).count());
        }
        check(&mut seen, &drain(&mut node));
        prop_assert!(seen.values().all(|request| request.gone));
        prop_assert_eq!((node.requests(), node.resident(), node.kv_use()), (0, 0, 0.0));
        let counters = node.counters();
        prop_assert_eq!(counters.finished + counters.aborted, counters.submitted);
        prop_assert_eq!(counters.generation_tokens, seen.values().map(|request| u64::from(request.tokens)).sum::<u64>());
    }

    /// First come, first served: first tokens come in the order of the requests, preemption or not.
    #[test]
    fn first_tokens_come_in_order(
        requests in proptest::collection::vec((1u32..400, 1u32..120, 0u64..60_000_000), 1..40),
        kv_blocks in 33u32..200,
        max_seqs in 1u32..12,
    ) {
        let spec = NodeSpec { kv_blocks, max_seqs, ..quiet("1gpu-homogeneous") };
        let mut node = Node::new(spec, 1);
        let (mut now, mut out) = (0, Vec::new());
        for (id, &(prompt, output, gap)) in requests.iter().enumerate() {
            now += gap;
            node.advance(now, &mut out);
            prop_assert_eq!(node.submit(now, Request { id: id as u64, prompt, output }), Ok(()));
        }
        out.extend(drain(&mut node));
        let firsts: Vec<_> =
            out.iter().filter(|event| event.kind == EventKind::FirstToken).map(|event| event.id).collect();
        prop_assert_eq!(firsts, (0..requests.len() as u64).collect::<Vec<_>>());
    }
}

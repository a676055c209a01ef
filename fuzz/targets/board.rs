//! A zone of any words is a board or is refused; where it is one, picks, the status and what the poller and the workers
//! write on it neither panic nor loop, and there is a pick.
#![no_main]

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use tblb_core::balancer::Taken;
use tblb_core::board::{Board, Outcome, Shape};
use tblb_core::config::Block;
use tblb_core::fault::Fault;
use tblb_core::load::Load;
use tblb_core::model::Models;
use tblb_core::picker::{Candidate, Numbers, pick};
use tblb_core::reason::Reason;
use tblb_core::scores::{Freshness, Scores};
use tblb_core::status::{Config, Format, Peer, Poller, Server, Status, Upstream, View};
use tblb_core::tries::{Ending, Ledger, Tries};

static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| {
    let texts =
        ["tblb", "tblb s1", "tblb s2_adaptive pick=best; tblb_limit waiting=1", "tblb; tblb_bypass on"];
    texts.into_iter().map(|text| Block::parse(text).expect("directives")).collect()
});

/// A zone, and what happens on it.
#[derive(Debug)]
struct Zone {
    words: Vec<u64>,
    now: u64,
    block: usize,
    key: u64,
    load: Load,
}

impl<'a> Arbitrary<'a> for Zone {
    fn arbitrary(from: &mut Unstructured<'a>) -> Result<Self> {
        let (now, block, key) = (from.arbitrary()?, from.choose_index(BLOCKS.len())?, from.arbitrary()?);
        let load = Load {
            waiting: from.arbitrary()?,
            running: from.arbitrary()?,
            cache: from.arbitrary()?,
            closed: from.arbitrary()?,
        };
        let shape = Shape {
            upstreams: from.int_in_range(0..=2)?,
            slots: from.int_in_range(0..=3)?,
            rows: from.int_in_range(0..=2)?,
        };
        // Mostly a board as to its head, since few others are opened; the rest is what the input says, then zeros.
        let mut words = vec![0; shape.words().unwrap_or(0)];
        if from.ratio(7, 8)? {
            let plain: Vec<AtomicU64> = words.iter().map(|_| AtomicU64::new(0)).collect();
            Board::format(&plain, shape);
            words = plain.into_iter().map(AtomicU64::into_inner).collect();
        }
        let head = if words.first() == Some(&0) { 0 } else { 4 };
        // Single words of the input's at places of its choice reach all parts of a board with short inputs.
        while !from.is_empty() {
            let at = from.int_in_range(head..=words.len().max(head + 1) - 1)?;
            let run = from.int_in_range(1..=16usize)?;
            for word in words.iter_mut().skip(at).take(run) {
                *word = from.arbitrary()?;
            }
        }
        Ok(Zone { words, now, block, key, load })
    }
}

/// What a poller does.
fn poll(board: &Board, zone: &Zone) {
    let lease = board.lease();
    if let Some(holder) = lease.acquire(3, zone.now, |_| zone.load.closed) {
        assert!(lease.renew(holder, zone.now));
        lease.release(holder);
        assert_eq!(lease.holder(), None);
    }
    let mut models = Models::default();
    models.add("m", zone.load.cache);
    let index = board.claim(zone.key.max(1), 0, zone.now);
    let index = index.unwrap_or(0);
    board.publish(index, &Outcome { at: zone.now, took: zone.key, result: Err(Fault::Cut.index()) });
    board.publish_with(
        index,
        &Outcome { at: zone.now, took: zone.key, result: Ok((zone.key as u8, zone.load)) },
        Some(&models),
    );
    if let Some(slot) = board.slot(index) {
        assert_eq!(slot.sample().map(|sample| sample.at), Some(zone.now).filter(|_| slot.sample().is_some()));
    }
    board.reclaim(zone.now, zone.key);
}

/// What a worker does with a request.
fn request(board: &Board, zone: &Zone, slot: u32) {
    let Some(row) = board.row(0) else { return };
    let (ledger, mut tries) = (Ledger { board: *board, row }, Tries::with_capacity(2));
    let now = zone.now;
    let taken =
        Taken { place: 0, slot: Some(slot), others: 0.0, score: None, reason: Reason::Score, trial: true };
    for ending in [Ending::Completed, Ending::Refused, Ending::Failed, Ending::Aborted] {
        let Some(id) = tries.begin(ledger, &taken, zone.key as u32, now) else { continue };
        tries.sweep(ledger, now.saturating_add(60_000));
        tries.read(
            ledger,
            id,
            b"data: {\"choices\":[{\"text\":\" the quick brown fox\"}]}\n\n",
            false,
            now.saturating_add(zone.key),
        );
        tries.end(ledger, id, ending, now.saturating_add(zone.key));
    }
    if let Some(prompts) = board.prompts(0) {
        prompts.learn(zone.key);
        assert!((1..=8192).contains(&prompts.tokens(zone.now)));
    }
}

/// Every form of the status, which is JSON and Prometheus text whatever the board holds.
fn show(board: &Board, block: &Block, scores: &Scores, slots: &[Option<u32>], now: u64) {
    let least = scores.least_work(|_| true);
    let view = View { now, all_models: true };
    let peer = |(i, slot): (usize, &Option<u32>)| {
        Peer::of(board, *slot, Server::default(), scores.shown(i, least), view)
    };
    let upstream = Upstream {
        name: "u".into(),
        algorithm: block.balance.algorithm.name,
        config: Config::of(block),
        unmeasured: 0,
        poller: Poller::of(board, true, now),
        peers: slots.iter().enumerate().map(peer).collect(),
    };
    let status = Status { version: "0", nginx: "0", upstreams: vec![upstream] };
    assert!(!status.render(Format::Html).is_empty());
    let json: serde_json::Value = serde_json::from_str(&status.render(Format::Json)).expect("JSON");
    assert_eq!(json["upstreams"][0]["name"], "u");
    for line in status.render(Format::Prometheus).lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        assert!(value.is_some_and(f64::is_finite), "{line}");
    }
}

fuzz_target!(|zone: Zone| {
    let words: Vec<_> = zone.words.iter().copied().map(AtomicU64::new).collect();
    let Some(board) = Board::open(&words) else { return };
    let block = &BLOCKS[zone.block];
    // Peers that have a slot, one that has none, and one whose slot is not on this board.
    let slots: Vec<_> = (0..board.shape().slots as u32).map(Some).chain([None, Some(u32::MAX)]).collect();
    let (mut scores, mut rng) = (Scores::with_capacity(slots.len()), fastrand::Rng::with_seed(zone.key));
    for _ in 0..2 {
        scores.refresh(block, &board, 0, &slots, Freshness { now: zone.now, stale: zone.key });
        let asked = scores.ask(Some(zone.key));
        let _ = scores.verdict(&asked, block);
        let known = (0..slots.len()).map(|i| scores.get_for(i, &asked).unwrap_or_else(|| scores.get(i)));
        let numbers = Numbers { conns: zone.now, weight: 1, effective_weight: 1, current_weight: 0 };
        let new = |known| Candidate::new(numbers, known);
        let mut candidates: Vec<_> = known.map(new).collect();
        let picked = pick(block, zone.key as u32, &mut candidates, &mut rng).expect("there are candidates");
        assert!(picked.index < slots.len());
        show(&board, block, &scores, &slots, zone.now);
        slots.iter().flatten().for_each(|slot| request(&board, &zone, *slot));
        poll(&board, &zone);
    }
    let shape = Shape { upstreams: 1, slots: 2, rows: 1 };
    let fresh: Vec<_> = (0..shape.words().unwrap_or(0)).map(|_| AtomicU64::new(0)).collect();
    let Some(next) = Board::format(&fresh, shape) else { return };
    next.set_upstream_key(0, board.upstream_key(0));
    next.carry_over(&board, zone.now);
});

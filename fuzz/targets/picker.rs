//! Requests, polls, reloads and workers that die, beside a plain model of what must be in flight: the board says the same
//! after every step, and a pick is always a peer that may be picked.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use tblb_core::balancer::{Group, Taken, Terms};
use tblb_core::board::{Board, InFlight, Outcome, Shape};
use tblb_core::config::Block;
use tblb_core::load::{Load, known};
use tblb_core::picker::{Numbers, Standing};
use tblb_core::reason::Reason;
use tblb_core::tries::{Ending, Id, Ledger, Tries};

const PEERS: usize = 3;
const WORKERS: usize = 2;
const SHAPE: Shape = Shape { upstreams: 1, slots: PEERS, rows: WORKERS };
const PLACES: usize = 16;

static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| {
    let texts = [
        "tblb",
        "tblb s2 pick=best; tblb_limit waiting=2",
        "tblb s1_balanced",
        "tblb least_conn",
        "tblb; tblb_bypass on",
    ];
    texts.into_iter().map(|text| Block::parse(text).expect("directives")).collect()
});

#[derive(Debug, Arbitrary)]
enum Step {
    Begin { worker: bool, peer: u8, prompt: u16 },
    Byte { of: u8, lines: u8 },
    End { of: u8, how: u8 },
    Poll { peer: u8, answer: Option<[Option<f64>; 3]>, closed: bool },
    Pick { block: u8, worker: bool, prompt: u16, eligible: [bool; PEERS] },
    Wait { ms: u16 },
    Sweep { worker: bool },
    Die { worker: bool },
    Reload,
}

/// A request in flight, as the model has it.
struct Request {
    id: Id,
    worker: usize,
    peer: usize,
    prefill: u64,
    speaks: bool,
    /// When its prompt counts as computed although nothing came, in µs.
    late: u64,
}

/// A worker: its tries and when it swept last.
struct Worker {
    tries: Tries,
    swept_at: u64,
    group: Group<usize>,
}

fn worker() -> Worker {
    let mut group = Group::default();
    group.follow((0..PEERS).map(|slot| Some(slot as u32)));
    Worker { tries: Tries::with_capacity(PLACES), swept_at: 0, group }
}

/// The peer as a request is sent to it without a pick.
fn taken(peer: usize) -> Taken {
    Taken {
        place: peer,
        slot: Some(peer as u32),
        others: 0.0,
        score: None,
        reason: Reason::Score,
        trial: false,
    }
}

/// A board with its workers, and the model of what they have in flight.
struct Zone {
    words: Vec<AtomicU64>,
    workers: [Worker; WORKERS],
    requests: Vec<Request>,
    pids: u32,
}

impl Zone {
    fn new(before: Option<&Zone>, now: u64) -> Self {
        let words: Vec<_> = (0..SHAPE.words().unwrap_or(0)).map(|_| AtomicU64::new(0)).collect();
        let zone = Zone { words, workers: [worker(), worker()], requests: Vec::new(), pids: 10 };
        let board = zone.board();
        board.set_upstream_key(0, 7);
        for peer in 0..PEERS {
            assert_eq!(board.claim(key(peer), 0, now), Some(peer));
        }
        if let Some(before) = before {
            board.carry_over(&before.board(), now);
        }
        board.rows().zip(1..).for_each(|(row, pid)| row.begin(pid));
        zone
    }

    fn board(&self) -> Board<'_> {
        Board::open(&self.words).or_else(|| Board::format(&self.words, SHAPE)).expect("a board")
    }

    /// What is in flight must be what the model says, and no try may be lost.
    fn check(&self) {
        let board = self.board();
        let mut sums = Vec::new();
        board.all_in_flight(&[Some(0), Some(1), Some(2)], &mut sums);
        for (peer, sum) in sums.into_iter().enumerate() {
            let expected = self.in_flight(peer);
            assert_eq!((board.in_flight(peer), InFlight::from(sum)), (expected, expected), "peer {peer}");
        }
        for (number, worker) in self.workers.iter().enumerate() {
            let live = self.requests.iter().filter(|request| request.worker == number).count();
            assert_eq!(worker.tries.len(), live);
        }
    }

    fn in_flight(&self, peer: usize) -> InFlight {
        let of_peer = self.requests.iter().filter(|request| request.peer == peer);
        of_peer.fold(InFlight::default(), |sum, request| {
            let one = InFlight { active: 1, streams: u64::from(request.speaks), prefill: request.prefill };
            sum + one
        })
    }

    /// Does what a request does: with its tries, where they count, and the request itself.
    fn with<T>(&mut self, number: usize, act: impl FnOnce(&mut Tries, Ledger) -> T) -> T {
        let Zone { words, workers, .. } = self;
        let board = Board::open(words).expect("a board");
        act(&mut workers[number].tries, Ledger { board, row: board.row(number).expect("a row") })
    }

    fn begin(&mut self, worker: usize, taken: &Taken, prompt: u16, now: u64) {
        let peer = taken.place;
        let late = self.late(peer, prompt, now);
        let id = self.with(worker, |tries, at| tries.begin(at, taken, u32::from(prompt), now));
        let room = self.requests.iter().filter(|request| request.worker == worker).count() < PLACES;
        assert_eq!(id.is_some(), room);
        if let Some(id) = id {
            self.requests.push(Request { id, worker, peer, prefill: u64::from(prompt), speaks: false, late });
        }
    }

    /// By docs/decisions/0008: where answers come in one piece, four times the predicted time to the first token.
    fn late(&self, peer: usize, prompt: u16, now: u64) -> u64 {
        let Some(slot) = self.board().slot(peer) else { return u64::MAX };
        let learned = slot.learned();
        if !learned.pieces().get().is_some_and(|pieces| pieces < 1.95) {
            return u64::MAX;
        }
        let tokens = self.in_flight(peer).prefill as f64 + f64::from(prompt) + 300.0;
        let a_token = learned.prefill().get().or(learned.tpot().get().map(|us| us * 0.01));
        a_token.map_or(u64::MAX, |us| now.saturating_add((4.0 * us * tokens) as u64))
    }

    fn byte(&mut self, of: usize, lines: u8, now: u64) {
        let Some(request) = self.requests.get_mut(of) else { return };
        (request.speaks, request.prefill, request.late) = (true, 0, u64::MAX);
        let (id, worker) = (request.id, request.worker);
        let text = "data: {\"choices\":[{\"text\":\" a token or more\"}]}\n\n".repeat(usize::from(lines) + 1);
        self.with(worker, |tries, at| tries.read(at, id, text.as_bytes(), false, now));
    }

    fn end(&mut self, of: usize, how: u8, now: u64) {
        if of >= self.requests.len() {
            return;
        }
        let request = self.requests.remove(of);
        let how = [Ending::Completed, Ending::Refused, Ending::Failed, Ending::Aborted][usize::from(how % 4)];
        // A second end says nothing, though another may have its place by then.
        for _ in 0..2 {
            self.with(request.worker, |tries, at| tries.end(at, request.id, how, now));
        }
    }

    fn sweep(&mut self, worker: usize, now: u64) {
        self.with(worker, |tries, at| tries.sweep(at, now));
        if now - self.workers[worker].swept_at >= 50_000 {
            self.workers[worker].swept_at = now;
            let late = self.requests.iter_mut().filter(|one| one.worker == worker && one.late <= now);
            late.for_each(|request| (request.prefill, request.late) = (0, u64::MAX));
        }
    }

    /// The worker dies; the master starts another in its place.
    fn die(&mut self, worker: usize) {
        self.requests.retain(|request| request.worker != worker);
        let row = self.board().row(worker).expect("a row");
        row.forget(row.pid());
        self.workers[worker] = self::worker();
        self.check();
        self.pids += 1;
        self.board().row(worker).expect("a row").begin(self.pids);
    }

    fn poll(&self, peer: usize, answer: Option<[Option<f64>; 3]>, closed: bool, now: u64) {
        let board = self.board();
        let [waiting, running, cache] = answer.unwrap_or_default().map(|value| value.and_then(known));
        let load = Load { waiting, running, cache, closed };
        let result = if answer.is_some() { Ok((1, load)) } else { Err(2) };
        let (slot, version) = (board.slot(peer).expect("a slot"), board.version(0));
        let before = slot.sample();
        board.publish(peer, &Outcome { at: now / 1000, took: 1, result });
        assert_eq!(board.version(0), version + 1);
        let after = slot.sample();
        match answer {
            Some(_) => {
                let sample = after.expect("a sample");
                assert_eq!(
                    (sample.at, sample.load, sample.own),
                    (now / 1000, load, self.in_flight(peer).active)
                );
            }
            None => assert_eq!(after, before, "a fault leaves the last sample"),
        }
    }

    fn pick(&mut self, block: &Block, worker: usize, prompt: u16, eligible: [bool; PEERS], now: u64) {
        let Zone { words, workers, .. } = &mut *self;
        let (board, group) = (Board::open(words).expect("a board"), &mut workers[worker].group);
        group.forget();
        group.refresh(block, &board, 0, now / 1000);
        group.ask(None);
        for peer in (0..PEERS).filter(|peer| eligible[*peer]) {
            let conns = board.in_flight(peer).active;
            group.offer(peer, Numbers { conns, weight: 1, effective_weight: 1, current_weight: 0 }, peer);
        }
        let standing = |group: &Group<usize>, peer: usize| group.scores().get(peer).standing;
        let best = (0..PEERS).filter(|peer| eligible[*peer]).map(|peer| standing(group, peer)).min();
        let terms = Terms { block, board: Some(&board), prompt: u32::from(prompt), now: now / 1000 };
        let picked = group.pick(terms, &mut fastrand::Rng::with_seed(now), |_, _| ());
        assert_eq!(picked.is_some(), best.is_some(), "there is a pick unless nobody is left");
        let Some(picked) = picked else { return };
        assert!(eligible[picked.peer]);
        // Where another request tries a peer that failed, the next best is taken.
        let beaten = best.is_some_and(|best| standing(group, picked.peer) > best.max(Standing::Failing));
        assert!(block.bypass || !beaten);
        self.begin(worker, &picked.taken, prompt, now);
    }
}

fn key(peer: usize) -> u64 {
    (PEERS + peer) as u64
}

fuzz_target!(|steps: Vec<Step>| {
    let mut now = 1_000_000;
    let (mut zone, mut old) = (Zone::new(None, 1000), None::<Zone>);
    for step in steps {
        let (peer, of) = (|peer: u8| usize::from(peer) % PEERS, |of: u8| usize::from(of) % (2 * PLACES));
        match step {
            Step::Begin { worker, peer: at, prompt } => {
                zone.begin(worker.into(), &taken(peer(at)), prompt, now)
            }
            Step::Byte { of: one, lines } => zone.byte(of(one), lines % 16, now),
            Step::End { of: one, how } => zone.end(of(one), how, now),
            Step::Poll { peer: at, answer, closed } => zone.poll(peer(at), answer, closed, now),
            Step::Pick { block, worker, prompt, eligible } => {
                zone.pick(&BLOCKS[usize::from(block) % BLOCKS.len()], worker.into(), prompt, eligible, now);
            }
            Step::Wait { ms } => now += 1000 * u64::from(ms),
            Step::Sweep { worker } => zone.sweep(worker.into(), now),
            Step::Die { worker } => zone.die(worker.into()),
            Step::Reload => {
                let next = Zone::new(Some(&zone), now / 1000);
                old = Some(std::mem::replace(&mut zone, next));
            }
        }
        // Requests of the workers before a reload go on and end on their own board.
        if let Some(old) = &mut old {
            old.byte(0, 1, now);
            old.end(0, 0, now);
            old.check();
        }
        zone.check();
    }
});

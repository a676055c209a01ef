//! A pick allocates nothing: neither the look-up of what is known of the peers, nor the pick, nor the count of the try.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

use allocation_counter::measure;
use std::sync::atomic::AtomicU64;
use tblb_core::algorithm;
use tblb_core::balancer::{Group, Terms};
use tblb_core::board::{Board, Outcome, Shape};
use tblb_core::config::Block;
use tblb_core::load::Load;
use tblb_core::picker::Numbers;
use tblb_core::tries::{Ending, Ledger, Part, Tries};

/// What this thread allocates in `f`.
fn allocations(f: impl FnOnce()) -> u64 {
    measure(f).count_total
}

const PEERS: usize = 200;

/// A worker of an upstream of that method before peers of which half report, as the shell has it.
struct Worker {
    block: Block,
    board: Board<'static>,
    group: Group<usize>,
    tries: Tries,
    rng: fastrand::Rng,
}

impl Worker {
    fn new(directives: &str) -> Self {
        let shape = Shape { upstreams: 1, slots: PEERS, rows: 4 };
        let words: Vec<AtomicU64> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
        let board = Board::format(words.leak(), shape).unwrap();
        (1..).zip(board.rows()).for_each(|(pid, row)| row.begin(pid));
        let mut group = Group::default();
        group.follow((1..=PEERS as u64).map(|key| board.claim(key, 0, 0).map(|slot| slot as u32)));
        Worker {
            block: Block::parse(directives).unwrap(),
            board,
            group,
            tries: Tries::with_capacity(64),
            rng: fastrand::Rng::with_seed(5),
        }
    }

    /// Other metrics come, so that the scores are made anew.
    fn report(&mut self) {
        for slot in self.group.slots().iter().flatten().step_by(2) {
            let (waiting, running) = (Some(f64::from(self.rng.u8(0..20))), Some(f64::from(self.rng.u8(..))));
            let load = Load { waiting, running, cache: Some(self.rng.f64()), ..Load::default() };
            self.board.publish(*slot as usize, &Outcome { at: 1, took: 1, result: Ok((0, load)) });
        }
    }

    /// All that is done for a request, at a time in ms.
    fn serve(&mut self, now: u64) {
        let at = Ledger { board: self.board, row: self.board.row(0).unwrap() };
        let prompts = self.board.prompts(0).unwrap();
        prompts.learn(1000);
        let prompt = prompts.tokens(1000);
        self.tries.sweep(at, now * 1000);
        self.group.refresh(&self.block, &self.board, 0, now);
        self.group.ask(None);
        for place in 0..PEERS {
            let conns = place as u64 % 3;
            self.group.offer(
                place,
                Numbers { conns, weight: 1, effective_weight: 1, current_weight: 0 },
                place,
            );
        }
        let terms = Terms { block: &self.block, board: Some(&self.board), prompt, now };
        let pick = self.group.pick(terms, &mut self.rng, |_, _| ()).unwrap();
        let id = self.tries.begin(at, &pick.taken, prompt, now * 1000).unwrap();
        self.tries.read(at, id, b"data: {\"choices\":[{\"text\":\"hello\"}]}\n\n", false, now * 1000 + 50);
        self.tries.count(at, id, Part { events: 3, tokens: 3.0 }, now * 1000 + 900);
        let ending = [Ending::Completed, Ending::Failed, Ending::Refused, Ending::Aborted][now as usize % 4];
        self.tries.end(at, id, ending, now * 1000 + 1000);
    }
}

#[test]
fn what_allocates_is_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
    assert_eq!(allocations(|| ()), 0);
}

/// Promise 3.
#[test]
fn no_request_allocates() {
    for algorithm in algorithm::ALL {
        for more in ["pick=random", "pick=best", "pick=best; tblb_limit waiting=10; tblb_bypass on"] {
            let directives = format!("tblb {} {more}", algorithm.name);
            let mut worker = Worker::new(&directives);
            for now in 1..100 {
                // Before the first metrics, with fresh ones that change, and when they are stale.
                if (10..50).contains(&now) && now % 4 == 0 {
                    worker.report();
                }
                let now = if now > 80 { now + 5000 } else { now };
                assert_eq!(allocations(|| worker.serve(now)), 0, "{directives} at {now}");
            }
        }
    }
}

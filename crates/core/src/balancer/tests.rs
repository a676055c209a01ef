use super::*;
use crate::board::Shape;
use crate::tries::{Ending, Ledger, Tries};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

/// The most servers of a list.
const MOST: usize = 300;

/// A board with a worker, and a group of peers whose names are numbers.
struct Pool {
    board: Board<'static>,
    group: Group<usize>,
    block: Block,
    rng: fastrand::Rng,
}

impl Pool {
    fn new(directives: &str) -> Self {
        let shape = Shape { upstreams: 1, slots: 2 * MOST, rows: 2 };
        let words: Vec<AtomicU64> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
        let board = Board::format(words.leak(), shape).unwrap();
        board.row(0).unwrap().begin(1);
        let block = Block::parse(directives).unwrap();
        Pool { board, group: Group::default(), block, rng: fastrand::Rng::with_seed(3) }
    }

    /// The list has these peers now.
    fn follow(&mut self, peers: &[usize]) {
        let board = self.board;
        let slot = |peer: &usize| board.claim(*peer as u64 + 1, 0, 0).map(|slot| slot as u32);
        self.group.follow(peers.iter().map(slot));
    }

    fn slot(&self, place: usize) -> crate::board::Slot<'static> {
        self.board.slot(self.group.slot(place).unwrap() as usize).unwrap()
    }

    /// Offers all peers, and picks one for a request at a time in ms.
    fn pick(&mut self, peers: &[usize], now: u64) -> Option<(usize, Taken)> {
        self.group.refresh(&self.block, &self.board, 0, now);
        self.group.ask(None);
        for (place, peer) in peers.iter().enumerate() {
            let numbers = Numbers { conns: 0, weight: 1, effective_weight: 1, current_weight: 0 };
            self.group.offer(place, numbers, *peer);
        }
        self.choose(now)
    }

    /// Picks one of the offered peers.
    fn choose(&mut self, now: u64) -> Option<(usize, Taken)> {
        let terms = Terms { block: &self.block, board: Some(&self.board), prompt: 100, now };
        let pick = self.group.pick(terms, &mut self.rng, |_, _| ())?;
        Some((pick.peer, pick.taken))
    }
}

const ALGORITHMS: [&str; 3] = ["tblb", "tblb least_conn", "tblb s2_enhanced"];

#[test]
fn every_peer_of_a_list_of_any_length_can_be_picked() {
    for directives in ALGORITHMS {
        for length in [1, 2, 63, 64, 65, 100, 128, 129, 200, MOST] {
            let mut pool = Pool::new(directives);
            let peers: Vec<_> = (0..length).collect();
            pool.follow(&peers);
            let mut weights = vec![0; length];
            let mut picked = HashSet::new();
            for _ in 0..length {
                pool.group.refresh(&pool.block, &pool.board, 0, 1);
                pool.group.ask(None);
                for (peer, weight) in weights.iter().enumerate() {
                    let numbers =
                        Numbers { conns: 0, weight: 1, effective_weight: 1, current_weight: *weight };
                    pool.group.offer(peer, numbers, peer);
                }
                assert_eq!(pool.group.offered(), length, "{directives}");
                let (peer, _) = pool.choose(1).unwrap();
                pool.group.turned().for_each(|(peer, turned)| weights[peer] = turned.current_weight);
                picked.insert(peer);
            }
            assert_eq!(picked.len(), length, "{directives}: ties take turns");
        }
    }
}

proptest! {
    /// Peers come and go: whatever list there is, all of it is offered, and what is picked stands in it.
    #[test]
    fn a_list_that_changes_is_followed(
        lists in prop::collection::vec(prop::collection::hash_set(0..MOST, 1..=MOST), 1..6), algorithm in 0..3usize)
    {
        let mut pool = Pool::new(ALGORITHMS[algorithm]);
        let mut tries = Tries::with_capacity(64);
        let at = Ledger { board: pool.board, row: pool.board.row(0).unwrap() };
        for (now, list) in (1..).zip(&lists) {
            let peers: Vec<_> = list.iter().copied().collect();
            pool.follow(&peers);
            for _ in 0..3 {
                let (peer, taken) = pool.pick(&peers, now).unwrap();
                prop_assert_eq!(pool.group.offered(), peers.len());
                prop_assert_eq!((peers[taken.place], taken.slot), (peer, pool.group.slot(taken.place)));
                let id = tries.begin(at, &taken, 100, now * 1000).unwrap();
                prop_assert_eq!(pool.board.in_flight(taken.slot.unwrap() as usize).active, 1);
                tries.end(at, id, Ending::Completed, now * 1000 + 1);
            }
        }
    }
}

#[test]
fn a_peer_that_the_list_got_meanwhile_is_passed_over() {
    let mut pool = Pool::new("tblb");
    pool.follow(&[0, 1]);
    let (room, many) = (pool.group.slots().len(), (0..50).collect::<Vec<_>>());
    assert!(pool.pick(&many, 1).is_some());
    assert_eq!(pool.group.offered(), room);
    assert!(pool.pick(&[], 1).is_none());
}

#[test]
fn one_request_at_a_time_tries_a_peer_that_failed() {
    for directives in ["tblb", "tblb s2_enhanced"] {
        let mut pool = Pool::new(directives);
        let peers = [0, 1];
        pool.follow(&peers);
        let slot = pool.slot(0);
        slot.health().fail(0, 1_000);
        pool.board.touch(&slot);
        let picks =
            |pool: &mut Pool, now| (0..8).map(|_| pool.pick(&peers, now).unwrap().1).collect::<Vec<_>>();
        assert!(picks(&mut pool, 1_001).iter().all(|taken| taken.place == 1 && !taken.trial), "{directives}");
        let later = picks(&mut pool, 3_000);
        assert_eq!(later.iter().filter(|taken| taken.place == 0).count(), 1, "{directives}: {later:?}");
        assert!(later.iter().all(|taken| taken.trial == (taken.place == 0)));
        slot.health().succeed(u64::MAX);
        pool.board.touch(&slot);
        assert!(picks(&mut pool, 3_100).iter().any(|taken| taken.place == 0));
    }
}

#[test]
fn where_all_fail_requests_go_to_all_as_before() {
    let mut pool = Pool::new("tblb s2_enhanced");
    let peers = [0, 1];
    pool.follow(&peers);
    for place in [0, 1] {
        pool.slot(place).health().fail(0, 1_000);
    }
    let (_, taken) = pool.pick(&peers, 1_001).unwrap();
    assert_eq!((taken.reason, taken.trial), (Reason::LeastConn, false));
}

#[test]
fn a_bypass_looks_at_no_failures() {
    let mut pool = Pool::new("tblb; tblb_bypass on");
    pool.follow(&[0]);
    pool.slot(0).health().fail(0, 1_000);
    let (_, taken) = pool.pick(&[0], 3_000).unwrap();
    assert_eq!((taken.reason, taken.trial), (Reason::Bypass, false));
    assert!(pool.slot(0).health().begin_trial(3_000), "the right to try is free");
}

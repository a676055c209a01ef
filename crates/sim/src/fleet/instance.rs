//! One nginx instance: its list of peers, its board and its policy.

use std::sync::atomic::AtomicU64;

use tblb_core::board::{Board, Outcome, Shape};
use tblb_core::fault::Fault;
use tblb_core::load::Load;

use super::peer::Peer;
use crate::node::Nanos;
use crate::policy::{Context, Ending, Page, Pages, Part, Policy, Rule, Scene, Seen, Try, View};
use crate::random::{Purpose, derive};

/// Nanoseconds in a millisecond, the board's unit.
const MS: Nanos = 1_000_000;

/// How long a poll takes, in µs; nothing depends on it.
const POLL_US: u64 = 1000;

/// One nginx instance. It knows nothing of the others.
pub struct Instance {
    /// Its peers, one a node.
    pub peers: Vec<Peer>,
    policy: Box<dyn Policy + Send>,
    words: Vec<AtomicU64>,
    slots: Vec<Option<u32>>,
    pages: Pages,
    rng: fastrand::Rng,
    eligible: Vec<usize>,
}

impl Instance {
    /// Number `index` of the instances that balance by `rule`.
    pub fn new(rule: &Rule, context: &Context<'_>, seed: u64, index: usize) -> Self {
        let peers = context.speeds.len();
        let shape = Shape { upstreams: 1, slots: peers, rows: context.workers };
        let words: Vec<_> = (0..shape.words().unwrap_or(0)).map(|_| AtomicU64::new(0)).collect();
        let slots = Board::format(&words, shape).map_or_else(Vec::new, |board| {
            // A row that has no process counts nothing.
            board.rows().zip(1..).for_each(|(row, pid)| row.begin(pid));
            let claim = |peer| board.claim(peer as u64 + 1, 0, 0).map(|slot| slot as u32);
            (0..peers).map(claim).collect()
        });
        Self {
            peers: context.speeds.iter().map(|&speed| Peer::new(rule.weight(speed))).collect(),
            policy: rule.make(context),
            words,
            slots,
            pages: vec![None; peers],
            rng: fastrand::Rng::with_seed(derive(seed, Purpose::Picks, index as u64)),
            eligible: Vec::with_capacity(peers),
        }
    }

    fn scene<'a>(words: &'a [AtomicU64], slots: &'a [Option<u32>], now: Nanos) -> Option<Scene<'a>> {
        Some(Scene { now, board: Board::open(words)?, slots })
    }

    /// Picks a peer for a request that has not been at those of `tried` yet, and takes it; None if none is left.
    pub fn pick(&mut self, now: Nanos, seen: &Seen, tried: &[usize]) -> Option<usize> {
        self.eligible.clear();
        let may = |&at: &usize| self.peers[at].available(now) && !tried.contains(&at);
        self.eligible.extend((0..self.peers.len()).filter(may));
        let view = View {
            scene: Self::scene(&self.words, &self.slots, now)?,
            peers: &mut self.peers,
            eligible: &self.eligible,
            pages: &self.pages,
            rng: &mut self.rng,
        };
        let picked = self.policy.pick(view, seen)?;
        self.peers[picked].take(now);
        Some(picked)
    }

    /// A part of an answer came, the first one or another.
    pub fn part(&mut self, now: Nanos, one: &Try, part: Part, first: bool) {
        if let Some(scene) = Self::scene(&self.words, &self.slots, now) {
            if first {
                self.policy.first_byte(scene, one);
            }
            self.policy.part(scene, one, part);
        }
    }

    /// How often the instance is told of parts of answers.
    pub fn listens_every(&self) -> Option<Nanos> {
        self.policy.listens_every()
    }

    /// A try ended; `counts` says whether nginx takes it for a failure of the peer.
    pub fn end(&mut self, now: Nanos, one: &Try, ending: Ending, counts: bool) {
        self.peers[one.peer].free(now, counts);
        if let Some(scene) = Self::scene(&self.words, &self.slots, now) {
            self.policy.end(scene, one, ending);
        }
    }

    /// A poll of a peer ended with this answer, or with none.
    pub fn polled(&mut self, now: Nanos, peer: usize, page: Option<Load>) {
        if let Some(load) = page {
            self.pages[peer] = Some(Page { at: now, load, own: self.peers[peer].conns });
        }
        let result = page.map(|load| (0, load)).ok_or(Fault::Timeout as u8);
        let outcome = Outcome { at: now / MS, took: POLL_US, result };
        let slot = self.slots.get(peer).copied().flatten();
        if let (Some(board), Some(slot)) = (Board::open(&self.words), slot) {
            board.publish(slot as usize, &outcome);
        }
    }
}

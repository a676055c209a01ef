//! One nginx instance: its list of peers, its board and its policy.

use std::sync::atomic::AtomicU64;

use tblb_core::board::{Board, Outcome, Shape};
use tblb_core::load::Load;

use super::peer::Peer;
use crate::node::Nanos;
use crate::policy::{Context, Pages, Policy, Rule, Seen, View};
use crate::random::{Purpose, derive};

/// Nanoseconds in a millisecond, the board's unit.
const MS: Nanos = 1_000_000;

/// One nginx instance. It knows nothing of the others.
pub struct Instance {
    /// Its peers, one a node.
    pub peers: Vec<Peer>,
    /// Its policy; told of all that befalls its requests.
    pub policy: Box<dyn Policy + Send>,
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
        let shape = Shape { upstreams: 1, slots: peers, rows: 1 };
        let words: Vec<_> = (0..shape.words().unwrap_or(0)).map(|_| AtomicU64::new(0)).collect();
        let slots = Board::format(&words, shape).map_or_else(Vec::new, |board| {
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

    /// Picks a peer for a request that has not been at those of `tried` yet, and takes it; None if none is left.
    pub fn pick(&mut self, now: Nanos, seen: &Seen, tried: &[usize]) -> Option<usize> {
        self.eligible.clear();
        let may = |&at: &usize| self.peers[at].available(now) && !tried.contains(&at);
        self.eligible.extend((0..self.peers.len()).filter(may));
        let board = Board::open(&self.words)?;
        let view = View {
            now,
            now_ms: now / MS,
            peers: &mut self.peers,
            eligible: &self.eligible,
            board: &board,
            slots: &self.slots,
            pages: &self.pages,
            rng: &mut self.rng,
        };
        let picked = self.policy.pick(view, seen)?;
        self.peers[picked].take(now);
        Some(picked)
    }

    /// A poll of a peer ended with this answer.
    pub fn polled(&mut self, now: Nanos, peer: usize, load: Load) {
        self.pages[peer] = Some((now, load));
        let outcome = Outcome { at: now / MS, took: 1000, result: Ok((0, load)) };
        let slot = self.slots.get(peer).copied().flatten();
        if let (Some(board), Some(slot)) = (Board::open(&self.words), slot) {
            board.publish(slot as usize, &outcome);
        }
        self.policy.polled(now, peer, &load);
    }
}

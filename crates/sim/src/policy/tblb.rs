//! A `tblb` directive, by the picker, the scores and the board that nginx runs.

use tblb_core::config::Balance;
use tblb_core::picker::{self, Candidate};
use tblb_core::scores::{Freshness, Scores};

use super::{Context, Policy, Seen, View, gather, settle};

/// The module in one nginx instance.
pub struct Tblb {
    balance: Balance,
    /// Each worker keeps scores of its own.
    scores: Vec<Scores>,
    candidates: Vec<Candidate>,
    stale: u64,
}

impl Tblb {
    /// What this directive says.
    pub fn new(balance: &Balance, context: &Context<'_>) -> Self {
        let peers = context.speeds.len();
        Self {
            balance: balance.clone(),
            scores: (0..context.workers).map(|_| Scores::with_capacity(peers)).collect(),
            candidates: Vec::with_capacity(peers),
            stale: context.stale_ms,
        }
    }
}

impl Policy for Tblb {
    fn pick(&mut self, mut view: View<'_>, seen: &Seen) -> Option<usize> {
        let scores = self.scores.get_mut(seen.worker)?;
        let at = Freshness { now: view.now_ms, stale: self.stale };
        scores.refresh(&self.balance, view.board, 0, view.slots, at);
        gather(&view, &mut self.candidates, |peer| scores.get(peer).score);
        let picked = picker::pick(self.balance.pick, &mut self.candidates, view.rng)?;
        settle(&mut view, &self.candidates, picked.index)
    }
}

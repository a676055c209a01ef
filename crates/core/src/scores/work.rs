//! What the peers of a group have to do, and which of them may hang.

use super::Scores;
use crate::algorithm::{Best, Speed};
use crate::board::{Average, Board, InFlight, Learned};
use crate::picker::Standing;

/// A peer whose answers are coming is silent for too long after so many of its usual gaps, and not before so many ms: an
/// engine that computes a long prompt sends nothing for half a second.
const GAPS: f64 = 20.0;
const SILENCE_MS: f64 = 1000.0;

/// One of so many picks takes a peer that has long been idle for as fast as the best, whatever it taught. One that was slow
/// when it started would else stay without requests, and so be taken to be slow, as long as the others are not full.
const ASKED_ANEW: u32 = 32;

impl Scores {
    /// Adds up what is in flight at each peer and reads how fast it is, at `now` (ms). A peer that has taught nothing yet
    /// is taken to be as fast as the fastest, so that it gets requests to teach by; what it gets is bounded by what it
    /// then has in flight.
    pub(super) fn follow_work(&mut self, board: &Board, slots: &[Option<u32>], now: u64) {
        board.all_in_flight(slots, &mut self.in_flight);
        let learned = |slot: &Option<u32>| Some(board.slot((*slot)? as usize)?.learned());
        self.picks = self.picks.wrapping_add(1);
        let anew = self.picks % ASKED_ANEW == 0;
        self.speeds.clear();
        self.speeds.extend(slots.iter().zip(&self.in_flight).map(|(slot, own)| {
            let old = |learned: &Learned| learned.is_old(InFlight::from(*own).active, now);
            let known = learned(slot).filter(|learned| !(anew && old(learned)));
            known.as_ref().map(speed).unwrap_or_default()
        }));
        let best = Best::of(&self.speeds);
        let peers =
            self.known.iter_mut().zip(slots).zip(&self.background).zip(&self.in_flight).zip(&self.speeds);
        for ((((known, slot), background), own), speed) in peers {
            let own = InFlight::from(*own);
            let silent = own.streams > 0 && learned(slot).is_some_and(|learned| is_silent(&learned, now));
            known.standing = match known.standing {
                Standing::Ready | Standing::Suspect if silent => Standing::Suspect,
                Standing::Suspect => Standing::Ready,
                other => other,
            };
            known.work = slot
                .map(|_| best.work(speed, own.prefill as f64, own.active as f64, background.unwrap_or(0.0)));
        }
    }
}

/// What was learnt of a peer, read once: peers stand far apart on the board.
fn speed(learned: &Learned) -> Speed {
    let time = |average: Average| average.get().unwrap_or_default();
    Speed { tpot: time(learned.tpot()), slope: time(learned.slope()), prefill: time(learned.prefill()) }
}

/// Whether nothing has come from a peer for too long though answers were coming.
fn is_silent(learned: &Learned, now: u64) -> bool {
    let silence = now.saturating_sub(learned.heard_at()) as f64;
    silence > SILENCE_MS && silence > GAPS * learned.gap().get().unwrap_or(0.0)
}

//! What the peers of a group have to do, how fast they are, and which of them may hang.

use super::Scores;
use crate::algorithm::{Best, Speed};
use crate::board::{Average, Board, InFlight, Learned, Slot};

/// Speeds are read again after this time in ms: they are averages of seconds, and what a worker has in flight is counted for
/// each request.
const SPEEDS_MS: u64 = 20;

/// A silent peer's streams count for up to as many requests more each.
const MOST_FOR_SILENCE: f64 = 3.0;

/// A peer that has given fewer answers than this is new: what its first ones taught may be chance.
const ENOUGH_ANSWERS: u64 = 8;

/// One of so many picks takes a peer that has long been idle for as fast as the best, whatever it taught. One that was slow
/// when it started would else stay without requests, and so be taken to be slow, as long as the others are not full.
const ASKED_ANEW: u32 = 32;

/// What is kept of the work of a group's peers from pick to pick.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Until when the speeds are good, in ms.
    until: u64,
    /// How many picks there were.
    picks: u32,
    /// What the requests of others count at each peer.
    others: Vec<f64>,
    /// Room to compute in.
    speeds: Vec<Speed>,
    idle: Vec<bool>,
}

impl Pace {
    /// Room for `n` peers more than there are.
    pub fn reserve(&mut self, n: usize) {
        self.others.reserve(n);
        self.speeds.reserve(n);
        self.idle.reserve(n);
    }

    /// The speeds are to be read again.
    pub fn forget(&mut self) {
        self.until = 0;
    }
}

impl Scores {
    /// Adds up what is in flight at each peer, and reads how fast it is if that was long ago, at `now` (ms). `silence` is the
    /// time in ms from which on a peer whose answers have stopped counts as silent, None for never.
    pub(super) fn follow_work(
        &mut self,
        board: &Board,
        slots: &[Option<u32>],
        silence: Option<f64>,
        now: u64,
    ) {
        board.all_in_flight(slots, &mut self.in_flight);
        self.versions.counted = self.versions.counted.wrapping_add(1);
        self.pace.picks = self.pace.picks.wrapping_add(1);
        let anew = self.pace.picks % ASKED_ANEW == 0;
        if anew || now >= self.pace.until {
            self.read_speeds(board, slots, anew, now);
        }
        let peers = self.known.iter_mut().zip(&self.in_flight).zip(&self.pace.others).zip(slots);
        for (((known, own), others), slot) in peers {
            let Some(work) = &mut known.work else { continue };
            work.prefill = f64::from(own.prefill());
            work.requests = f64::from(own.requests()) + others;
            known.suspect = false;
            if own.streams() > 0 {
                let slot = slot.and_then(|slot| board.slot(slot as usize)).zip(silence);
                let more = slot.map_or(0.0, |(slot, bound)| overdue(&slot, known.fresh, bound, now));
                work.requests += more * f64::from(own.streams());
                known.suspect = more > 0.0;
            }
        }
    }

    /// Reads how fast the peers are. With `anew`, those that have long been idle are taken to be as fast as the best.
    fn read_speeds(&mut self, board: &Board, slots: &[Option<u32>], anew: bool, now: u64) {
        self.versions.remade = self.versions.remade.wrapping_add(1);
        let Pace { until, others, speeds, idle, .. } = &mut self.pace;
        let learned = |slot: &Option<u32>| Some(board.slot((*slot)? as usize)?.learned());
        speeds.clear();
        idle.clear();
        for (slot, own) in slots.iter().zip(&self.in_flight) {
            let learned = learned(slot);
            let old = |learned: &Learned| learned.is_old(InFlight::from(*own).active, now);
            let asked_anew = anew && learned.as_ref().is_some_and(old);
            speeds.push(learned.filter(|_| !asked_anew).as_ref().map(speed).unwrap_or_default());
            idle.push(asked_anew);
        }
        let best = Best::of(speeds, &mut self.sorted);
        for ((known, slot), (speed, idle)) in self.known.iter_mut().zip(slots).zip(speeds.iter().zip(idle)) {
            known.work = slot.map(|_| if *idle { best.best() } else { best.work(speed) });
            let slot = slot.and_then(|slot| board.slot(slot as usize));
            known.new = slot.is_some_and(|slot| slot.totals().completions < ENOUGH_ANSWERS);
        }
        others.clear();
        others.extend(self.background.iter().map(|requests| best.others(requests.unwrap_or(0.0))));
        // The next pick is not to take idle peers for the best.
        *until = if anew { 0 } else { now.saturating_add(SPEEDS_MS) };
    }
}

/// What was learnt of a peer, read once: peers stand far apart on the board.
fn speed(learned: &Learned) -> Speed {
    let time = |average: Average| average.get().unwrap_or_default();
    Speed { tpot: time(learned.tpot()), slope: time(learned.slope()), prefill: time(learned.prefill()) }
}

/// How many requests more each stream of a peer counts for since the peer has been silent: 1 for each time as long as the bound,
/// up to [`MOST_FOR_SILENCE`]. Any sign of life ends the silence: a byte of any answer, or metrics that are fresh and have changed. The bound
/// in ms holds for peers whose gaps are short; others may be silent until [the pause is unusual](crate::board::Learned::unusual_pause_ms).
fn overdue(slot: &Slot, fresh: bool, bound: f64, now: u64) -> f64 {
    let learned = slot.learned();
    let changed_at = if fresh { slot.changed_at() } else { 0 };
    let silence = now.saturating_sub(learned.heard_at().max(changed_at)) as f64;
    let bound = bound.max(learned.unusual_pause_ms());
    if silence > bound { (silence / bound).min(MOST_FOR_SILENCE) } else { 0.0 }
}

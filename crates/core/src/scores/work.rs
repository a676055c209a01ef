//! What the peers of a group have to do.

use super::Scores;
use crate::algorithm::Work;
use crate::board::{Board, InFlight};

impl Scores {
    /// Adds up what is in flight at each peer and reads how fast it is. A peer that has taught nothing yet is taken to be
    /// as fast as the fastest, so that it gets requests to teach by; what it gets is bounded by what it then has in
    /// flight.
    pub(super) fn follow_work(&mut self, board: &Board, slots: &[Option<u32>]) {
        board.all_in_flight(slots, &mut self.in_flight);
        let learned = |slot: &Option<u32>| board.slot((*slot)? as usize)?.learned().tpot().get();
        self.values.clear();
        // Each is read once: they stand far apart. A time is above 0.
        self.values.extend(slots.iter().map(|slot| learned(slot).unwrap_or(0.0)));
        let known = self.values.iter().copied().filter(|tpot| *tpot > 0.0);
        let fastest = known.reduce(f64::min).unwrap_or(1.0);
        let peers =
            self.known.iter_mut().zip(slots).zip(&self.background).zip(&self.in_flight).zip(&self.values);
        for ((((known, slot), background), own), tpot) in peers {
            let own = InFlight::from(*own);
            known.work = slot.map(|_| Work {
                prefill: own.prefill as f64,
                active: own.active as f64 + background.unwrap_or(0.0),
                tpot: if *tpot > 0.0 { *tpot } else { fastest },
            });
        }
    }
}

//! What the peers of a group have to do.

use super::Scores;
use crate::algorithm::Work;
use crate::board::Board;

impl Scores {
    /// Adds up what is in flight at each peer and reads how fast it is. A peer that has taught nothing yet is taken to be
    /// as fast as the fastest, so that it gets requests to teach by; what it gets is bounded by what it then has in
    /// flight.
    pub(super) fn follow_work(&mut self, board: &Board, slots: &[Option<u32>]) {
        board.all_in_flight(slots, &mut self.in_flight);
        let learned = |slot: Option<u32>| board.slot(slot? as usize)?.learned().tpot().get();
        let fastest = slots.iter().filter_map(|slot| learned(*slot)).reduce(f64::min).unwrap_or(1.0);
        for (i, (known, slot)) in self.known.iter_mut().zip(slots).enumerate() {
            let own = self.in_flight.get(i).copied().unwrap_or_default();
            let background = self.background.get(i).copied().flatten().unwrap_or(0.0);
            known.work = slot.map(|slot| Work {
                prefill: own.prefill as f64,
                active: own.active as f64 + background,
                tpot: learned(Some(slot)).unwrap_or(fastest),
            });
        }
    }
}

//! What the peers of a group have to do, and which of them may hang.

use super::Scores;
use crate::algorithm::Work;
use crate::board::{Average, Board, InFlight, Learned};
use crate::picker::Standing;

/// A peer whose answers are coming is silent for too long after so many of its usual gaps, and not before so many ms: an
/// engine that computes a long prompt sends nothing for half a second.
const GAPS: f64 = 20.0;
const SILENCE_MS: f64 = 1000.0;

/// No engine is slower than another by more than that whatever their load; one that reports requests which it has not
/// would seem so fast that nothing else counted beside it.
const SLOWEST: f64 = 10.0;

/// How fast a peer is, as its answers taught: times in µs, 0 for what they have not taught yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    /// [`Learned::tpot`].
    tpot: f64,
    /// [`Learned::slope`].
    slope: f64,
    /// [`Learned::prefill`].
    prefill: f64,
}

impl Speed {
    /// What was learnt of a peer, read once: peers stand far apart on the board.
    fn of<'a>(learned: Option<Learned<'a>>) -> Self {
        let time = |average: fn(&Learned<'a>) -> Average<'a>| {
            learned.and_then(|learned| average(&learned).get()).unwrap_or(0.0)
        };
        Speed { tpot: time(Learned::tpot), slope: time(Learned::slope), prefill: time(Learned::prefill) }
    }

    /// The fastest of these in each respect; 1 where none has taught anything.
    fn fastest(of: &[Speed]) -> Self {
        let least = |known: fn(&Speed) -> f64| {
            of.iter().map(known).filter(|time| *time > 0.0).reduce(f64::min).unwrap_or(1.0)
        };
        Speed {
            tpot: least(|speed| speed.tpot),
            slope: least(|speed| speed.slope),
            prefill: least(|speed| speed.prefill),
        }
    }
}

impl Scores {
    /// Adds up what is in flight at each peer and reads how fast it is, at `now` (ms). A peer that has taught nothing yet
    /// is taken to be as fast as the fastest, so that it gets requests to teach by; what it gets is bounded by what it
    /// then has in flight.
    pub(super) fn follow_work(&mut self, board: &Board, slots: &[Option<u32>], now: u64) {
        board.all_in_flight(slots, &mut self.in_flight);
        let learned = |slot: &Option<u32>| Some(board.slot((*slot)? as usize)?.learned());
        self.speeds.clear();
        self.speeds.extend(slots.iter().map(|slot| Speed::of(learned(slot))));
        let fastest = Speed::fastest(&self.speeds);
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
            known.work = slot.map(|_| Work {
                prefill: own.prefill as f64,
                active: own.active as f64,
                others: background.unwrap_or(0.0),
                tpot: if speed.tpot > 0.0 { speed.tpot } else { fastest.tpot },
                fastest: fastest.tpot,
                slope: ratio(speed.slope, fastest.slope),
                wait: ratio(speed.prefill, fastest.prefill),
            });
        }
    }
}

/// By how much a time is longer than the shortest, 1 to [`SLOWEST`]; 1 for one that is not known.
fn ratio(time: f64, shortest: f64) -> f64 {
    (time / shortest).clamp(1.0, SLOWEST)
}

/// Whether nothing has come from a peer for too long though answers were coming.
fn is_silent(learned: &Learned, now: u64) -> bool {
    let silence = now.saturating_sub(learned.heard_at()) as f64;
    silence > SILENCE_MS && silence > GAPS * learned.gap().get().unwrap_or(0.0)
}

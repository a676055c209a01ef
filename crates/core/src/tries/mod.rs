//! The tries of one worker: requests that it has sent to a peer and that have not ended. They keep the worker's
//! [row](crate::board::Row) right and teach the board what answers tell of a peer.

mod teaching;
#[cfg(test)]
mod tests;
mod verdict;

pub use crate::answer::{Answer, Delivery, Part};

use crate::algorithm::requests;
use crate::balancer::Taken;
use crate::board::{Board, InFlight, Row, Slot};
use crate::failpoint::{Point, hit};
use teaching::is_read_next;

/// How often the tries are looked through for prompts that must be computed by now, in µs.
const SWEEP_US: u64 = 50_000;

/// Where answers come in one piece, a prompt is taken to be computed when so many times the predicted time to its first
/// token has passed: such an answer shows no first token, and its prompt would weigh on the node until its last.
const LATE: f64 = 4.0;

/// The average number of pieces (1 to 2) from which on answers are taken to be streams, so that a first byte that does
/// not come says that the prompt is not computed.
const STREAMS: f64 = 1.95;

/// The time to the first token for each token before it, as a part of the time per output token, while nothing is known
/// of the former: a step of some 20 ms computes one token of each answer or some hundreds of a prompt.
const PREFILL_OF_TPOT: f64 = 0.01;

/// Tokens that a step is taken to compute beside those of prompts: what stands before the first token of any request.
const BESIDE: f64 = 300.0;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The answer came whole.
    Completed,
    /// The engine refused the request for a mistake of its client: 400, 401, 404, …
    Refused,
    /// No connection, an error of the engine (also in the body of a success), no room there (429), or an answer that broke
    /// off.
    Failed,
    /// The client gave up.
    Aborted,
}

/// The name of a try; that of one that has ended names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    index: u32,
    generation: u32,
}

/// Where a worker counts.
#[derive(Debug, Clone, Copy)]
pub struct Ledger<'a> {
    /// The board.
    pub board: Board<'a>,
    /// The worker's own row.
    pub row: Row<'a>,
}

impl<'a> Ledger<'a> {
    fn slot(&self, of: &Try) -> Option<Slot<'a>> {
        self.board.slot(of.slot as usize)
    }
}

/// A try.
#[derive(Debug, Clone, Copy)]
struct Try {
    generation: u32,
    live: bool,
    slot: u32,
    /// Tokens of the prompt that the row still holds.
    prefill: u32,
    /// Whether something of its answer has come.
    speaks: bool,
    /// Whether it has a prompt, so that its answer is one that the engine generates.
    prompted: bool,
    /// Whether it tries a peer that failed.
    trial: bool,
    /// Whether its answer has shown that the peer is well.
    shown: bool,
    /// Whether its answer is read to the end, so that it teaches.
    reads: bool,
    /// Tokens that stood before its first one when it was picked.
    tokens: f64,
    /// Requests that were there when it was picked (see [`requests`]).
    requests: f64,
    picked_at: u64,
    /// When its prompt must be computed, in µs.
    computed_at: u64,
    /// Since when the client has not taken what came (µs), 0 while the client takes it; and for how long it did not before.
    blocked_since: u64,
    blocked: u64,
    answer: Answer,
}

/// The tries of one worker.
#[derive(Debug)]
pub struct Tries {
    tries: Vec<Try>,
    free: Vec<u32>,
    swept_at: u64,
}

impl Tries {
    /// Room for `n` at a time: more are not counted.
    pub fn with_capacity(n: usize) -> Self {
        Tries { tries: Vec::with_capacity(n), free: Vec::with_capacity(n), swept_at: 0 }
    }

    /// A request with a prompt of `prompt` tokens goes to the peer that was taken, at `now` (µs). A prompt of 0 tokens asks for
    /// something that is not generated, and teaches nothing. None if there is no room, or if the peer has no slot.
    pub fn begin(&mut self, at: Ledger, taken: &Taken, prompt: u32, now: u64) -> Option<Id> {
        let Taken { slot, others, trial, .. } = *taken;
        let slot = slot?;
        let index = self.place()?;
        let before = at.board.in_flight(slot as usize);
        at.row.enter(slot as usize, InFlight::one(prompt));
        hit(Point::TryEntered);
        let tokens = before.prefill as f64 + f64::from(prompt) + BESIDE;
        let (mut computed_at, mut reads) = (u64::MAX, false);
        if let Some(known) = at.board.slot(slot as usize) {
            known.count_pick();
            hit(Point::PickCounted);
            reads = is_read_next(&known, now / 1000);
            let learned = known.learned();
            if learned.is_old(before.active, now / 1000) {
                learned.age();
            }
            if learned.pieces().get().is_some_and(|pieces| pieces < STREAMS) {
                let late = first_token(&known, tokens).map(|us| (LATE * us) as u64);
                computed_at = late.map_or(u64::MAX, |late| now.saturating_add(late));
            }
        }
        let one = self.tries.get_mut(index as usize)?;
        // Field by field: a whole `Try` would be copied, its answer included.
        one.generation = one.generation.wrapping_add(1);
        one.live = true;
        one.slot = slot;
        one.prefill = prompt;
        one.speaks = false;
        one.prompted = prompt > 0;
        one.trial = trial;
        one.shown = false;
        one.reads = reads;
        one.tokens = tokens;
        one.requests = requests(before.active as f64, others);
        one.picked_at = now;
        one.computed_at = computed_at;
        one.blocked_since = 0;
        one.blocked = 0;
        one.answer.begin_anew();
        Some(Id { index, generation: one.generation })
    }

    /// A free place, within the capacity: nothing is allocated.
    fn place(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index = u32::try_from(self.tries.len()).ok()?;
        if self.tries.len() == self.tries.capacity() {
            return None;
        }
        self.tries.push(Try {
            generation: 0,
            live: false,
            slot: 0,
            prefill: 0,
            speaks: false,
            prompted: false,
            trial: false,
            shown: false,
            reads: false,
            tokens: 0.0,
            requests: 1.0,
            picked_at: 0,
            computed_at: 0,
            blocked_since: 0,
            blocked: 0,
            answer: Answer::default(),
        });
        Some(index)
    }

    fn get(&mut self, id: Id) -> Option<&mut Try> {
        self.tries.get_mut(id.index as usize).filter(|one| one.live && one.generation == id.generation)
    }

    /// Whether the answer is read to its end. Of other answers only what comes before the first generated text is read.
    pub fn reads(&mut self, id: Id) -> bool {
        self.get(id).is_some_and(|one| one.reads)
    }

    /// Bytes of the answer come at `now` (µs); `is_whole` says whether it is known to come in one piece. Whether the answer began
    /// with them: with its first generated text, or with its first byte where its form is not known or it comes in one piece.
    pub fn read(&mut self, at: Ledger, id: Id, bytes: &[u8], is_whole: bool, now: u64) -> bool {
        self.get(id).is_some_and(|one| {
            let skims = !one.reads && (is_whole || one.speaks);
            one.hear(at, now, |answer| if skims { answer.skim(bytes, now) } else { answer.read(bytes, now) })
        })
    }

    /// Generated events of the answer come at `now` (µs), in place of their bytes. Whether the answer began with them.
    pub fn count(&mut self, at: Ledger, id: Id, part: Part, now: u64) -> bool {
        self.get(id).is_some_and(|one| one.hear(at, now, |answer| answer.count(part, now)))
    }

    /// The rest of the answer cannot be read: it is compressed, an error, or not seen whole. Such an answer teaches nothing.
    pub fn give_up(&mut self, id: Id) {
        if let Some(one) = self.get(id) {
            one.answer.give_up();
        }
    }

    /// What was read of the answer up to now.
    pub fn answer(&mut self, id: Id) -> Option<&Answer> {
        self.get(id).map(|one| &one.answer)
    }

    /// Whether the client has not taken at `now` (µs) all that came, so that nginx does not read on. A stream that is not read
    /// is none of the row's: its silence is the client's.
    pub fn blocked(&mut self, at: Ledger, id: Id, is_blocked: bool, now: u64) {
        if let Some(one) = self.get(id) {
            one.block(at, is_blocked, now);
        }
    }

    /// A try ends at `now` (µs); only one that completed teaches how fast the peer is.
    pub fn end(&mut self, at: Ledger, id: Id, ending: Ending, now: u64) {
        let Some(one) = self.get(id) else { return };
        one.live = false;
        // A success by its status may report an error in its body.
        let has_failed = ending == Ending::Completed && one.answer.error();
        let ending = if has_failed { Ending::Failed } else { ending };
        at.row.leave(
            one.slot as usize,
            InFlight { streams: u64::from(one.is_read()), ..InFlight::one(one.prefill) },
        );
        hit(Point::TryLeft);
        if let Some(slot) = at.slot(one) {
            match ending {
                Ending::Completed => {
                    slot.count_completion();
                    if one.prompted && one.reads {
                        one.teach(&slot);
                    }
                }
                Ending::Refused => slot.count_completion(),
                Ending::Failed => slot.count_failure(),
                Ending::Aborted => slot.count_abort(),
            }
            one.judge(at, &slot, ending, now);
        }
        // As much room as for the tries themselves: it holds each index once.
        self.free.push(id.index);
    }

    /// Lets go of prompts that must be computed by now.
    pub fn sweep(&mut self, at: Ledger, now: u64) {
        if now.saturating_sub(self.swept_at) < SWEEP_US {
            return;
        }
        self.swept_at = now;
        for one in self.tries.iter_mut().filter(|one| one.live && one.computed_at <= now) {
            one.computed(at);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tries.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Try {
    /// Its prompt is computed.
    fn computed(&mut self, at: Ledger) {
        let prefill = InFlight { prefill: u64::from(self.prefill), ..InFlight::default() };
        at.row.leave(self.slot as usize, prefill);
        self.prefill = 0;
        self.computed_at = u64::MAX;
    }
}

/// The predicted time in µs until `tokens` tokens of prompts are computed, None while nothing is known of the peer.
fn first_token(slot: &Slot, tokens: f64) -> Option<f64> {
    let learned = slot.learned();
    let per_token = learned.prefill().get().or_else(|| Some(learned.tpot().get()? * PREFILL_OF_TPOT))?;
    Some(per_token * tokens)
}

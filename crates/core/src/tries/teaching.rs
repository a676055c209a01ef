//! What a try teaches of its peer, while its answer comes and when it has ended.

use super::{Ledger, Try};
use crate::answer::{Answer, Delivery, FASTEST};
use crate::board::{InFlight, Slot};
use crate::failpoint::{Point, hit};

/// Tokens from which on an answer teaches a time per token: a few steps scatter too much.
const ENOUGH_TOKENS: f64 = 8.0;

/// An answer teaches no time per token if its client took nothing for more than this part of its time: what stood in
/// buffers meanwhile came at once afterwards.
const BLOCKED_PART: f64 = 0.05;

/// The first answers of a peer are read to their end, so that it is soon known.
const FIRST_ANSWERS: u64 = 8;

/// Later ones are read if the last one that was read began this long ago, in ms: five a second teach as well as all, and to read
/// every answer would cost more than all else that a request needs.
const READ_EVERY_MS: u64 = 200;

/// Whether the answer to the request that goes to a peer at `now` (ms) is read to its end.
pub(super) fn is_read_next(peer: &Slot, now: u64) -> bool {
    let reads =
        peer.learned().wait().count() < FIRST_ANSWERS || now.saturating_sub(peer.read_at()) >= READ_EVERY_MS;
    if reads {
        peer.set_read_at(now);
    }
    reads
}

impl Try {
    /// Whether nginx reads a stream of it.
    pub(super) fn is_read(&self) -> bool {
        self.speaks && self.blocked_since == 0
    }

    /// Something of its answer comes at `now` (µs) and is read. Whether the answer began with that.
    pub(super) fn hear(&mut self, at: Ledger, now: u64, read: impl FnOnce(&mut Answer)) -> bool {
        self.count_blocked(now);
        let before = self.answer.signs();
        read(&mut self.answer);
        if self.answer.signs() == before {
            return false;
        }
        let coming = at.row.in_flight(self.slot as usize).streams > 0;
        let begins = !self.speaks;
        if begins {
            self.speaks = true;
            self.computed(at);
            hit(Point::PromptComputed);
            self.enter_stream(at);
        }
        if let Some(slot) = at.slot(self) {
            // Only generated text tells how long an engine pauses.
            slot.learned().hear(now / 1000, coming && self.answer.is_known());
            self.note_progress(at, &slot, now);
        }
        begins
    }

    /// Whether its client has not taken at `now` (µs) all that came.
    pub(super) fn block(&mut self, at: Ledger, is_blocked: bool, now: u64) {
        if is_blocked == (self.blocked_since > 0) {
            return;
        }
        if is_blocked {
            if self.speaks {
                at.row.leave(self.slot as usize, InFlight { streams: 1, ..InFlight::default() });
            }
            self.blocked_since = now.max(1);
            return;
        }
        self.count_blocked(now);
        self.blocked_since = 0;
        if self.speaks {
            self.enter_stream(at);
            if let Some(slot) = at.slot(self) {
                // From now on the engine is waited for.
                slot.learned().hear(now / 1000, false);
            }
        }
    }

    fn enter_stream(&self, at: Ledger) {
        if self.is_read() {
            at.row.enter(self.slot as usize, InFlight { streams: 1, ..InFlight::default() });
        }
    }

    /// Adds the time up to `now` (µs) for which its client took nothing.
    fn count_blocked(&mut self, now: u64) {
        if self.blocked_since > 0 {
            self.blocked = self.blocked.saturating_add(now.saturating_sub(self.blocked_since));
            self.blocked_since = now.max(1);
        }
    }

    /// Teaches what its answer tells of the peer: a whole answer of generated text that reports no error. One that was held
    /// back on the way teaches nothing but how long clients wait here.
    pub(super) fn teach(&self, slot: &Slot) {
        let (answer, learned) = (&self.answer, slot.learned());
        let first_at = answer.first_at().filter(|_| !answer.error());
        let (Some(first_at), Some(delivery)) = (first_at, answer.delivery(self.picked_at)) else { return };
        let waited = |until: u64| until.saturating_sub(self.picked_at) as f64;
        // However the text came, its client waited so long.
        learned.wait().learn(waited(first_at));
        match delivery {
            Delivery::Held => {}
            Delivery::Streamed => {
                learned.pieces().learn(2.0);
                learned.prefill().learn(waited(first_at) / self.tokens);
                self.teach_tpot(slot, answer.duration() as f64, answer.steps_after_first());
            }
            Delivery::Whole => {
                learned.pieces().learn(1.0);
                let whole = waited(answer.last_at());
                let decoding = whole - learned.prefill().get().map_or(0.0, |us| us * self.tokens);
                self.teach_tpot(slot, decoding.max(whole / 2.0), answer.steps());
            }
        }
    }

    /// Teaches the time per token of `steps` steps in `us` µs.
    fn teach_tpot(&self, slot: &Slot, us: f64, steps: f64) {
        let blocked = self.blocked as f64;
        let per_token = (us - blocked) / steps;
        if self.answer.steps() >= ENOUGH_TOKENS && blocked <= BLOCKED_PART * us && per_token > FASTEST {
            let learned = slot.learned();
            learned.tpot().learn(per_token);
            learned.slope().learn(per_token / self.requests);
        }
    }
}

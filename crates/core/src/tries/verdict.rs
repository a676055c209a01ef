//! What the end of a try shows of its peer's health.

use super::{Ending, Ledger, Try};
use crate::board::Slot;

/// A client that gave up sooner than this, in µs, shows nothing of the peer.
const HASTE_US: u64 = 500_000;

/// A client had reason to give up when it waited for as many times what requests usually wait there for their first token.
const OVERDUE: f64 = 2.0;

/// A stream shows that its peer is well when its text has kept coming for this time, in µs: an engine that hangs may have sent
/// a few tokens.
const KEEPS_COMING_US: u64 = 1_000_000;

impl Try {
    /// Records what the end of the try shows: a good answer, a failure, or nothing.
    pub(super) fn judge(&self, at: Ledger, slot: &Slot, ending: Ending, now: u64) {
        let (begun, now_ms, health) = (self.picked_at / 1000, now / 1000, slot.health());
        let failed = match ending {
            Ending::Failed => true,
            Ending::Aborted => self.kept_client_waiting(slot, now),
            Ending::Completed | Ending::Refused => false,
        };
        let changed = match ending {
            _ if failed => {
                health.set_fails_to_generate(self.prompted);
                health.fail(begun, now_ms)
            }
            // Lists of models and the like come from engines that generate nothing, too.
            _ if !self.prompted && (ending == Ending::Refused || health.fails_to_generate()) => false,
            Ending::Completed => health.succeed(begun),
            Ending::Refused => health.refuse(begun, now_ms),
            Ending::Failed | Ending::Aborted => false,
        };
        if changed {
            at.board.touch(slot);
        }
        // A trial that showed nothing leaves the right to try to another request.
        if self.trial && !failed && health.failures() > 0 {
            health.end_trial();
        }
    }

    /// Text keeps coming: if the peer failed before this try began, it is well again.
    pub(super) fn note_progress(&mut self, at: Ledger, slot: &Slot, now: u64) {
        let first_at = self.answer.first_at().unwrap_or(now);
        if self.shown || now.saturating_sub(first_at) < KEEPS_COMING_US {
            return;
        }
        self.shown = true;
        let health = slot.health();
        let begun = self.picked_at / 1000;
        if health.failures() > 0 && begun >= health.failed_at() && health.succeed(begun) {
            at.board.touch(slot);
        }
    }

    /// Whether a client that gave up at `now` had reason to: no first token long after it was to come, or a stream that
    /// paused for long. A client that took nothing waited for nothing.
    fn kept_client_waiting(&self, slot: &Slot, now: u64) -> bool {
        if self.blocked_since > 0 {
            return false;
        }
        let learned = slot.learned();
        match self.answer.first_at() {
            // What the client did not take was not read either.
            Some(_) if self.blocked_since > 0 => false,
            Some(_) => {
                let unusual = learned.unusual_pause_ms() * 1000.0;
                let pause = now.saturating_sub(self.answer.last_at());
                pause >= HASTE_US && pause as f64 >= unusual
            }
            None => {
                let waited = now.saturating_sub(self.picked_at);
                waited >= HASTE_US && waited as f64 >= OVERDUE * learned.wait().get().unwrap_or(0.0)
            }
        }
    }
}

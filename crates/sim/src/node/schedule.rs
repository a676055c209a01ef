//! One step of the engine: who gets tokens computed, how long it takes, and what comes out.

use super::sequence::Sequence;
use super::{Event, EventKind, Nanos, Node, nanos};

impl Node {
    /// Plans the next step at `now`: decoding sequences first, then the prefill that is under way, then the queue.
    pub(super) fn begin_step(&mut self, now: Nanos) {
        let resident = self.batch.resident();
        let preempted = self.make_room_to_decode();
        let decoding = self.batch.decoding().len();
        let mut budget = self.spec.prefill_budget.saturating_sub(decoding as u32);
        let whole = budget;
        if !preempted && self.continue_prefill(&mut budget) {
            self.admit_waiting(&mut budget);
        }
        let prefill = whole - budget;
        if decoding == 0 && prefill == 0 {
            return;
        }
        let ms = self.spec.step.ms(prefill, decoding, resident);
        let noise = (self.noise.draw() * self.spec.noise).exp();
        self.step_end = Some(now + nanos(ms * noise * self.pace).max(1));
    }

    /// Gives every decoding sequence room for one more token, if need be by sending the newest back to the queue.
    /// Returns whether any was sent back; vLLM admits nobody in such a step.
    fn make_room_to_decode(&mut self) -> bool {
        let mut preempted = false;
        while !self.batch.begin_decode() {
            preempted |= self.preempt();
        }
        preempted
    }

    fn preempt(&mut self) -> bool {
        let sequence = self.batch.preempt();
        self.counters.preemptions += u64::from(sequence.is_some());
        if let Some(sequence) = sequence {
            self.waiting.push_front(sequence);
        }
        sequence.is_some()
    }

    /// Returns whether the queue may be looked at: not if the prefill had to be sent back for want of blocks.
    fn continue_prefill(&mut self, budget: &mut u32) -> bool {
        let Some(partial) = self.batch.partial() else { return true };
        let (chunk, computed) = partial.chunk(*budget);
        if !self.batch.fits(partial, chunk) {
            self.preempt();
            return false;
        }
        if let Some(partial) = self.batch.take_partial() {
            self.batch.prefill(partial, chunk);
            *budget -= computed;
        }
        true
    }

    /// Admits from the head of the queue while places, tokens and blocks last; a head that does not fit blocks it.
    fn admit_waiting(&mut self, budget: &mut u32) {
        while *budget > 0
            && self.batch.partial().is_none()
            && self.batch.running() < self.spec.max_seqs as usize
        {
            let Some(first) = self.waiting.front() else { return };
            let (chunk, computed) = first.chunk(*budget);
            if !self.batch.fits(first, chunk) {
                return;
            }
            if let Some(first) = self.waiting.pop_front() {
                self.batch.prefill(first, chunk);
                *budget -= computed;
            }
        }
    }

    /// Hands out what the step that ends at `at` computed.
    pub(super) fn end_step(&mut self, at: Nanos, out: &mut Vec<Event>) {
        let event = |sequence: &Sequence, kind| Event { at, id: sequence.id, kind };
        let counters = &mut self.counters;
        counters.steps += 1;
        counters.generation_tokens += self.batch.decoding().len() as u64;
        if self.each_token {
            out.extend(self.batch.decoding().iter().map(|sequence| event(sequence, EventKind::Token)));
        }
        self.batch.end_decode(|sequence| {
            counters.finished += 1;
            out.push(event(sequence, EventKind::Done));
        });
        self.batch.end_prefill(|sequence, done| {
            counters.generation_tokens += 1;
            if sequence.generated == 0 {
                counters.prompt_tokens += u64::from(sequence.prompt);
                out.push(event(sequence, EventKind::FirstToken));
            } else if self.each_token {
                out.push(event(sequence, EventKind::Token));
            }
            if done {
                counters.finished += 1;
                out.push(event(sequence, EventKind::Done));
            }
        });
    }
}

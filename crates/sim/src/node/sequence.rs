//! The sequences of a batch and the KV blocks that they hold.

use super::{BLOCK_TOKENS, Nanos, Request};

/// A request on its way through the node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub id: u64,
    pub prompt: u32,
    pub output: u32,
    /// When it leaves the API server.
    pub ready: Nanos,
    /// Tokens that had come out when it (last) entered the decoding sequences.
    pub generated: u32,
    /// Tokens computed by its prefill so far; its whole context once it decodes.
    pub prefilled: u32,
    /// Tokens at the head of its prompt that the prefix cache holds.
    cached: u32,
    /// The number of decode steps when it entered the decoding sequences.
    joined: u64,
}

impl Sequence {
    pub fn new(request: Request, cached: u32) -> Self {
        let (prompt, output) = (request.prompt.max(1), request.output.max(1));
        let cached = cached.min(prompt - 1);
        Self { id: request.id, prompt, output, ready: 0, generated: 0, prefilled: 0, cached, joined: 0 }
    }

    /// The tokens that its prefill takes in a step that may compute so many, and how many of them it computes: those
    /// that the prefix cache holds come without.
    pub fn chunk(&self, budget: u32) -> (u32, u32) {
        let free = self.cached.saturating_sub(self.prefilled);
        let chunk = self.prefill_left().min(budget + free);
        (chunk, chunk.saturating_sub(free))
    }

    /// Tokens that its prefill still has to compute: the prompt and, after a preemption, what had come out.
    pub fn prefill_left(&self) -> u32 {
        self.prompt + self.generated - self.prefilled
    }

    /// The decode step that brings the last token.
    fn last_step(&self) -> u64 {
        self.joined + u64::from(self.output - self.generated)
    }

    /// Its place in the cycle of block boundaries: after `s` steps it holds `prefilled - joined + s` tokens, and needs
    /// a block for the next one if that is a multiple of 16.
    fn phase(&self) -> usize {
        phase(u64::from(self.prefilled).wrapping_sub(self.joined))
    }
}

fn phase(of: u64) -> usize {
    (of % u64::from(BLOCK_TOKENS)) as usize
}

fn blocks(tokens: u32) -> u32 {
    tokens.div_ceil(BLOCK_TOKENS)
}

/// What is in the batch. Blocks are taken when a step begins, so all numbers hold in the middle of a step too.
#[derive(Debug)]
pub(super) struct Batch {
    /// Sequences that gain a token in every step, oldest first.
    decoding: Vec<Sequence>,
    /// Sequences whose prefill ends with this step, oldest first.
    joining: Vec<Sequence>,
    /// The one sequence whose prefill takes further steps. It is newer than all others.
    partial: Option<Sequence>,
    /// Decode steps that were begun.
    steps: u64,
    /// How many decoding sequences have each phase (see [`Sequence::phase`]).
    phases: [u32; BLOCK_TOKENS as usize],
    /// A step before which no decoding sequence ends.
    next_last_step: u64,
    resident: u64,
    total_blocks: u32,
    free_blocks: u32,
}

impl Batch {
    pub fn new(kv_blocks: u32, max_seqs: u32) -> Self {
        Self {
            decoding: Vec::with_capacity(max_seqs as usize),
            joining: Vec::with_capacity(max_seqs as usize),
            partial: None,
            steps: 0,
            phases: [0; BLOCK_TOKENS as usize],
            next_last_step: u64::MAX,
            resident: 0,
            total_blocks: kv_blocks,
            free_blocks: kv_blocks,
        }
    }

    pub fn running(&self) -> usize {
        self.decoding.len() + self.joining.len() + usize::from(self.partial.is_some())
    }

    pub fn decoding(&self) -> &[Sequence] {
        &self.decoding
    }

    /// The decoding sequences and their tokens, that of a step that was begun included.
    pub fn coming(&self) -> impl Iterator<Item = (u64, u32)> {
        self.decoding
            .iter()
            .map(|sequence| (sequence.id, sequence.generated + (self.steps - sequence.joined) as u32))
    }

    pub fn resident(&self) -> u64 {
        self.resident
    }

    pub fn kv_use(&self) -> f64 {
        f64::from(self.total_blocks - self.free_blocks) / f64::from(self.total_blocks)
    }

    /// Takes the blocks of the next decode step and begins it. `false` (and nothing done) if they are not free.
    pub fn begin_decode(&mut self) -> bool {
        let needed = self.phases[phase(0u64.wrapping_sub(self.steps))];
        if needed > self.free_blocks {
            return false;
        }
        self.free_blocks -= needed;
        self.resident += self.decoding.len() as u64;
        self.steps += 1;
        true
    }

    /// Drops the newest sequence and its blocks, and returns it as it goes back to the queue. Only between steps.
    pub fn preempt(&mut self) -> Option<Sequence> {
        let mut sequence = match self.partial.take() {
            Some(partial) => {
                self.free(partial.prefilled);
                partial
            }
            None => {
                let mut last = self.decoding.pop()?;
                self.leave(&last);
                last.generated += (self.steps - last.joined) as u32;
                last
            }
        };
        sequence.prefilled = 0;
        Some(sequence)
    }

    /// The sequence that is in the middle of its prefill.
    pub fn partial(&self) -> Option<&Sequence> {
        self.partial.as_ref()
    }

    /// Takes out the sequence that is in the middle of its prefill, with its blocks, to give it to [`Batch::prefill`].
    pub fn take_partial(&mut self) -> Option<Sequence> {
        self.partial.take()
    }

    /// Whether the blocks are free that `chunk` more tokens of this sequence take.
    pub fn fits(&self, sequence: &Sequence, chunk: u32) -> bool {
        blocks(sequence.prefilled + chunk) - blocks(sequence.prefilled) <= self.free_blocks
    }

    /// Puts `chunk` tokens of the sequence's prefill, which fit, into this step.
    pub fn prefill(&mut self, mut sequence: Sequence, chunk: u32) {
        self.free_blocks -= blocks(sequence.prefilled + chunk) - blocks(sequence.prefilled);
        self.resident += u64::from(chunk);
        sequence.prefilled += chunk;
        if sequence.prefill_left() == 0 {
            self.joining.push(sequence);
        } else {
            self.partial = Some(sequence);
        }
    }

    /// Ends the step for the decoding sequences: calls `done` for each that had its last token, which leaves.
    pub fn end_decode(&mut self, mut done: impl FnMut(&Sequence)) {
        if self.steps < self.next_last_step {
            return;
        }
        self.next_last_step = u64::MAX;
        let mut decoding = std::mem::take(&mut self.decoding);
        decoding.retain(|sequence| {
            let last = sequence.last_step();
            if last <= self.steps {
                self.leave(sequence);
                done(sequence);
            } else {
                self.next_last_step = self.next_last_step.min(last);
            }
            last > self.steps
        });
        self.decoding = decoding;
    }

    /// Ends the step for the sequences whose prefill is complete: each has one more token, and decodes from the next
    /// step on unless that was its last. Calls `each` with the sequence as it was and whether it is done.
    pub fn end_prefill(&mut self, mut each: impl FnMut(&Sequence, bool)) {
        let mut joining = std::mem::take(&mut self.joining);
        for mut sequence in joining.drain(..) {
            let done = sequence.generated + 1 == sequence.output;
            each(&sequence, done);
            if done {
                self.free(sequence.prefilled);
            } else {
                sequence.generated += 1;
                sequence.joined = self.steps;
                self.phases[sequence.phase()] += 1;
                self.next_last_step = self.next_last_step.min(sequence.last_step());
                self.decoding.push(sequence);
            }
        }
        self.joining = joining;
    }

    /// Takes out one sequence, if it is here.
    pub fn remove(&mut self, id: u64) -> bool {
        if let Some(at) = self.decoding.iter().position(|sequence| sequence.id == id) {
            let sequence = self.decoding.remove(at);
            self.leave(&sequence);
            return true;
        }
        let joining = self.joining.iter().position(|sequence| sequence.id == id);
        let found = match joining {
            Some(at) => Some(self.joining.remove(at)),
            None => self.partial.take_if(|partial| partial.id == id),
        };
        if let Some(sequence) = found {
            self.free(sequence.prefilled);
        }
        found.is_some()
    }

    /// Gives back what a decoding sequence holds.
    fn leave(&mut self, sequence: &Sequence) {
        self.phases[sequence.phase()] -= 1;
        self.free(sequence.prefilled + (self.steps - sequence.joined) as u32);
    }

    fn free(&mut self, tokens: u32) {
        self.free_blocks += blocks(tokens);
        self.resident -= u64::from(tokens);
    }
}

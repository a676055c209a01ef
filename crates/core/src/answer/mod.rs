//! What a worker reads of an answer while the answer comes: how many tokens were generated, and when.
//!
//! A token is a token whatever the form of the API: the reader finds the generated text in the events, lines or objects of
//! each form that it knows (`paths`), and takes the engine's own count where the answer has one. An answer in a form
//! that is not known has no tokens.

mod doc;
mod frame;
mod json;
mod keys;
mod opening;
mod paths;
mod skim;
#[cfg(test)]
mod tests;
mod text;

use doc::Said;
use frame::{Form, Found, Frames};

/// Less than any engine needs for a token of one answer, in µs. Text that comes faster was not generated then: it was held
/// back on the way, or comes from a cache.
pub(crate) const FASTEST: f64 = 50.0;

/// Events that come within this time of the first one, in µs, came with it.
const MOMENT_US: u64 = 1_000;

/// A stream was held back on the way where it took less than this time for a token, in µs, and less than
/// 1/[`HELD_PART`] of the time before its first token. Engines generate no faster but for small models on large
/// accelerators, and those do not keep a request waiting so long.
const HELD_US: f64 = 1_000.0;
const HELD_PART: u64 = 8;

/// Where an engine counts this many times the tokens that it showed, it generated most of them before it showed any: it
/// does not show what its model reasons. Text that is not counted right is off by less.
const HIDDEN: f64 = 3.0;

/// What a worker sees of generated events that came at one moment; stands for their bytes in the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Part {
    /// Events: those of a stream, or one for an answer in one piece.
    pub events: u32,
    /// The tokens that they hold, as far as a reader can tell.
    pub tokens: f64,
}

/// How the text of an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Token by token, or some at a time, as the engine generated them.
    Streamed,
    /// In one piece, or with its first part before its text.
    Whole,
    /// As a stream whose events all came at the end: something on the way held them back.
    Held,
}

/// What came of an answer. It has a fixed size and allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Answer {
    frames: Frames,
    seen: Seen,
}

/// What was seen of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Seen {
    /// Documents with generated text.
    events: u32,
    /// Their tokens, by what they look like, and those that came with the first.
    shown: f64,
    at_first: f64,
    /// The tokens of the last text that repeats those before it.
    before: f64,
    /// The engine's count, and what of it was reasoning; 0 if it does not count.
    counted: u64,
    hidden: u64,
    reasons: bool,
    may_have_prompt: bool,
    error: bool,
    /// Parts of the answer that were generated, or of which that is not known.
    signs: u32,
    /// When the first and the last generated text came, in µs, 0 before.
    first_at: u64,
    last_at: u64,
}

impl Answer {
    /// Becomes another answer. Nothing of it has come yet.
    pub fn begin_anew(&mut self) {
        self.frames.begin_anew();
        self.seen = Seen::default();
    }

    /// Reads a piece that came at `now` (µs).
    pub fn read(&mut self, bytes: &[u8], now: u64) {
        let seen = &mut self.seen;
        self.frames.read(bytes, &mut |found| seen.find(found, now));
        if self.frames.form() == Form::Other && !bytes.is_empty() {
            seen.sign();
        }
    }

    /// Passes over a piece that came at `now` (µs): it is a sign of life, and looked through for an error, but its tokens are not
    /// counted.
    pub fn skim(&mut self, bytes: &[u8], now: u64) {
        // A comment, which servers send while an engine is silent.
        if bytes.starts_with(b":") {
            return;
        }
        self.seen.sign();
        if self.seen.first_at > 0 {
            self.seen.last_at = now;
        }
        self.seen.error |= skim::shows_error(bytes);
    }

    /// Counts generated events that came at `now` (µs), in place of their bytes.
    pub fn count(&mut self, part: Part, now: u64) {
        if part.events > 0 {
            self.seen.generate(part.events, part.tokens, now);
        }
    }

    /// What comes cannot be read: it is compressed, is an error, or was not seen whole. The answer is not known from now on.
    pub fn give_up(&mut self) {
        self.frames.give_up();
    }

    /// Whether the answer is a text that was generated, in a form that is known.
    pub fn is_known(&self) -> bool {
        self.seen.events > 0 && self.frames.form() != Form::Other
    }

    /// Whether it has begun: with generated text, or with anything where the form is not known. Comments, events without
    /// text and the names of events are no beginning.
    pub fn has_begun(&self) -> bool {
        self.seen.signs > 0
    }

    /// How many parts have shown that the engine is at work; only changes matter.
    pub fn signs(&self) -> u32 {
        self.seen.signs
    }

    /// Whether it reports an error: in the forms of OpenAI, Anthropic, Ollama, text-generation-inference, vLLM and SGLang.
    pub fn error(&self) -> bool {
        self.seen.error
    }

    /// When the first generated text came (µs), None before.
    pub fn first_at(&self) -> Option<u64> {
        (self.seen.first_at > 0).then_some(self.seen.first_at)
    }

    /// When the last generated text came (µs), 0 before.
    pub fn last_at(&self) -> u64 {
        self.seen.last_at
    }

    /// The time in µs from the first generated text to the last.
    pub fn duration(&self) -> u64 {
        self.seen.last_at.saturating_sub(self.seen.first_at)
    }

    /// The tokens that were generated, of all choices: by the engine's count where there is one, else by events and text.
    pub fn tokens(&self) -> f64 {
        if self.seen.counted > 0 { self.seen.counted as f64 } else { self.seen.shown }
    }

    /// The steps in which they were generated, one after the other: the tokens of the longest choice. 0 if that cannot be
    /// told, because a text in one piece can have the prompt in front of it.
    pub fn steps(&self) -> f64 {
        let is_unclear = self.seen.may_have_prompt && !self.is_stream() && self.seen.counted == 0;
        if is_unclear { 0.0 } else { self.tokens() * self.frames.longest() }
    }

    /// The steps between the first generated text and the last: the time between is theirs.
    pub fn steps_after_first(&self) -> f64 {
        let Seen { shown, at_first, .. } = self.seen;
        let part = if shown > 0.0 { (shown - at_first).max(0.0) / shown } else { 0.0 };
        self.visible() * part * self.frames.longest()
    }

    /// Whether it has the form of a stream.
    pub fn is_stream(&self) -> bool {
        self.is_known() && (self.seen.events > 1 || matches!(self.frames.form(), Form::Events(_)))
    }

    /// How the text came of an answer to a request that was sent at `asked_at` (µs), None if the answer is not known.
    pub fn delivery(&self, asked_at: u64) -> Option<Delivery> {
        let first_at = self.first_at().filter(|_| self.is_known())?;
        if !self.is_stream() {
            return Some(Delivery::Whole);
        }
        let per_token = self.duration() as f64 / self.steps_after_first().max(1.0);
        let waited = first_at.saturating_sub(asked_at);
        let held = per_token < FASTEST
            || (per_token < HELD_US && self.duration().saturating_mul(HELD_PART) < waited);
        Some(if held {
            Delivery::Held
        } else if self.hides() {
            Delivery::Whole
        } else {
            Delivery::Streamed
        })
    }

    /// The tokens that were generated to be shown.
    fn visible(&self) -> f64 {
        let hidden = if self.seen.reasons { 0.0 } else { self.seen.hidden as f64 };
        (self.tokens() - hidden).max(0.0)
    }

    /// Whether the first text came long after the first token.
    fn hides(&self) -> bool {
        self.visible() > HIDDEN * self.seen.shown
    }
}

impl Seen {
    fn find(&mut self, found: Found, now: u64) {
        match found {
            Found::Document(said) => self.hear(said, now),
            Found::NoDocument => self.sign(),
            Found::Error => self.error = true,
        }
    }

    fn hear(&mut self, said: Said, now: u64) {
        self.error |= said.error;
        self.reasons |= said.reasons;
        self.hidden = self.hidden.max(said.hidden);
        self.may_have_prompt |= said.may_have_prompt;
        if let Some(tokens) = said.tokens {
            let tokens = self.news(said, tokens);
            self.generate(1, tokens, now);
        } else if !said.known && !said.error {
            self.sign();
        }
        self.counted = self.counted.max(said.counted);
    }

    /// The tokens of a document beyond those before it.
    fn news(&mut self, said: Said, tokens: f64) -> f64 {
        if said.is_cumulative {
            let news = if self.events == 0 { 1.0 } else { (tokens - self.before).max(1.0) };
            self.before = tokens;
            return news;
        }
        // Where each document has a count, the counts tell. Where only the last has one, that is the sum.
        let counts = said.counted > 0 && (self.events == 0 || self.counted > 0);
        if counts { said.counted.saturating_sub(self.counted) as f64 } else { tokens }
    }

    fn generate(&mut self, events: u32, tokens: f64, now: u64) {
        self.sign();
        if self.first_at == 0 {
            self.first_at = now;
        }
        if now.saturating_sub(self.first_at) <= MOMENT_US {
            self.at_first += tokens;
        }
        self.last_at = now;
        self.shown += tokens;
        self.events = self.events.saturating_add(events);
    }

    fn sign(&mut self) {
        self.signs = self.signs.saturating_add(1);
    }
}

//! What one document of an answer holds: an event of a stream, a line of JSON, or a whole answer.

use super::keys;
use super::paths::{Count, List, Mark, Source, Want, Word};
use super::text::Text;

/// Choices whose lengths are kept apart; of further ones only the number is kept.
const CHOICES: usize = 8;

/// What a document is, by its member `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Type {
    #[default]
    None,
    /// A delta of an OpenAI response, but of its audio.
    ResponseDelta,
    /// Another event of an OpenAI response.
    Response,
    /// A delta of an Anthropic message.
    BlockDelta,
    /// A whole Anthropic message.
    Message,
    /// Another event of an Anthropic message.
    MessageEvent,
    Error,
}

impl Type {
    fn of(word: &[u8]) -> Type {
        match word {
            b"error" | b"response.failed" | b"response.error" => Type::Error,
            b"content_block_delta" => Type::BlockDelta,
            b"message" => Type::Message,
            b"message_start"
            | b"message_delta"
            | b"message_stop"
            | b"content_block_start"
            | b"content_block_stop"
            | b"ping" => Type::MessageEvent,
            _ if !word.starts_with(b"response.") => Type::None,
            _ if word.ends_with(b".delta") && !word.starts_with(b"response.audio") => Type::ResponseDelta,
            _ => Type::Response,
        }
    }
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Doc {
    /// Where its text stands, None while it has none.
    source: Option<Source>,
    /// The text; of choices, that of the one that is being read.
    text: Text,
    /// Whether the string that is being read counts.
    taking: bool,
    /// The text is a list, and its elements.
    texts: u32,
    /// The choice that is being read: its number, its tokens by the lists, and which name its reasoning has.
    choice: u32,
    lists: [u32; 2],
    reasoning_as: Option<Source>,
    /// The list that is being read, and its level.
    list: Option<(List, u32)>,
    /// The tokens of the choices that have been read.
    tokens: f64,
    /// A bit for each [`Mark`].
    marks: u8,
    is: Type,
    is_response: bool,
    has_failed: bool,
    counts: [u64; 3],
    hidden: u64,
    news: u64,
    /// It is, or tells of, an error.
    error: bool,
    /// It belongs to an answer that is not text.
    pub foreign: bool,
    /// It shows what the model reasons.
    reasons: bool,
    /// The lengths of the answer's choices, of this document and of those before.
    pub lengths: Lengths,
}

/// What a document says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    /// The tokens of its text, by what they look like; None if it has no generated text.
    pub tokens: Option<f64>,
    /// Its text has what came before it in front: the prompt, too.
    pub is_cumulative: bool,
    /// A document like this can have the prompt in front of its text.
    pub may_have_prompt: bool,
    /// The tokens that were generated up to now, as the engine counts them; 0 if it does not.
    pub counted: u64,
    /// Those among them that were reasoning.
    pub hidden: u64,
    /// It shows what the model reasons.
    pub reasons: bool,
    /// Its form is known.
    pub known: bool,
    /// It is, or tells of, an error.
    pub error: bool,
}

impl Doc {
    /// A string begins.
    pub fn string(&mut self, want: Want, in_array: bool) {
        let Want::Text(source) = want else { return };
        self.taking = self.takes(source);
        if self.taking && in_array && source == Source::Text {
            self.texts = self.texts.saturating_add(1);
        }
    }

    /// Whether a text from there counts, beside those that were read before.
    fn takes(&mut self, source: Source) -> bool {
        let family = source.family();
        match self.source {
            Some(before) if before == family => {}
            Some(before) if before > family => return false,
            _ => (self.source, self.text, self.texts) = (Some(family), Text::default(), 0),
        }
        if family == source {
            return true;
        }
        *self.reasoning_as.get_or_insert(source) == source
    }

    /// A part of a string whose text is generated.
    pub fn text(&mut self, text: &[u8]) {
        if self.taking {
            self.text.read(text);
        }
    }

    /// A character of such a string that was escaped.
    pub fn unit(&mut self, unit: u16) {
        if self.taking {
            self.text.read_unit(unit);
        }
    }

    /// A string ends.
    pub fn end_string(&mut self, want: Want, empty: bool) {
        match want {
            // An empty text under one name leaves the other to count.
            Want::Text(Source::Reasoning | Source::ReasoningContent) if self.taking && empty => {
                self.reasoning_as = None;
            }
            Want::Text(Source::Reasoning | Source::ReasoningContent) => self.reasons = true,
            Want::Error => self.error |= !empty,
            Want::Mark(mark) => self.mark(mark),
            _ => {}
        }
    }

    /// A word that matters.
    pub fn word(&mut self, which: Word, word: &[u8]) {
        match which {
            Word::Type => {
                self.is = Type::of(word);
                let thinks = word.starts_with(b"response.reasoning_text");
                self.reasons |= thinks;
            }
            Word::Object => {
                self.is_response = word == b"response";
                self.error |= word == b"error";
            }
            Word::Status => self.has_failed = word == b"failed",
            // vLLM and SGLang end so what they gave up.
            Word::Finish => self.error |= matches!(word, b"error" | b"abort"),
        }
    }

    /// A number or a literal.
    pub fn scalar(&mut self, want: Want, scalar: &[u8]) {
        let digits = scalar.iter().take_while(|byte| byte.is_ascii_digit());
        let number = || {
            digits
                .fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        };
        match want {
            Want::Count(which) => {
                let count = &mut self.counts[which as usize];
                *count = count.saturating_add(number());
            }
            Want::Reasoning => self.hidden = self.hidden.max(number()),
            Want::News => self.news = self.news.saturating_add(number()),
            Want::Choice => self.choice = number().try_into().unwrap_or(u32::MAX),
            Want::Mark(mark) => self.mark(mark),
            Want::Error => self.error |= scalar == b"true",
            _ => {}
        }
    }

    /// An object begins.
    pub fn object(&mut self, want: Want) {
        match want {
            Want::Mark(mark) => self.mark(mark),
            Want::Error => self.error = true,
            _ => {}
        }
    }

    /// An array begins, at this level.
    pub fn array(&mut self, want: Want, depth: u32) {
        match want {
            Want::Tokens(list) => self.list = Some((list, depth)),
            Want::Mark(mark) => self.mark(mark),
            Want::Foreign => self.foreign = true,
            _ => {}
        }
    }

    /// An element of an array of this level begins.
    pub fn element(&mut self, depth: u32) {
        if let Some((list, at)) = self.list
            && at == depth
        {
            let tokens = &mut self.lists[list as usize];
            *tokens = tokens.saturating_add(1);
        }
    }

    /// An array of this level ends.
    pub fn end_array(&mut self, depth: u32) {
        self.list = self.list.filter(|(_, at)| *at != depth);
    }

    fn mark(&mut self, mark: Mark) {
        self.marks |= 1 << mark as u8;
    }

    fn has(&self, mark: Mark) -> bool {
        self.marks & 1 << mark as u8 != 0
    }

    /// An object under this path ends.
    pub fn end_object(&mut self, path: u64) {
        if path == u64::from(keys::CHOICES) {
            self.end_choice();
        }
    }

    fn end_choice(&mut self) {
        let [logprobs, ids] = self.lists;
        let listed = logprobs.max(ids);
        let tokens = if listed > 0 { f64::from(listed) } else { self.text.tokens() };
        if tokens > 0.0 {
            self.tokens += tokens;
            self.lengths.add(self.choice, tokens);
        }
        (self.text, self.choice, self.lists, self.reasoning_as) = (Text::default(), 0, [0; 2], None);
    }

    /// Begins with the next document.
    pub fn next(&mut self) {
        *self = Doc { lengths: self.lengths, ..Doc::default() };
    }

    /// Holds what another document held that began in the same way.
    pub fn read_as(&mut self, other: &Doc) {
        *self = Doc { lengths: self.lengths, ..*other };
    }

    /// What the document says, once it has ended.
    pub fn said(&self) -> Said {
        let own = self.counts[Count::Own as usize];
        let has_form = match self.source {
            None => false,
            Some(Source::Text) => self.texts > 0 || self.has(Mark::Meta) || self.has(Mark::History),
            Some(Source::Content) => self.has(Mark::Stop) || self.is == Type::Message || own > 0,
            Some(Source::Ollama) => self.has(Mark::Done),
            Some(Source::Output) => self.is_response,
            Some(Source::Delta) => self.is == Type::ResponseDelta,
            Some(Source::Block) => self.is == Type::BlockDelta,
            Some(_) => true,
        };
        let text = self.tokens_of_text();
        let untold = self.has(Mark::Generated)
            && (self.has(Mark::Done) || self.has(Mark::Meta) || self.is == Type::Message);
        let tokens = match text {
            tokens if has_form && tokens > 0.0 => Some(tokens),
            _ if untold => Some(1.0),
            _ => None,
        };
        let counted = self.counts.into_iter().max().unwrap_or(0);
        let counts = counted > 0 || self.news > 0;
        let is_event = has_form
            || [Mark::Choices, Mark::Done, Mark::Meta].iter().any(|mark| self.has(*mark))
            || self.is != Type::None
            || self.is_response;
        Said {
            tokens,
            is_cumulative: self.source == Some(Source::Text) && self.texts > 0,
            may_have_prompt: self.source == Some(Source::TextOutput) && self.news == 0 || self.texts > 0,
            counted,
            hidden: self.hidden,
            reasons: self.reasons,
            known: is_event || counts,
            error: self.error || self.is == Type::Error || self.is_response && self.has_failed,
        }
    }

    fn tokens_of_text(&self) -> f64 {
        match self.source {
            _ if self.news > 0 => self.news as f64,
            Some(Source::Choice) => self.tokens,
            // Each event has exactly one, which may have no text.
            Some(Source::Token) => 1.0,
            Some(Source::Text) if self.texts > 1 => self.text.tokens() / f64::from(self.texts),
            _ => self.text.tokens(),
        }
    }
}

/// The lengths of the choices of an answer, which are generated side by side.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Lengths {
    tokens: [f64; CHOICES],
    number: u32,
}

impl Lengths {
    /// So many further tokens of a choice.
    pub fn add(&mut self, choice: u32, tokens: f64) {
        self.number = self.number.max(choice.saturating_add(1));
        if let Some(length) = self.tokens.get_mut(choice as usize) {
            *length += tokens;
        }
    }

    /// The part of all tokens that are those of the longest choice: in each step an engine generates a token of each choice.
    pub fn longest(&self) -> f64 {
        let all: f64 = self.tokens.iter().sum();
        if self.number as usize > CHOICES {
            1.0 / f64::from(self.number)
        } else if all > 0.0 {
            self.tokens.iter().copied().fold(0.0, f64::max) / all
        } else {
            1.0
        }
    }
}

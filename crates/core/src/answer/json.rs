//! Reads JSON as its pieces come, keeping nothing but one short key or word at a time.
//!
//! The reader follows the nesting and the keys above a value, and hands the values of interest (`paths`) to a
//! [`Doc`]. All other values are skipped. The reader does not check what it skips. Source: RFC 8259.

use super::doc::Doc;
use super::keys;
use super::paths::{self, Want};
use memchr::memchr2;

/// The deepest nesting that is followed: tools' schemas, which some answers repeat, have some 20 levels.
const DEPTH_LIMIT: u32 = 127;

/// Objects, from the outermost, whose keys are kept. No path of interest is longer.
const KEYS_LIMIT: u32 = 8;

/// The longest key, word or number that is kept, in bytes: no key or word of interest is longer.
const KEPT: usize = 48;

/// How many bytes of a string are looked at eight by eight before memchr is called, which takes as long for its beginning: most
/// keys and words are short.
const NEAR: usize = 16;

/// The reader of one document after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Json {
    at: At,
    depth: u32,
    /// A bit for each level of the nesting, the innermost last: whether the level is an object.
    objects: u128,
    /// Levels that are objects.
    keyed: u32,
    /// The keys (`keys`) of the first [`KEYS_LIMIT`] of these, a byte each, the innermost last.
    path: u64,
    want: Want,
    kept: [u8; KEPT],
    length: usize,
    escape: Escape,
}

/// Where in a document the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// After `{`: before a key or `}`.
    Object,
    /// After `,` in an object: before a key.
    Member,
    Key,
    Colon,
    /// After `[`: before a value or `]`.
    Array,
    Value,
    String,
    /// In a number or a literal.
    Scalar,
    /// After a value: before `,` or the end of what contains the value.
    Next,
    Broken,
}

/// Where in an escape of a string the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// After the backslash.
    Began,
    /// After `\u`: the digits that are missing, and what the others mean.
    Digits(u8, u16),
}

/// Where a piece left the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// The piece is over.
    More,
    /// A document ended; these bytes of the piece are left.
    Ended(usize),
    /// This is no JSON object or array.
    Broken,
}

impl Default for Json {
    fn default() -> Self {
        Json {
            at: At::Start,
            depth: 0,
            objects: 0,
            keyed: 0,
            path: 0,
            want: Want::Nothing,
            kept: [0; KEPT],
            length: 0,
            escape: Escape::None,
        }
    }
}

impl Json {
    /// Whether the reader is between documents.
    pub fn is_between(&self) -> bool {
        self.at == At::Start
    }

    /// Whether the reader is in a string whose text is of interest.
    pub fn is_in_text(&self) -> bool {
        self.at == At::String && matches!(self.want, Want::Text(_))
    }

    /// Reads a piece up to the end of a document.
    pub fn read(&mut self, piece: &[u8], doc: &mut Doc) -> Read {
        let mut rest = piece;
        while let Some(&byte) = rest.first() {
            rest = match (self.at, byte) {
                (At::Broken, _) => return Read::Broken,
                (At::Key | At::String, _) => self.string(rest, doc),
                (At::Value | At::Array, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                    self.begin(doc);
                    self.at = At::Scalar;
                    self.scalar(rest, doc)
                }
                (At::Scalar, _) => self.scalar(rest, doc),
                _ => {
                    self.token(byte, doc);
                    rest.get(1..).unwrap_or_default()
                }
            };
            if self.at == At::Next && self.depth == 0 {
                *self = Json::default();
                return Read::Ended(rest.len());
            }
        }
        if self.at == At::Broken { Read::Broken } else { Read::More }
    }

    /// Reads a byte that stands neither in a string nor in a scalar.
    fn token(&mut self, byte: u8, doc: &mut Doc) {
        self.at = match (self.at, byte) {
            (at, b' ' | b'\t' | b'\n' | b'\r') => at,
            // vLLM's old API separates documents by a NUL.
            (At::Start, 0) => At::Start,
            (At::Object | At::Member, b'"') => {
                self.want = Want::Nothing;
                self.length = 0;
                At::Key
            }
            (At::Colon, b':') => At::Value,
            (At::Value | At::Array, b'"') => {
                self.begin(doc);
                doc.string(self.want, self.in_array());
                At::String
            }
            (At::Start | At::Value | At::Array, b'{') => {
                self.begin(doc);
                doc.object(self.want);
                self.enter(true)
            }
            (At::Start | At::Value | At::Array, b'[') => {
                self.begin(doc);
                let inner = self.enter(false);
                doc.array(self.want, self.depth);
                inner
            }
            (At::Next, b',') if self.objects & 1 == 1 => At::Member,
            (At::Next, b',') => At::Value,
            (At::Object | At::Next, b'}') if self.objects & 1 == 1 => self.leave(doc),
            (At::Array | At::Next, b']') if self.objects & 1 == 0 => self.leave(doc),
            _ => At::Broken,
        };
    }

    /// Whether the innermost level is an array.
    fn in_array(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 0
    }

    /// A value begins.
    fn begin(&mut self, doc: &mut Doc) {
        self.length = 0;
        self.want = if self.keyed > KEYS_LIMIT { Want::Nothing } else { paths::want(self.path) };
        if self.in_array() {
            doc.element(self.depth);
            // A list of numbers under the name of a count is none.
            if matches!(self.want, Want::Count(_) | Want::News | Want::Reasoning | Want::Choice) {
                self.want = Want::Nothing;
            }
        }
    }

    /// An object or an array begins.
    fn enter(&mut self, object: bool) -> At {
        if self.depth == DEPTH_LIMIT {
            return At::Broken;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        if !object {
            return At::Array;
        }
        self.keyed += 1;
        if self.keyed <= KEYS_LIMIT {
            self.path <<= 8;
        }
        At::Object
    }

    /// The innermost object or array ends.
    fn leave(&mut self, doc: &mut Doc) -> At {
        if self.objects & 1 == 1 {
            if self.keyed <= KEYS_LIMIT {
                self.path >>= 8;
            }
            self.keyed -= 1;
            if self.keyed < KEYS_LIMIT {
                doc.end_object(self.path);
            }
        } else {
            doc.end_array(self.depth);
        }
        self.depth -= 1;
        self.objects >>= 1;
        At::Next
    }

    /// Reads a string to its end or that of the piece, and gives what follows.
    fn string<'a>(&mut self, piece: &'a [u8], doc: &mut Doc) -> &'a [u8] {
        let mut rest = piece;
        // Most keys are whole in their piece and have no escape: nothing is kept of those.
        if self.at == At::Key
            && self.length == 0
            && self.escape == Escape::None
            && let Some((key, [b'"', after @ ..])) =
                end_or_escape(piece).and_then(|end| piece.split_at_checked(end))
        {
            self.end_key(keys::id(key));
            return after;
        }
        loop {
            if self.escape != Escape::None {
                let Some((&byte, after)) = rest.split_first() else { return rest };
                self.escaped(byte, doc);
                rest = after;
                continue;
            }
            let end = end_or_escape(rest).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(end);
            self.take(text, doc);
            let Some((&byte, after)) = tail.split_first() else { return tail };
            rest = after;
            if byte == b'"' {
                self.end_string(doc);
                return rest;
            }
            self.escape = Escape::Began;
        }
    }

    /// Reads a byte of an escape.
    fn escaped(&mut self, byte: u8, doc: &mut Doc) {
        self.escape = match (self.escape, byte) {
            (Escape::Began, b'u') => Escape::Digits(4, 0),
            (Escape::Digits(missing, value), digit) => {
                let digit = char::from(digit).to_digit(16).unwrap_or(0) as u16;
                let value = value << 4 | digit;
                if missing > 1 {
                    Escape::Digits(missing - 1, value)
                } else {
                    self.length = self.length.max(1);
                    if matches!(self.want, Want::Text(_)) && self.at == At::String {
                        doc.unit(value);
                    }
                    Escape::None
                }
            }
            (_, byte) => {
                let meant = match byte {
                    b'n' | b'r' => b'\n',
                    b't' | b'b' | b'f' => b'\t',
                    other => other,
                };
                self.take(&[meant], doc);
                Escape::None
            }
        };
    }

    /// Takes a part of a string.
    fn take(&mut self, text: &[u8], doc: &mut Doc) {
        match self.want {
            _ if self.at == At::Key => self.keep(text),
            Want::Word(_) => self.keep(text),
            // Of the others only whether they are empty matters, beside their text.
            want => {
                self.length = self.length.max(text.len().min(1));
                if matches!(want, Want::Text(_)) {
                    doc.text(text);
                }
            }
        }
    }

    /// Keeps a part of a key, word or number; of a longer one, that it is too long.
    fn keep(&mut self, text: &[u8]) {
        if let Some(to) = self.kept.get_mut(self.length..self.length.saturating_add(text.len())) {
            to.copy_from_slice(text);
        }
        self.length = self.length.saturating_add(text.len());
    }

    /// What was kept; nothing if that is not all.
    fn kept(&self) -> &[u8] {
        self.kept.get(..self.length).unwrap_or_default()
    }

    fn end_key(&mut self, key: u8) {
        if self.keyed <= KEYS_LIMIT {
            self.path = self.path & !0xFF | u64::from(key);
        }
        self.at = At::Colon;
    }

    fn end_string(&mut self, doc: &mut Doc) {
        if self.at == At::Key {
            self.end_key(keys::id(self.kept()));
        } else {
            match self.want {
                Want::Word(which) => doc.word(which, self.kept()),
                want => doc.end_string(want, self.length == 0),
            }
            self.at = At::Next;
        }
    }

    /// Reads a number or a literal to its end or that of the piece, and gives what follows.
    fn scalar<'a>(&mut self, piece: &'a [u8], doc: &mut Doc) -> &'a [u8] {
        let more = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = piece.iter().position(|byte| !more(byte)).unwrap_or(piece.len());
        let (scalar, rest) = piece.split_at(length);
        if self.want != Want::Nothing {
            self.keep(scalar);
        }
        if !rest.is_empty() {
            if self.want != Want::Nothing {
                doc.scalar(self.want, self.kept());
            }
            self.at = At::Next;
        }
        rest
    }
}

/// Where a string ends or has an escape.
fn end_or_escape(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < NEAR {
        let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let eight = u64::from_le_bytes(*eight);
        let found = has(eight, b'"') | has(eight, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', text.get(at..)?).map(|found| at + found)
}

/// The highest bit of each of eight bytes that is this byte, and perhaps of bytes after the first such one: subtracting 1 borrows
/// from a byte that is 0 only.
fn has(eight: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let differs = eight ^ (ONES * byte as u64);
    differs.wrapping_sub(ONES) & !differs & (ONES << 7)
}

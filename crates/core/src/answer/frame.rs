//! Finds the documents of an answer: the data of server-sent events, lines of JSON, or one JSON object.
//!
//! Which of these an answer is shows in its first bytes; engines are not consistent in the Content-Type. Source for events:
//! the HTML standard, "Server-sent events". A document that is whole counts at once, whatever line ends follow it.

use super::doc::{Doc, Said};
use super::json::{Json, Read};
use super::opening::Opening;
use memchr::memchr2;

/// The longest name of a field and the longest name of an event that matter, in bytes.
const NAME: usize = 6;

/// The reader of an answer's documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frames {
    form: Form,
    json: Json,
    doc: Doc,
    opening: Opening,
    /// The last byte was a CR that ended a line: an LF belongs to it.
    after_cr: bool,
}

/// What an answer consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing but blanks has come.
    Nothing,
    /// JSON documents, one or several.
    Json,
    /// Server-sent events.
    Events(Line),
    /// Something else, which is not read.
    Other,
}

/// Where in a line of an event stream the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// In the name of a field, of which so much is known.
    Name([u8; NAME], usize),
    /// In the data of an event; `true` before its first byte.
    Data(bool),
    /// In the name of an event, of which so much is known.
    Event([u8; NAME], usize),
    /// In a comment or another field.
    Skipped,
}

const LINE: Line = Line::Name([0; NAME], 0);

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found {
    /// A document that is whole.
    Document(Said),
    /// An event whose data are not JSON, but for the mark at the end of a stream.
    NoDocument,
    /// The name of an event reports an error.
    Error,
}

impl Default for Frames {
    fn default() -> Self {
        Frames {
            form: Form::Nothing,
            json: Json::default(),
            doc: Doc::default(),
            opening: Opening::default(),
            after_cr: false,
        }
    }
}

impl Frames {
    /// Begins with another answer.
    pub fn begin_anew(&mut self) {
        (self.form, self.json, self.doc, self.after_cr) =
            (Form::Nothing, Json::default(), Doc::default(), false);
        self.opening.forget();
    }

    /// What the answer consists of.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The part of the tokens of all choices that are those of the longest.
    pub fn longest(&self) -> f64 {
        self.doc.lengths.longest()
    }

    /// Reads no more: what follows is not known, or not text.
    pub fn give_up(&mut self) {
        self.form = Form::Other;
    }

    /// Reads a piece, and hands out what it finds.
    pub fn read(&mut self, piece: &[u8], found: &mut impl FnMut(Found)) {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.form {
                Form::Other => return,
                Form::Nothing => self.begin(rest),
                Form::Json => self.json(rest, found),
                Form::Events(line) => self.line(line, rest, found),
            };
        }
    }

    /// Reads blanks and a byte order mark, and decides by what follows.
    fn begin<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF);
        let length = piece.iter().position(|byte| !blank(byte)).unwrap_or(piece.len());
        let rest = piece.get(length..).unwrap_or_default();
        self.form = match rest.first() {
            None => Form::Nothing,
            Some(b'{' | b'[') => Form::Json,
            // The fields of an event stream, or a comment.
            Some(b'd' | b'e' | b'i' | b'r' | b':') => Form::Events(LINE),
            Some(_) => Form::Other,
        };
        rest
    }

    fn json<'a>(&mut self, piece: &'a [u8], found: &mut impl FnMut(Found)) -> &'a [u8] {
        match self.json.read(piece, &mut self.doc) {
            Read::Ended(left) => {
                self.end_document(found);
                piece.get(piece.len() - left..).unwrap_or_default()
            }
            read => {
                if read == Read::Broken || self.doc.foreign {
                    self.form = Form::Other;
                }
                &[]
            }
        }
    }

    fn end_document(&mut self, found: &mut impl FnMut(Found)) {
        found(Found::Document(self.doc.said()));
        self.doc.next();
    }

    /// Reads a part of a line of an event stream.
    fn line<'a>(&mut self, line: Line, piece: &'a [u8], found: &mut impl FnMut(Found)) -> &'a [u8] {
        if std::mem::take(&mut self.after_cr)
            && let Some(rest) = piece.strip_prefix(b"\n")
        {
            return rest;
        }
        if let Line::Name(name, length) = line {
            return self.name(name, length, piece, found);
        }
        let end = memchr2(b'\n', b'\r', piece);
        let (text, rest) = piece.split_at(end.unwrap_or(piece.len()));
        let next = match line {
            Line::Data(first) => self.data(first, text, found),
            Line::Event(mut name, mut length) => {
                text.iter()
                    .filter(|byte| **byte != b' ')
                    .for_each(|byte| keep(&mut name, &mut length, *byte));
                if end.is_some() && name.get(..length) == Some(b"error") {
                    found(Found::Error);
                }
                Line::Event(name, length)
            }
            other => other,
        };
        self.form = Form::Events(if end.is_some() { LINE } else { next });
        self.after_cr = rest.first() == Some(&b'\r');
        rest.get(1..).unwrap_or_default()
    }

    /// Reads the name of a field, or the empty line that ends an event.
    fn name<'a>(
        &mut self,
        mut name: [u8; NAME],
        mut length: usize,
        piece: &'a [u8],
        found: &mut impl FnMut(Found),
    ) -> &'a [u8] {
        if length == 0
            && let Some(rest) = piece.strip_prefix(b"data:")
        {
            self.form = Form::Events(Line::Data(true));
            return rest;
        }
        let Some((&byte, rest)) = piece.split_first() else { return piece };
        self.after_cr = byte == b'\r';
        let field = name.get(..length).unwrap_or_default();
        let next = match (byte, field) {
            (b':', b"data") => Line::Data(true),
            (b':', b"event") => Line::Event([0; NAME], 0),
            (b':', b"" | b"id" | b"retry") => Line::Skipped,
            (b'\n' | b'\r', b"data" | b"event" | b"id" | b"retry") => LINE,
            (b'\n' | b'\r', b"") => {
                self.end_event(found);
                LINE
            }
            (b':' | b'\n' | b'\r', _) => {
                self.form = Form::Other;
                return rest;
            }
            _ => {
                keep(&mut name, &mut length, byte);
                Line::Name(name, length)
            }
        };
        self.form = Form::Events(next);
        rest
    }

    /// Reads data of an event, which are at most one document a line.
    fn data(&mut self, first: bool, text: &[u8], found: &mut impl FnMut(Found)) -> Line {
        let mut rest = text;
        if first && self.json.is_between() {
            let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            rest = rest.get(blanks..).unwrap_or_default();
            match rest.first() {
                None => return Line::Data(true),
                Some(b'{' | b'[') => rest = self.opening.read(rest, &mut self.json, &mut self.doc),
                Some(_) => {
                    found(Found::NoDocument);
                    return Line::Skipped;
                }
            }
        }
        while !rest.is_empty() {
            match self.json.read(rest, &mut self.doc) {
                Read::Ended(left) => {
                    self.end_document(found);
                    rest = rest.get(rest.len() - left..).unwrap_or_default();
                }
                Read::Broken => {
                    // `[DONE]` among others.
                    self.json = Json::default();
                    self.doc.next();
                    return Line::Skipped;
                }
                Read::More => break,
            }
        }
        Line::Data(false)
    }

    /// An event ends: what its data began and did not end is no document.
    fn end_event(&mut self, found: &mut impl FnMut(Found)) {
        if !self.json.is_between() {
            self.json = Json::default();
            self.doc.next();
            found(Found::NoDocument);
        }
    }
}

/// Keeps a byte of a name; of a longer name, that it is too long.
fn keep(name: &mut [u8; NAME], length: &mut usize, byte: u8) {
    if let Some(to) = name.get_mut(*length) {
        *to = byte;
    }
    *length = length.saturating_add(1);
}

//! In which form a body is: series in lines, JSON, or a page of another kind.

use super::{Engine, xinference};
use crate::fault::Fault;
use memchr::memchr;

/// In which form a body is.
#[derive(Debug)]
pub(super) enum Form {
    /// Not known: there was nothing but blanks.
    Unknown,
    /// Lines. `other` is what the page is if no series that is wanted is in it, by its first byte.
    Text { other: Option<Fault> },
    /// A JSON object, so far. It can only be read whole.
    Json(Vec<u8>),
}

/// What may stand before a body of any form: JSON's blanks (one that only ASCII knows, a form feed, would be no JSON where it comes
/// in the same piece), and the bytes of a byte-order mark, which some servers send before HTML.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0xef | 0xbb | 0xbf)
}

impl Form {
    /// The form of a body that begins so, after blanks if any, of this engine or of any.
    ///
    /// # Errors
    /// The engine reports in JSON, and this is none: [`Fault::NoSeries`], [`Fault::Html`] or [`Fault::Json`].
    pub fn of(chunk: &[u8], engine: Option<&Engine>) -> Result<Form, Fault> {
        let by_model = engine.map(|engine| engine.by_model);
        match chunk.iter().find(|byte| !is_blank(**byte)) {
            None => Ok(Form::Unknown),
            Some(b'{') if by_model != Some(false) => Ok(Form::Json(Vec::new())),
            Some(first) if by_model == Some(true) => Err(other_page(*first).unwrap_or(Fault::NoSeries)),
            Some(first) => Ok(Form::Text { other: other_page(*first) }),
        }
    }
}

/// What a page is that begins with this byte, if it is no page of series: no line of the format begins so.
fn other_page(first: u8) -> Option<Fault> {
    match first {
        b'<' => Some(Fault::Html),
        b'{' | b'[' | b'"' => Some(Fault::Json),
        _ => None,
    }
}

/// Keeps more of a JSON body.
pub(super) fn keep(body: &mut Vec<u8>, chunk: &[u8]) -> Result<(), Fault> {
    let blanks = if body.is_empty() { chunk.iter().take_while(|byte| is_blank(**byte)).count() } else { 0 };
    let chunk = chunk.get(blanks..).unwrap_or_default();
    if memchr(0, chunk).is_some() {
        return Err(Fault::Binary);
    }
    if body.len() + chunk.len() > xinference::LIMIT {
        return Err(Fault::TooLarge);
    }
    body.extend_from_slice(chunk);
    Ok(())
}

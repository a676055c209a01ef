//! Finds the field `model` of a form (multipart/form-data), as the body's pieces come: audio is sent so.
//!
//! The reader goes from line to line, keeping the beginning of one line at a time; files between the fields are skipped with
//! memchr. Where the field stands twice the last counts, as it does to the libraries of the engines. Sources: RFC 7578
//! (forms), RFC 2046 section 5.1 (boundaries).

use super::{BODY_LIMIT, Name};
use memchr::memchr;

/// The longest boundary, by RFC 2046.
const BOUNDARY: usize = 70;

/// As much of a line as is kept: a header field with a name, a boundary, or the name of a model.
const KEPT: usize = 320;

/// The reader of one form.
#[derive(Debug)]
pub struct Form {
    boundary: [u8; BOUNDARY],
    boundary_length: usize,
    within: Within,
    /// The beginning of the line that is being read, and how long the line is.
    line: [u8; KEPT],
    length: usize,
    model: Option<Name>,
    left: usize,
}

/// What of a form is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// What stands before the first boundary, or a part that does not matter.
    Skipped,
    /// The header of a part; whether it names the field `model`.
    Header(bool),
    /// The value of the field, before its first line has ended.
    Value,
    /// After the last boundary.
    End,
}

impl Form {
    /// A reader of a body with this Content-Type; None if that is no form.
    pub fn of(content_type: &[u8]) -> Option<Form> {
        let (kind, parameters) = content_type.split_at(content_type.iter().position(|byte| *byte == b';')?);
        if !kind.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let text = parameter(parameters, b"boundary").filter(|text| !text.is_empty())?;
        let mut boundary = [0; BOUNDARY];
        boundary.get_mut(..text.len())?.copy_from_slice(text);
        Some(Form {
            boundary,
            boundary_length: text.len(),
            within: Within::Skipped,
            line: [0; KEPT],
            length: 0,
            model: None,
            left: BODY_LIMIT,
        })
    }

    /// Reads the next piece of the body; false if no more is of use.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        let (piece, is_all) = match piece.get(..self.left) {
            Some(part) => (part, false),
            None => (piece, true),
        };
        self.left -= piece.len();
        let mut rest = piece;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.keep(line);
            self.end_line();
            rest = after.get(1..).unwrap_or_default();
        }
        self.keep(rest);
        is_all && self.within != Within::End
    }

    /// The model that the form named, as far as it was read; None if it named none.
    pub fn finish(mut self) -> Option<Name> {
        // A line end after the last boundary is not needed.
        self.end_line();
        self.model
    }

    fn keep(&mut self, text: &[u8]) {
        let free = self.line.get_mut(self.length.min(KEPT)..).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(text) {
            *to = *from;
        }
        self.length = self.length.saturating_add(text.len());
    }

    fn end_line(&mut self) {
        let whole = self.length <= KEPT;
        let line = self.line.get(..self.length.min(KEPT)).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let delimiter = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(self.boundary.get(..self.boundary_length)?))
            .map(<[u8]>::trim_ascii_end);
        self.within = match (delimiter, self.within) {
            (_, Within::End) => Within::End,
            (Some(b""), _) => Within::Header(false),
            (Some(b"--"), _) => Within::End,
            (_, Within::Header(model)) if line.is_empty() => {
                if model {
                    Within::Value
                } else {
                    Within::Skipped
                }
            }
            (_, Within::Header(model)) => Within::Header(model || names_model(line)),
            (_, Within::Value) => {
                self.model = if whole { Name::new(line) } else { None };
                Within::Skipped
            }
            (_, Within::Skipped) => Within::Skipped,
        };
        self.length = 0;
    }
}

/// Whether a header field says that its part is the field `model`.
fn names_model(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = line.split_at(colon);
    name.eq_ignore_ascii_case(b"content-disposition") && parameter(value, b"name") == Some(b"model")
}

/// A parameter of a header field, without its quotes.
fn parameter<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    field.split(|byte| *byte == b';').skip(1).find_map(|part| {
        let (key, value) = part.split_at(part.iter().position(|byte| *byte == b'=')?);
        let value = value.get(1..)?.trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=----x7";

    fn find<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
        let mut form = Form::of(TYPE).unwrap();
        for piece in pieces {
            if !form.feed(piece) {
                break;
            }
        }
        form.finish().map(|name| name.to_string())
    }

    fn field(name: &str, value: &str) -> String {
        format!("------x7\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n")
    }

    fn form(fields: &[(&str, &str)]) -> String {
        fields.iter().map(|(name, value)| field(name, value)).collect::<String>() + "------x7--\r\n"
    }

    #[test]
    fn the_field_is_found_wherever_it_stands() {
        let file = ("name=\"file\"; filename=\"a.wav\"", "RIFF\n--x\r\nname=\"model\"\r\n\r\nno");
        let model = ("name=\"model\"", "whisper-1");
        for fields in
            [vec![model], vec![model, file], vec![file, model], vec![file, ("name=model", "whisper-1"), file]]
        {
            assert_eq!(find([form(&fields).as_bytes()]).as_deref(), Some("whisper-1"), "{fields:?}");
        }
        assert_eq!(find([form(&[model, ("name=\"model\"", "last")]).as_bytes()]).as_deref(), Some("last"));
        let lower =
            form(&[model]).replace("Content-Disposition", "Content-Type: text/plain\r\ncontent-disposition");
        assert_eq!(find([lower.as_bytes()]).as_deref(), Some("whisper-1"));
        for none in [
            form(&[file]),
            form(&[("name=\"model\"", "")]),
            form(&[("filename=\"model\"", "x")]),
            String::new(),
        ] {
            assert_eq!(find([none.as_bytes()]), None, "{none}");
        }
    }

    #[test]
    fn what_follows_the_last_boundary_does_not_count() {
        let body = form(&[("name=\"model\"", "a")]) + &field("name=\"model\"", "b");
        assert_eq!(find([body.as_bytes()]).as_deref(), Some("a"));
    }

    #[test]
    fn a_form_has_a_boundary() {
        for kind in [
            "multipart/form-data; boundary=\"----x7\"",
            "Multipart/Form-Data;charset=utf-8; Boundary=----x7 ",
        ] {
            let mut form = Form::of(kind.as_bytes()).unwrap();
            form.feed(field("name=\"model\"", "a").as_bytes());
            assert_eq!(form.finish().unwrap().as_bytes(), b"a", "{kind}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for kind in [
            "application/json",
            "multipart/form-data",
            "multipart/mixed; boundary=x",
            "multipart/form-data; boundary=",
            &long,
            "",
        ] {
            assert!(Form::of(kind.as_bytes()).is_none(), "{kind}");
        }
    }

    #[test]
    fn a_large_file_is_read_up_to_a_limit() {
        let file = "\u{1}\n".repeat(BODY_LIMIT / 2);
        let first = form(&[("name=\"model\"", "a"), ("name=\"file\"", &file)]);
        assert_eq!(find(first.as_bytes().chunks(16_384)).as_deref(), Some("a"));
        let last = form(&[("name=\"file\"", &file), ("name=\"model\"", "a")]);
        assert_eq!(find(last.as_bytes().chunks(16_384)), None);
    }

    proptest! {
        #[test]
        fn where_pieces_end_does_not_matter(
            parts in prop::collection::vec(prop::sample::select(vec![
                "------x7", "--", "\r\n", "\n", "\r\n\r\n", "Content-Disposition: form-data; name=\"model\"", "gpt", "name=", ";", "\"", "x",
            ]), 0..20),
            at: Vec<usize>,
        ) {
            let body = parts.concat();
            let mut at: Vec<_> = at.iter().map(|at| at % (body.len() + 1)).chain([0, body.len()]).collect();
            at.sort_unstable();
            let pieces = at.windows(2).map(|ends| &body.as_bytes()[ends[0]..ends[1]]);
            prop_assert_eq!(find(pieces), find([body.as_bytes()]));
        }
    }
}

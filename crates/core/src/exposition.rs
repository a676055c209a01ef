//! Prometheus' text format and OpenMetrics, as far as it takes to read a few series out of a large page: a page is
//! cut into lines as it comes, a line is known by its name, and only a line that is wanted is read to its end.
//!
//! Nothing is copied but a line that straddles two chunks.
//! Source: Prometheus' "Exposition formats" and the OpenMetrics 1.0 specification.

use crate::fault::Fault;
use memchr::{memchr, memchr2, memchr3};
use std::ops::ControlFlow;

/// The longest line that is read, in bytes: the longest in a page of vLLM's has about 300, and label values can be
/// paths and model names, but a line without an end must not fill the memory.
pub const LINE_LIMIT: usize = 64 * 1024;

/// Cuts a body that comes in chunks into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come yet; at most [`LINE_LIMIT`] long.
    partial: Vec<u8>,
}

impl Lines {
    /// Calls `each` with every line that the chunk completes, without its line end, until it breaks; after that the
    /// rest of the body must not be fed.
    ///
    /// # Errors
    /// [`Fault::LineTooLong`], and [`Fault::Binary`] for a zero byte, which no text has.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Fault> {
        let mut rest = chunk;
        loop {
            // Looking no further than a line may reach gives the same fault however the body is cut into chunks.
            let room = LINE_LIMIT - self.partial.len();
            let Some(end) = memchr2(b'\n', 0, &rest[..rest.len().min(room + 1)]) else {
                if rest.len() > room {
                    return Err(Fault::LineTooLong);
                }
                self.partial.extend_from_slice(rest);
                return Ok(ControlFlow::Continue(()));
            };
            if rest[end] == 0 {
                return Err(Fault::Binary);
            }
            let flow = if self.partial.is_empty() {
                each(&rest[..end])
            } else {
                self.partial.extend_from_slice(&rest[..end]);
                let flow = each(&self.partial);
                self.partial.clear();
                flow
            };
            if flow.is_break() {
                return Ok(flow);
            }
            rest = &rest[end + 1..];
        }
    }

    /// Whether the body so far stops within a line. The format wants a line end after the last line too, so where nothing
    /// else shows that the body is whole such a line was cut, and 12 may be the beginning of 120. A line `# EOF` is the end
    /// of the body by itself.
    pub fn dangling(&self) -> bool {
        !matches!(Line::of(&self.partial), Line::Blank | Line::End)
    }

    /// The line whose end has not come, empty if there is none: the last line of a body that is known to be whole.
    pub fn last(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }
}

/// What a line is, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing but blanks.
    Blank,
    /// A comment, `# HELP` or `# TYPE`.
    Comment,
    /// OpenMetrics' `# EOF`: the body is whole.
    End,
    /// One value of one series: the name of its family, and what comes after it, for [`Sample::read`].
    Series {
        /// The name, unchecked.
        name: &'a [u8],
        /// Labels, value, timestamp, exemplar.
        rest: &'a [u8],
    },
}

impl<'a> Line<'a> {
    /// Looks at a line that has no line end any more (a carriage return is one of those).
    pub fn of(text: &'a [u8]) -> Line<'a> {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = blank_start(text);
        match text.first() {
            None => Line::Blank,
            Some(b'#') if text == b"# EOF" => Line::End,
            Some(b'#') => Line::Comment,
            Some(_) => {
                let end = memchr3(b'{', b' ', b'\t', text).unwrap_or(text.len());
                Line::Series { name: &text[..end], rest: &text[end..] }
            }
        }
    }
}

/// One value of one series.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Its labels.
    pub labels: Labels<'a>,
    /// Its value as it stands there, so NaN and the infinities too; one that is too large for an f64 is infinite.
    pub value: f64,
}

impl<'a> Sample<'a> {
    /// Reads what follows the name in a line ([`Line::Series`]); None if it is not in the format.
    pub fn read(rest: &'a [u8]) -> Option<Sample<'a>> {
        let rest = blank_start(rest);
        let (labels, rest) = match rest.strip_prefix(b"{") {
            Some(inner) => Labels::read(inner)?,
            None => (Labels(&[]), rest),
        };
        let (value, rest) = number(blank_start(rest))?;
        let mut rest = blank_start(rest);
        if !rest.is_empty() && rest[0] != b'#' {
            let (_timestamp, after) = number(rest)?;
            rest = blank_start(after);
        }
        // What is left may be an exemplar.
        (rest.is_empty() || rest[0] == b'#').then_some(Sample { labels, value })
    }
}

/// The labels of a series; an iterator over them.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Labels<'a> {
    /// Reads labels up to the closing brace, and gives what follows it.
    fn read(inner: &'a [u8]) -> Option<(Labels<'a>, &'a [u8])> {
        let mut text = blank_start(inner);
        while *text.first()? != b'}' {
            let (_, rest) = Label::read(text)?;
            text = blank_start(rest);
            match text.first()? {
                b',' => text = blank_start(&text[1..]),
                b'}' => {}
                _ => return None,
            }
        }
        Some((Labels(&inner[..inner.len() - text.len()]), &text[1..]))
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        let (label, rest) = Label::read(blank_start(self.0))?;
        let rest = blank_start(rest);
        self.0 = rest.strip_prefix(b",").unwrap_or(rest);
        Some(label)
    }
}

/// One label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value with the escapes as they stand there; [`Label::is`] compares without them.
    pub escaped: &'a [u8],
}

impl<'a> Label<'a> {
    /// Reads `name="value"` and gives what follows it.
    fn read(text: &'a [u8]) -> Option<(Label<'a>, &'a [u8])> {
        let equals = memchr(b'=', text)?;
        let name = text[..equals].trim_ascii_end();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if name.is_empty() || name[0].is_ascii_digit() || !name.iter().all(plain) {
            return None;
        }
        let value = blank_start(&text[equals + 1..]).strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            end += memchr2(b'"', b'\\', value.get(end..)?)?;
            if value[end] == b'"' {
                return Some((Label { name, escaped: &value[..end] }, &value[end + 1..]));
            }
            end += 2; // the backslash and what it escapes
        }
    }

    /// Whether its value, once unescaped, is this one.
    pub fn is(&self, value: &str) -> bool {
        if memchr(b'\\', self.escaped).is_none() {
            return self.escaped == value.as_bytes();
        }
        unescape(self.escaped).eq(value.bytes())
    }
}

impl Label<'_> {
    /// Its value, unescaped.
    pub fn value(&self) -> String {
        String::from_utf8_lossy(&unescape(self.escaped).collect::<Vec<_>>()).into_owned()
    }
}

/// The bytes of a label's value: `\\`, `\"` and `\n` are escapes, another backslash stands for itself.
fn unescape(escaped: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = escaped;
    std::iter::from_fn(move || {
        let (byte, length) = match *rest {
            [] => return None,
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', byte @ (b'\\' | b'"'), ..] => (byte, 2),
            [byte, ..] => (byte, 1),
        };
        rest = &rest[length..];
        Some(byte)
    })
}

/// Reads a number up to a blank or the end, and gives what follows it.
fn number(text: &[u8]) -> Option<(f64, &[u8])> {
    let end = memchr2(b' ', b'\t', text).unwrap_or(text.len());
    let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((number, &text[end..]))
}

/// The text without the blanks that it begins with.
fn blank_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Name, labels, value.
    type Series<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);

    fn series(line: &str) -> Option<Series<'_>> {
        let Line::Series { name, rest } = Line::of(line.as_bytes()) else { return None };
        let sample = Sample::read(rest)?;
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let labels = sample.labels.map(|label| (text(label.name), text(label.escaped))).collect();
        Some((text(name), labels, sample.value))
    }

    #[test]
    fn reads_names_labels_and_values() {
        assert_eq!(series("up 1"), Some(("up", vec![], 1.0)));
        assert_eq!(
            series("a:b{x=\"1\",y_2=\"} ,\"} 4.5e1"),
            Some(("a:b", vec![("x", "1"), ("y_2", "} ,")], 45.0))
        );
        assert_eq!(series("a{} 0"), Some(("a", vec![], 0.0)));
        assert_eq!(series("a{x=\"\",} 0"), Some(("a", vec![("x", "")], 0.0)));
        assert_eq!(
            series("\t a \t{ x = \"1\" , y=\"2\" } \t+7 \r"),
            Some(("a", vec![("x", "1"), ("y", "2")], 7.0))
        );
    }

    #[test]
    fn reads_values_that_are_no_numbers() {
        assert!(series("a NaN").unwrap().2.is_nan());
        assert_eq!(series("a +Inf").unwrap().2, f64::INFINITY);
        assert_eq!(series("a -Inf").unwrap().2, f64::NEG_INFINITY);
        assert_eq!(series("a 1e400").unwrap().2, f64::INFINITY);
    }

    #[test]
    fn timestamps_and_exemplars_are_not_values() {
        for rest in
            [" 1395066363000", " -3", " 1520879607.789", " # {trace=\"x\"} 0.67", " 1.5 # {} 0.67 2.5"]
        {
            assert_eq!(
                series(&format!("a{{x=\"1\"}} 17{rest}")),
                Some(("a", vec![("x", "1")], 17.0)),
                "{rest}"
            );
        }
    }

    #[test]
    fn what_is_not_in_the_format_is_not_guessed_at() {
        for line in [
            "a",
            "a ",
            "a x",
            "a 1 x",
            "a 1 2 3",
            "a{ 1",
            "a{x} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"1\"y=\"2\"} 1",
            "a{=\"1\"} 1",
            "a{1x=\"1\"} 1",
            "a{x=\"1\"",
            "a{x=\"1\"}",
            "a{x=\"\\",
            "a{,} 1",
            "a{x=\"1\",,} 1",
            "a 1,5",
            "a 0x10",
        ] {
            assert_eq!(series(line), None, "{line}");
        }
    }

    #[test]
    fn escapes_in_label_values() {
        let Line::Series { rest, .. } = Line::of(br#"a{x="q\"b\\n\nt\t",y="z"} 1"#) else { panic!() };
        let labels: Vec<_> = Sample::read(rest).unwrap().labels.collect();
        assert!(labels[0].is("q\"b\\n\nt\\t"));
        assert!(!labels[0].is("q\"b\\n\nt"));
        assert!(labels[1].is("z"));
    }

    #[test]
    fn comments_blanks_and_the_end() {
        assert_eq!(Line::of(b"# HELP a b"), Line::Comment);
        assert_eq!(Line::of(b"#"), Line::Comment);
        assert_eq!(Line::of(b" \t\r"), Line::Blank);
        assert_eq!(Line::of(b"# EOF"), Line::End);
        assert_eq!(Line::of(b"# EOF\r"), Line::End);
        assert_eq!(Line::of(b"# EOF of what"), Line::Comment);
    }

    /// Lines, whether one dangles, and the fault that ended it.
    fn cut(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, bool, Option<Fault>) {
        let (mut lines, mut found, mut fault) = (Lines::default(), Vec::new(), None);
        for chunk in chunks {
            let each = |line: &[u8]| {
                found.push(line.to_vec());
                ControlFlow::Continue(())
            };
            if let Err(error) = lines.feed(chunk, each) {
                fault = Some(error);
                break;
            }
        }
        (found, lines.dangling(), fault)
    }

    #[test]
    fn lines_end_at_line_ends_only() {
        assert_eq!(
            cut(&[b"a\nb", b"c\n\nd"]),
            (vec![b"a".to_vec(), b"bc".to_vec(), b"".to_vec()], true, None)
        );
        assert_eq!(cut(&[b"a\n\r"]), (vec![b"a".to_vec()], false, None));
        assert_eq!(cut(&[b"a\nb\0c\n"]), (vec![b"a".to_vec()], false, Some(Fault::Binary)));
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let mut body = vec![b'x'; LINE_LIMIT];
        body.push(b'\n');
        assert_eq!(cut(&[&body]).0[0].len(), LINE_LIMIT);
        body.insert(0, b'x');
        assert_eq!(cut(&[&body]).2, Some(Fault::LineTooLong));
        assert_eq!(cut(&[&body[..9], &body[9..]]).2, Some(Fault::LineTooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_of_some_kind(bytes: Vec<u8>, text in "[a{}=\",#\\\\ 1eN\t]{0,40}") {
            for line in [&bytes[..], text.as_bytes()] {
                if let Line::Series { rest, .. } = Line::of(line) {
                    // Labels that were read once are read again in full.
                    if let Some(sample) = Sample::read(rest) {
                        prop_assert_eq!(memchr(b'=', sample.labels.0).is_some(), sample.labels.count() > 0);
                    }
                }
            }
        }

        #[test]
        fn chunks_do_not_matter(
            body in proptest::collection::vec(prop_oneof![8 => b'a'..=b'c', 2 => Just(b'\n'), 1 => Just(0)], 0..60),
            at in proptest::collection::vec(0usize..60, 0..6),
        ) {
            let mut at: Vec<_> = at.into_iter().map(|at| at.min(body.len())).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let chunks: Vec<_> = at.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
            let (whole, pieces) = (cut(&[&body]), cut(&chunks));
            prop_assert_eq!((&whole.0, whole.2), (&pieces.0, pieces.2));
            if whole.2.is_none() {
                prop_assert_eq!(whole.1, pieces.1);
            }
        }
    }
}

//! Finds the member `model` of a request's body, as the body's pieces come.
//!
//! A body is mostly strings to skip, which memchr does; nothing is kept of it but one key or value at a time, cut short.
//! The whole of it is read: where a key stands there twice the last counts, as it does to the JSON libraries of the
//! engines (a reader that took the first could be told another model than the engine), and what is not JSON names no
//! model. What strings hold is not checked (control characters, UTF-8, unknown escapes), but in the name itself.
//! Source: RFC 8259.

use super::{Name, text};
use memchr::memchr2;

/// How much of a body is read. A model that is not known by then is unknown: the reading of a body must not keep
/// other requests waiting for long, and bodies with images that are larger are rare.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// The deepest nesting that is followed; serde_json, too, follows no more, and tools' schemas have some 20.
const DEPTH_LIMIT: u32 = 127;

/// The longest key or value that is kept, in bytes as they stand there: a name of the longest that counts, with all of
/// it escaped.
const KEPT: usize = 6 * super::NAME_LIMIT;

/// How many bytes of a string are looked at one by one.
const NEAR: usize = 16;

const KEY: &[u8] = b"model";

/// The reader of one body.
#[derive(Debug)]
pub struct Scanner {
    at: At,
    depth: u32,
    /// A bit for each level of the nesting, that of the innermost last: whether it is an object.
    objects: u128,
    kept: [u8; KEPT],
    length: usize,
    /// The key or value is longer than what is kept of it.
    cut: bool,
    /// The last byte of a string was a backslash that escapes what follows.
    escaped: bool,
    /// The key of the member that is being read is `model`.
    is_model: bool,
    /// What the last such member said, None if that was no name.
    model: Option<Name>,
    left: usize,
}

/// Where in a body the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the object that a body is.
    Start,
    /// After `{`: before a key or `}`.
    Object,
    /// After `,` in an object: before a key.
    Member,
    /// In a key.
    Key,
    /// Before a colon.
    Colon,
    /// After `[`: before a value or `]`.
    Array,
    /// Before a value.
    Value,
    /// In a string that is a value.
    String,
    /// In a number or a literal.
    Scalar,
    /// After a value: before `,` or the end of what it is in.
    Next,
    /// After the object: nothing but blanks may follow.
    End,
    /// This is no JSON object, or one too deep or too long.
    Broken,
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner::new()
    }
}

impl Scanner {
    /// A reader that has read nothing.
    pub fn new() -> Scanner {
        Scanner {
            at: At::Start,
            depth: 0,
            objects: 0,
            kept: [0; KEPT],
            length: 0,
            cut: false,
            escaped: false,
            is_model: false,
            model: None,
            left: BODY_LIMIT,
        }
    }

    /// Reads the next piece of the body; false if no more is of use.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        match self.left.checked_sub(piece.len()) {
            Some(left) => self.left = left,
            None => self.at = At::Broken,
        }
        let mut rest = piece;
        while let Some(&byte) = rest.first() {
            rest = match (self.at, byte) {
                (At::Broken, _) => return false,
                (At::Key | At::String, _) => self.string(rest),
                (At::Value | At::Array, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                    self.at = self.begin(At::Scalar);
                    self.scalar(rest)
                }
                (At::Scalar, _) => self.scalar(rest),
                _ => {
                    self.token(byte);
                    rest.get(1..).unwrap_or_default()
                }
            };
        }
        self.at != At::Broken
    }

    /// The model that the body named, once it has ended; None if it named none, or was not a JSON object.
    pub fn finish(self) -> Option<Name> {
        self.model.filter(|_| self.at == At::End)
    }

    /// Reads a byte that stands neither in a string nor in a scalar.
    fn token(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (at, b' ' | b'\t' | b'\n' | b'\r') => at,
            (At::Start, b'{') => self.enter(true),
            (At::Object | At::Member, b'"') => self.begin(At::Key),
            (At::Colon, b':') => At::Value,
            (At::Value | At::Array, b'"') => self.begin(At::String),
            (At::Value | At::Array, b'{') => self.enter(true),
            (At::Value | At::Array, b'[') => self.enter(false),
            (At::Next, b',') => {
                if self.in_object() {
                    At::Member
                } else {
                    At::Value
                }
            }
            (At::Object | At::Next, b'}') if self.in_object() => self.leave(),
            (At::Array | At::Next, b']') if !self.in_object() => self.leave(),
            _ => At::Broken,
        };
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// An object or an array begins.
    fn enter(&mut self, object: bool) -> At {
        if self.depth == DEPTH_LIMIT {
            return At::Broken;
        }
        self.value(None);
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        if object { At::Object } else { At::Array }
    }

    /// The innermost object or array ends.
    fn leave(&mut self) -> At {
        self.depth -= 1;
        self.objects >>= 1;
        if self.depth == 0 { At::End } else { At::Next }
    }

    /// A key, string or scalar begins.
    fn begin(&mut self, at: At) -> At {
        (self.length, self.cut, self.escaped) = (0, false, false);
        at
    }

    /// Keeps more of the key, string or scalar that is being read.
    fn keep(&mut self, bytes: &[u8]) {
        let free = self.kept.get_mut(self.length..).unwrap_or_default();
        self.cut |= bytes.len() > free.len();
        let length = bytes.len().min(free.len());
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.length += length;
    }

    /// What was kept, None if that is not all.
    fn kept(&self) -> Option<&[u8]> {
        self.kept.get(..self.length).filter(|_| !self.cut)
    }

    /// A value of the member that is being read: its name if it is a string that can be one.
    fn value(&mut self, name: Option<Name>) {
        if self.depth == 1 && self.is_model {
            self.model = name;
        }
    }

    /// Whether the string that is being read is of interest.
    fn matters(&self) -> bool {
        self.depth == 1 && (self.at == At::Key || self.is_model)
    }

    /// Reads a string to its end or that of the piece, and gives what follows.
    fn string<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let mut end = usize::from(std::mem::take(&mut self.escaped));
        let closed = loop {
            let Some(found) = piece.get(end..).and_then(end_or_escape) else { break None };
            end += found;
            if piece.get(end) == Some(&b'"') {
                break Some(end);
            }
            end += 2; // the backslash and what it escapes, which may be in the next piece
            self.escaped = end > piece.len();
        };
        let (text, rest) = match closed {
            Some(end) => (piece.get(..end), piece.get(end + 1..)),
            None => (Some(piece), None),
        };
        if self.matters() {
            self.keep(text.unwrap_or_default());
        }
        if closed.is_some() {
            self.end_string();
        }
        rest.unwrap_or_default()
    }

    fn end_string(&mut self) {
        if self.at == At::Key {
            if self.depth == 1 {
                self.is_model = self.kept().is_some_and(|kept| text::is(kept, KEY));
            }
            self.at = At::Colon;
        } else {
            if self.matters() {
                let name = self.kept().and_then(Name::of_escaped);
                self.value(name);
            }
            self.at = At::Next;
        }
    }

    /// Reads a number or a literal to its end or that of the piece, and gives what follows.
    fn scalar<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let more = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = piece.iter().take_while(|byte| more(byte)).count();
        let (scalar, rest) = piece.split_at(length);
        if rest.is_empty() {
            self.keep(scalar);
            return rest;
        }
        let whole = if self.length == 0 {
            text::is_scalar(scalar)
        } else {
            self.keep(scalar);
            self.kept().is_some_and(text::is_scalar)
        };
        self.value(None);
        self.at = if whole { At::Next } else { At::Broken };
        rest
    }
}

/// Where a string ends or has an escape. Many strings are short, and code has many escapes, so that a few bytes are looked
/// at before memchr is called, which takes as long for its beginning.
fn end_or_escape(text: &[u8]) -> Option<usize> {
    let near = text.iter().take(NEAR).position(|byte| matches!(byte, b'"' | b'\\'));
    near.or_else(|| memchr2(b'"', b'\\', text.get(NEAR..)?).map(|found| NEAR + found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn scan_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
        let mut scanner = Scanner::new();
        for piece in pieces {
            scanner.feed(piece);
        }
        scanner.finish().map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap())
    }

    fn scan(body: &str) -> Option<String> {
        scan_in_pieces([body.as_bytes()])
    }

    /// What serde_json makes of a body: the last of equal keys counts there too.
    fn expected(body: &[u8]) -> Option<String> {
        let Value::Object(members) = serde_json::from_slice(body).ok()? else { return None };
        let name = members.get("model")?.as_str()?;
        (!name.is_empty() && name.len() <= super::super::NAME_LIMIT).then(|| name.to_owned())
    }

    #[test]
    fn the_member_of_the_body_itself_counts() {
        let chat = r#"{"messages":[{"role":"user","content":"my \"model\": {","model":"no"}],"stream":true,"model":"qwen-2.5","n":1}"#;
        assert_eq!(scan(chat).as_deref(), Some("qwen-2.5"));
        assert_eq!(scan(" \r\n{ \"model\" :\t\"a b\" } \n").as_deref(), Some("a b"));
        for none in [
            "{}",
            r#"{"models":"a"}"#,
            r#"{"Model":"a"}"#,
            r#"{"a":{"model":"b"}}"#,
            r#"{"model":1}"#,
            r#"{"model":null}"#,
            r#"{"model":""}"#,
            r#"{"model":["a"]}"#,
            r#"{"model":{"model":"a"}}"#,
            r#"["model","a"]"#,
            r#""model""#,
            "",
        ] {
            assert_eq!(scan(none), None, "{none}");
        }
    }

    #[test]
    fn of_equal_keys_the_last_counts_whatever_it_says() {
        assert_eq!(scan(r#"{"model":"a","n":1,"model":"b"}"#).as_deref(), Some("b"));
        assert_eq!(scan(r#"{"model":"a","mod\u0065l":"b"}"#).as_deref(), Some("b"));
        for last in ["null", "1", "[]", "{}", "\"\"", "{\"model\":\"c\"}"] {
            assert_eq!(scan(&format!("{{\"model\":\"a\",\"model\":{last}}}")), None, "{last}");
        }
    }

    #[test]
    fn escapes_in_a_name_are_read() {
        assert_eq!(scan(r#"{"model":"a\/b\"\\\n\u00e9\ud83d\ude00"}"#).as_deref(), Some("a/b\"\\\né😀"));
        for wrong in [r"\x", r"\u12", r"\ud83d", r"\ud83dx", r"\ude00", "a\nb"] {
            assert_eq!(scan(&format!("{{\"model\":\"{wrong}\"}}")), None, "{wrong}");
        }
        assert_eq!(scan_in_pieces([&b"{\"model\":\"\xff\"}"[..]]), None);
    }

    #[test]
    fn what_is_not_json_names_no_model() {
        for wrong in [
            r#"{"model":"a""#,
            r#"{"model":"a"}}"#,
            r#"{"model":"a"} x"#,
            r#"{"model":"a",}"#,
            r#"{,"model":"a"}"#,
            r#"{"model":"a" "b":1}"#,
            r#"{"model" "a"}"#,
            r#"{"model":"a","b":[1,]}"#,
            r#"{"model":"a","b":[1}"#,
            r#"{"model":"a","b":[1}}"#,
            r#"{"model":"a","b":{1}}"#,
            r#"{"model":"a","b":tru}"#,
            r#"{"model":"a","b":01}"#,
            r#"{"model":"a","b":1.}"#,
            r#"{"model":"a","b":"c}"#,
            r#"{'model':'a'}"#,
            r#"{model:"a"}"#,
            "{\"model\":\"a\"}{\"model\":\"a\"}",
            "\u{feff}{\"model\":\"a\"}",
            "model=a",
        ] {
            assert_eq!(scan(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_unknown() {
        let named = |length: usize| format!("{{\"model\":\"{}\"}}", "x".repeat(length));
        assert_eq!(
            scan(&named(super::super::NAME_LIMIT)).map(|name| name.len()),
            Some(super::super::NAME_LIMIT)
        );
        assert_eq!(scan(&named(super::super::NAME_LIMIT + 1)), None);
        assert_eq!(scan(&named(KEPT + 1)), None);
        let deep = |n: usize| format!("{{\"a\":{}{},\"model\":\"b\"}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(scan(&deep(126)).as_deref(), Some("b"));
        assert_eq!(scan(&deep(127)), None);
        let long = |n: usize| format!("{{\"a\":\"{}\",\"model\":\"b\"}}", "x".repeat(n));
        assert_eq!(scan(&long(BODY_LIMIT - 20)).as_deref(), Some("b"));
        assert_eq!(scan(&long(BODY_LIMIT)), None);
    }

    /// Values of all kinds, some with the words that matter, as JSON text with blanks and escapes.
    fn json() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            4 => "[a-z \\\\/\"{}\\[\\]:,é\n\u{1F600}]{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            1 => Just("\"model\"".to_owned()),
            1 => Just(r#""\u006dod\u0065l""#.to_owned()),
        ];
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,3})([.][0-9]{1,2})?([eE][+-]?[0-9]{1,2})?",
        ];
        let leaf = prop_oneof![3 => string.clone(), 1 => scalar];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            let member = (string.clone(), " ?", inner.clone()).prop_map(|(key, blank, value)| {
                format!("{key}{blank}:{blank}{value}{blank}")
            });
            let joined = |parts: Vec<String>| parts.join(",");
            prop_oneof![
                1 => proptest::collection::vec(inner, 0..5).prop_map(move |parts| format!("[{}]", joined(parts))),
                3 => proptest::collection::vec(member, 0..6).prop_map(move |parts| format!("{{{}}}", joined(parts))),
            ]
        })
    }

    fn pieces<'a>(body: &'a [u8], at: &[usize]) -> Vec<&'a [u8]> {
        let mut at: Vec<_> = at.iter().map(|at| at % (body.len() + 1)).chain([0, body.len()]).collect();
        at.sort_unstable();
        at.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect()
    }

    proptest! {
        #[test]
        fn it_is_what_a_json_library_says(body in json(), at: Vec<usize>) {
            prop_assert_eq!(scan_in_pieces(pieces(body.as_bytes(), &at)), expected(body.as_bytes()));
        }

        /// One byte is another, or gone.
        #[test]
        fn so_it_is_if_a_byte_is_wrong(body in json(), at: usize, byte in "[a-z0-9{}\\[\\]:,\"\\\\ .-]?") {
            let mut body = body.into_bytes();
            let at = at % body.len();
            body.splice(at..=at, byte.bytes());
            let (found, expected) = (scan_in_pieces([&body[..]]), expected(&body));
            // The insides of strings other than the name are not checked: it may find a name where there is no JSON.
            prop_assert!(found == expected || (expected.is_none() && serde_json::from_slice::<Value>(&body).is_err()));
        }

        #[test]
        fn no_bytes_panic(body: Vec<u8>, text in "[{}\\[\\]:,\"\\\\ modeltrunfas0-9.]{0,60}", at: Vec<usize>) {
            for body in [&body[..], text.as_bytes()] {
                prop_assert_eq!(scan_in_pieces(pieces(body, &at)), scan_in_pieces([body]));
            }
        }

        #[test]
        fn a_body_that_is_cut_names_no_model(body in json(), end: usize) {
            let trimmed = body.trim_end().as_bytes();
            prop_assert_eq!(scan_in_pieces([&trimmed[..end % trimmed.len()]]), None);
        }
    }
}

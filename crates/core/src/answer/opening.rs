//! How the events of a stream begin. An engine repeats its names, times and keys in each event up to the text: that part is
//! read once, and what a reader knows after it is kept.

use super::doc::Doc;
use super::json::{Json, Read};

/// The longest beginning that is kept, in bytes: what stands before the text takes some 200.
const LONGEST: usize = 256;

/// The shortest beginning that is kept, in bytes: to compare a shorter one takes as long as to read it.
const SHORTEST: usize = 32;

/// After as many changes of the beginning no further one is looked for: the engine's events begin each in their own way.
const CHANGES: u8 = 4;

/// The common beginning of the events of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Opening {
    bytes: [u8; LONGEST],
    length: usize,
    /// The reader after the beginning, None while there is no beginning.
    after: Option<(Json, Doc)>,
    changes: u8,
}

impl Default for Opening {
    fn default() -> Self {
        Opening { bytes: [0; LONGEST], length: 0, after: None, changes: 0 }
    }
}

impl Opening {
    /// Forgets what the events of an answer had in common. The bytes may stay: nothing reads them.
    pub fn forget(&mut self) {
        (self.length, self.after, self.changes) = (0, None, 0);
    }

    /// Reads the beginning of an event, if that of the events before was the same, and gives what is left of the event.
    pub fn read<'a>(&mut self, event: &'a [u8], json: &mut Json, doc: &mut Doc) -> &'a [u8] {
        let known = self.bytes.get(..self.length).unwrap_or_default();
        if let (Some((json_after, doc_after)), Some(rest)) = (&self.after, event.strip_prefix(known)) {
            *json = *json_after;
            doc.read_as(doc_after);
            return rest;
        }
        if self.changes < CHANGES {
            self.changes += 1;
            self.change(event, json, doc);
        }
        event
    }

    /// Keeps as the beginning what the event has in common with those before, or else what stands before its text.
    #[cold]
    fn change(&mut self, event: &[u8], json: &Json, doc: &Doc) {
        let known = self.bytes.get(..self.length).unwrap_or_default();
        let common = known.iter().zip(event).take_while(|(known, byte)| known == byte).count();
        let longest = event.len().min(LONGEST);
        let found = [common, longest].into_iter().find_map(|end| after(event.get(..end)?, *json, *doc));
        (self.length, self.after) = found.map_or((0, None), |(length, after)| (length, Some(after)));
        for (to, from) in self.bytes.iter_mut().zip(event).take(self.length) {
            *to = *from;
        }
    }
}

/// The length of what stands before the text in these first bytes of an event, and the reader after that; None if it is too short
/// or holds more than a beginning.
fn after(bytes: &[u8], mut json: Json, mut doc: Doc) -> Option<(usize, (Json, Doc))> {
    let (lengths, mut length) = (doc.lengths, 0);
    for part in bytes.split_inclusive(|byte| *byte == b'"') {
        if json.read(part, &mut doc) != Read::More {
            return None;
        }
        length += part.len();
        if json.is_in_text() {
            break;
        }
    }
    // A choice that has ended counts in each event anew.
    (length >= SHORTEST && doc.lengths == lengths).then_some((length, (json, doc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str =
        "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"";

    /// What is left of the event where all of its beginning is known, and what the event holds.
    fn read(opening: &mut Opening, event: &str) -> (usize, Doc) {
        let (mut json, mut doc) = (Json::default(), Doc::default());
        let rest = opening.read(event.as_bytes(), &mut json, &mut doc);
        assert!(matches!(json.read(rest, &mut doc), Read::Ended(0)), "{event}");
        let mut expected = Doc::default();
        Json::default().read(event.as_bytes(), &mut expected);
        assert_eq!(doc, expected, "{event}");
        (rest.len(), doc)
    }

    #[test]
    fn a_common_beginning_is_read_once() {
        let mut opening = Opening::default();
        let event = |text: &str| format!("{BEGIN}{text}\"}}]}}");
        let left: Vec<_> = ["one", " two", " three", "four"]
            .iter()
            .map(|text| event(text).len() - read(&mut opening, &event(text)).0)
            .collect();
        assert_eq!(left, [0, BEGIN.len(), BEGIN.len(), BEGIN.len()]);
    }

    #[test]
    fn events_that_begin_otherwise_are_read_whole() {
        let mut opening = Opening::default();
        for event in [
            "{\"choices\":[{\"text\":\"a\"}]}",
            "{\"choices\":[{\"text\":\"b\"}]}",
            "{\"usage\":{\"completion_tokens\":7}}",
            "{}",
        ] {
            assert_eq!(read(&mut opening, event).0, event.len());
        }
    }

    #[test]
    fn equal_events_and_choices_side_by_side_count_each_time() {
        let mut opening = Opening::default();
        let event = "{\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"a\"},{\"index\":1,\"text\":\"b\"}]}";
        for _ in 0..4 {
            let (_, doc) = read(&mut opening, event);
            assert_eq!(doc.said().tokens, Some(2.0));
        }
    }

    #[test]
    fn a_beginning_that_changes_is_what_all_have_in_common() {
        let mut opening = Opening::default();
        let common = "{\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"";
        let event = |delta: &str| format!("{common}{delta}}},\"finish_reason\":null}}]}}");
        for (delta, known) in [
            ("role\":\"assistant\",\"content\":\"\"", false),
            ("content\":\"a\"", false),
            ("content\":\"b\"", true),
            ("tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]", true),
        ] {
            let event = event(delta);
            assert_eq!(event.len() - read(&mut opening, &event).0, if known { common.len() } else { 0 });
        }
    }

    proptest::proptest! {
        /// Whatever events come, they are read as if each were the first.
        #[test]
        fn any_events_are_read_as_they_are(picks in proptest::collection::vec((0..4usize, 0..4usize, 0..3usize), 1..12)) {
            let ids = ["cmpl-5d2f8c0e9b7a4d31", "cmpl-5d2f8c0e9b7a4d32", "c", ""];
            let texts = ["", " a", "\\u4f60 b", "x\\\"y"];
            let mut opening = Opening::default();
            for (id, text, usage) in picks {
                let usage = ["null", "{\"completion_tokens\":3}", "{}"][usage];
                let choice = format!("{{\"index\":0,\"text\":\"{}\"}}", texts[text]);
                read(&mut opening, &format!("{{\"id\":\"{}\",\"usage\":{usage},\"choices\":[{choice},{choice}]}}", ids[id]));
            }
        }
    }
}

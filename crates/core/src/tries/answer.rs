//! What is seen of an answer while it comes: how much, in how many lines, and when.
//!
//! A stream of server-sent events has a line for each event that says something, and an event has a token or several:
//! engines merge tokens under load, and speculative decoding yields several at once. So tokens are told by the text that
//! the events hold beyond what each of them holds for its form. Streams of JSON lines read the same.

/// The bytes of a token's text, on average over languages and tokenisers; only ratios between nodes count.
const BYTES_PER_TOKEN: f64 = 4.0;

/// A line that is shorter says nothing of a token: `data: [DONE]`, comments, the empty lines between events.
const SHORTEST_LINE: u32 = 40;

/// The text of the shortest event of an answer: a comma, a full stop.
const SHORTEST_TEXT: f64 = 1.0;

/// The ends of a line and of the empty line after it.
const LINE_ENDS: f64 = 2.0;

/// Lines from which on an answer is taken to have been streamed, and its shortest line to be one of the shortest there
/// are.
const STREAM_LINES: u32 = 8;

/// Less than any engine needs for a token of one answer, in µs. Events that come faster were held back on the way, and are an
/// answer in one piece; one piece that comes faster was not generated.
pub(super) const FASTEST: f64 = 50.0;

/// The bytes of an answer in one piece that are not the text: names, times, counts.
const OBJECT_BYTES: f64 = 300.0;

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// Its bytes.
    pub bytes: u64,
    /// Lines that ended in it and say something.
    pub lines: u32,
    /// The bytes of the shortest of them; 0 if there is none.
    pub shortest: u32,
}

/// What came of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    came: Part,
    /// The bytes of the line that has not ended.
    open_line: u32,
    /// When the first and the last byte came, in µs; 0 while there is none.
    first_at: u64,
    last_at: u64,
}

impl Answer {
    /// Counts a part that came at `now` (µs).
    pub fn count(&mut self, part: Part, now: u64) {
        if part.bytes == 0 {
            return;
        }
        if self.first_at == 0 {
            self.first_at = now;
        }
        self.last_at = now;
        self.came.bytes = self.came.bytes.saturating_add(part.bytes);
        self.came.lines = self.came.lines.saturating_add(part.lines);
        self.came.shortest = match (self.came.shortest, part.shortest) {
            (0, shortest) | (shortest, 0) => shortest,
            (a, b) => a.min(b),
        };
    }

    /// Reads a part that came at `now` (µs).
    pub fn read(&mut self, bytes: &[u8], now: u64) {
        let mut part = Part { bytes: bytes.len() as u64, ..Part::default() };
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let length = self.open_line.saturating_add((end - start) as u32);
            (self.open_line, start) = (0, end + 1);
            if length >= SHORTEST_LINE {
                part.lines += 1;
                part.shortest = if part.shortest == 0 { length } else { part.shortest.min(length) };
            }
        }
        self.open_line = self.open_line.saturating_add((bytes.len() - start) as u32);
        self.count(part, now);
    }

    /// When the first byte came (µs), None while there is none.
    pub fn first_at(&self) -> Option<u64> {
        (self.first_at > 0).then_some(self.first_at)
    }

    /// Whether it came piece by piece.
    pub fn is_stream(&self) -> bool {
        self.has_events() && self.duration() as f64 > FASTEST * self.tokens()
    }

    fn has_events(&self) -> bool {
        self.came.lines >= STREAM_LINES
    }

    /// The time in µs from its first byte to its last.
    pub fn duration(&self) -> u64 {
        self.last_at.saturating_sub(self.first_at)
    }

    /// When the last byte came (µs); 0 while there is none.
    pub fn last_at(&self) -> u64 {
        self.last_at
    }

    /// The tokens of its text, by its bytes.
    pub fn tokens(&self) -> f64 {
        let (bytes, lines) = (self.came.bytes as f64, f64::from(self.came.lines));
        let form = if self.has_events() {
            lines * (f64::from(self.came.shortest) + LINE_ENDS - SHORTEST_TEXT)
        } else {
            OBJECT_BYTES
        };
        ((bytes - form) / BYTES_PER_TOKEN).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> String {
        let form = "\"id\":\"cmpl-0123456789abcdef\",\"object\":\"text_completion\",\"model\":\"m\"";
        format!("data: {{{form},\"choices\":[{{\"text\":\"{text}\"}}]}}\n\n")
    }

    #[test]
    fn merged_tokens_count_like_single_ones() {
        let words = [" the", " quick", " brown", ",", " fox", " a", " jumps", " over", " it", " twice"];
        let read = |pieces: Vec<String>| {
            let mut answer = Answer::default();
            pieces.iter().zip(1..).for_each(|(piece, ms)| answer.read(piece.as_bytes(), ms * 1000));
            answer.read(b"data: [DONE]\n\n", 105_000);
            assert!(answer.is_stream());
            answer.tokens()
        };
        let singles = read((0..100).map(|i| event(words[i % 10])).collect());
        let text: f64 = words.iter().map(|word| word.len() as f64).sum::<f64>() * 10.0 / 4.0;
        assert!((singles / text - 1.0).abs() < 0.05, "{singles} of {text}");
        // Merged by one to three, as speculative decoding does.
        let mut left = (0..100).map(|i| words[i % 10]);
        let merged = read(
            (0..)
                .map(|i| left.by_ref().take(1 + i % 3).collect::<String>())
                .take_while(|text| !text.is_empty())
                .map(|text| event(&text))
                .collect(),
        );
        // By lines they would be half as many, by bytes as well; the shortest event has three bytes here, not one.
        assert!((merged / singles - 1.0).abs() < 0.25, "{merged} against {singles}");
    }

    #[test]
    fn where_pieces_end_does_not_matter() {
        let whole: String =
            [" one", " two", " three", " and"].iter().cycle().take(40).map(|t| event(t)).collect();
        let mut at_once = Answer::default();
        at_once.read(whole.as_bytes(), 9);
        let mut by_bytes = Answer::default();
        whole.bytes().for_each(|byte| by_bytes.read(&[byte], 9));
        assert_eq!(at_once, by_bytes);
    }

    #[test]
    fn a_stream_that_comes_at_once_has_its_tokens_and_is_none() {
        let whole: String =
            [" one", " two", " three", "."].iter().cycle().take(40).map(|t| event(t)).collect();
        let (first, rest) = whole.split_at(1000);
        let read = |last: u64| {
            let mut answer = Answer::default();
            answer.read(first.as_bytes(), 1000);
            answer.read(rest.as_bytes(), last);
            (answer.is_stream(), answer.tokens())
        };
        let tokens = 10.0 * (4.0 + 4.0 + 6.0 + 1.0) / 4.0;
        assert_eq!(read(1000), (false, tokens));
        assert_eq!(read(2500), (false, tokens));
        assert_eq!(read(3500), (true, tokens));
    }

    #[test]
    fn an_object_is_no_stream() {
        let mut answer = Answer::default();
        answer.read("x".repeat(1100).as_bytes(), 77);
        assert!(!answer.is_stream());
        assert_eq!((answer.tokens(), answer.first_at(), answer.duration()), (200.0, Some(77), 0));
        assert_eq!(Answer::default().first_at(), None);
    }
}

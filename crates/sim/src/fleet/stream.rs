//! What nginx sees of answers: bytes and events, not tokens.

use super::plan::Asked;
use crate::policy::Part;

/// The line ends after an event of a stream.
const LINE_ENDS: u64 = 2;

/// The text of the shortest event of one token: a comma.
const SHORTEST: f64 = 1.0;

/// What the shortest event has more for each token more that events have on average: some events have one token.
const SHORTEST_MORE: f64 = 0.5;

/// `data: [DONE]` and its line ends.
const END_MARK: u64 = 14;

/// Names, times and counts of an answer in one piece.
const OBJECT: u64 = 300;

/// How the tokens of an answer lie in events.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bytes of an event without its text.
    pub envelope: u64,
    /// Tokens in an event; a fraction is what they are on average.
    pub tokens: f64,
}

/// What comes with so many further tokens of a streamed answer.
pub fn part(asked: &Asked, shape: Shape, tokens: u32, last: bool) -> Part {
    let events = (f64::from(tokens) / shape.tokens).ceil();
    let text = (f64::from(tokens) * asked.text) as u64;
    let mark = if last { END_MARK } else { 0 };
    let shortest = SHORTEST + SHORTEST_MORE * (shape.tokens - 1.0);
    Part {
        bytes: events as u64 * shape.envelope + text + mark,
        lines: events as u32,
        shortest: if tokens == 0 { 0 } else { (shape.envelope - LINE_ENDS + shortest as u64) as u32 },
    }
}

/// An answer in one piece.
pub fn whole(asked: &Asked) -> Part {
    let text = (f64::from(asked.length.output) * asked.text) as u64;
    Part { bytes: OBJECT + text, lines: 0, shortest: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Length;
    use tblb_core::tries::Answer;

    #[test]
    fn tokens_can_be_told_by_bytes_whatever_lies_in_an_event() {
        let length = Length { input: 1, output: 300 };
        let asked = Asked { length, text: 4.0, ..Asked::default() };
        for tokens in [1.0, 1.7, 3.0] {
            let mut answer = Answer::default();
            let shape = Shape { envelope: 200, tokens };
            answer.count(part(&asked, shape, 1, false), 1000);
            answer.count(part(&asked, shape, 299, true), 900_000);
            assert!(answer.is_stream());
            // The shortest event of those with several tokens has more text than the reader takes it to have.
            let tolerance = if tokens == 1.0 { 0.02 } else { 0.1 };
            assert!((answer.tokens() / 300.0 - 1.0).abs() < tolerance, "{}", answer.tokens());
        }
        let mut answer = Answer::default();
        answer.count(whole(&asked), 1000);
        assert!(!answer.is_stream() && (answer.tokens() / 300.0 - 1.0).abs() < 0.02);
    }
}

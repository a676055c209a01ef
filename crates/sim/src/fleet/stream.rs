//! What a worker reads of answers: events and the tokens that they seem to hold.

use super::plan::Asked;
use crate::policy::Part;

/// The bytes of a token's text on average, by which a reader tells how many tokens an event of several has.
const BYTES_PER_TOKEN: f64 = 4.0;

/// What comes with so many further tokens of a streamed answer, with so many tokens in an event (on average, if a fraction). An
/// event of one token is counted right; how many tokens a longer one has shows only in its text.
pub fn part(asked: &Asked, tokens_per_event: f64, tokens: u32) -> Part {
    let events = (f64::from(tokens) / tokens_per_event).ceil() as u32;
    let single = tokens_per_event <= 1.0 || tokens <= 1;
    let seen = if single { 1.0 } else { asked.text / BYTES_PER_TOKEN };
    Part { events, tokens: f64::from(tokens) * seen }
}

/// An answer in one piece, which says how many tokens it has.
pub fn whole(asked: &Asked) -> Part {
    Part { events: 1, tokens: f64::from(asked.length.output) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Length;
    use tblb_core::tries::Answer;

    #[test]
    fn a_reader_tells_the_tokens() {
        let length = Length { input: 1, output: 300 };
        for (tokens_per_event, text, expected) in [(1.0, 3.0, 300.0), (1.7, 4.0, 300.0), (3.0, 3.0, 225.25)] {
            let asked = Asked { length, text, ..Asked::default() };
            let mut answer = Answer::default();
            answer.count(part(&asked, tokens_per_event, 1), 1_000);
            answer.count(part(&asked, tokens_per_event, 299), 900_000);
            assert!(answer.is_stream());
            assert_eq!(answer.tokens(), expected);
        }
        let mut answer = Answer::default();
        answer.count(whole(&Asked { length, ..Asked::default() }), 1000);
        assert!(!answer.is_stream());
        assert_eq!(answer.tokens(), 300.0);
    }
}

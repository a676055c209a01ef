//! Answers that were built and serve again for a while, so that the status never holds up the worker that serves it.

use super::Format;
use std::rc::Rc;

/// The longest time in ms that an answer serves.
const LONGEST_MS: u64 = 1000;

/// An answer that took this many µs of the processor or more serves again. Smaller ones are built for each request, so
/// that they show what is so at that moment.
const DEAR_US: u64 = 1000;

/// A dear answer serves this many times as long as it took to build: at most a hundredth of a worker's time goes into the
/// status.
const SHARE: u64 = 100;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The format.
    pub format: Format,
    /// Whether all models are listed.
    pub all_models: bool,
}

/// The answers of a worker that may serve again. All who are served the same answer share one copy.
#[derive(Debug, Default)]
pub struct Answers(Vec<Answer>);

#[derive(Debug)]
struct Answer {
    form: Form,
    body: Rc<str>,
    built: u64,
    serves: u64,
}

impl Answers {
    /// No answers yet.
    pub const fn new() -> Self {
        Answers(Vec::new())
    }

    /// The answer that serves at `now` (ms). `header_only` is for HEAD, for which any answer of the last second does: only its
    /// length is of use.
    pub fn get(&self, form: Form, now: u64, header_only: bool) -> Option<Rc<str>> {
        let answer = self.0.iter().find(|answer| answer.form == form)?;
        let serves = if header_only { LONGEST_MS } else { answer.serves };
        (now.saturating_sub(answer.built) < serves).then(|| answer.body.clone())
    }

    /// Keeps an answer that was built at `now` (ms) and took `us` µs of the processor; forgets those that serve no more.
    pub fn keep(&mut self, form: Form, body: Rc<str>, now: u64, us: u64) {
        self.0.retain(|answer| answer.form != form && now.saturating_sub(answer.built) < LONGEST_MS);
        let serves = if us < DEAR_US { 0 } else { (us.saturating_mul(SHARE) / 1000).min(LONGEST_MS) };
        self.0.push(Answer { form, body, built: now, serves });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: Form = Form { format: Format::Html, all_models: false };
    const ALL: Form = Form { format: Format::Html, all_models: true };

    #[test]
    fn dear_answers_serve_for_a_hundred_times_what_they_took() {
        let mut answers = Answers::new();
        for (took, serves) in [(0, 0), (999, 0), (1000, 100), (3000, 300), (10_000, 1000), (u64::MAX, 1000)] {
            answers.keep(HTML, "a".into(), 5000, took);
            let until = (5000..7000).find(|now| answers.get(HTML, *now, false).is_none());
            assert_eq!(until, Some(5000 + serves), "{took}");
            assert!(answers.get(ALL, 5000, false).is_none());
        }
    }

    #[test]
    fn any_answer_of_the_last_second_does_for_a_header() {
        let mut answers = Answers::new();
        answers.keep(ALL, "a".into(), 5000, 10);
        let found = [5000, 5999, 6000].map(|now| answers.get(ALL, now, true).is_some());
        assert_eq!(found, [true, true, false]);
    }

    #[test]
    fn readers_share_one_copy_which_goes_with_the_last() {
        let mut answers = Answers::new();
        answers.keep(HTML, "a".into(), 5000, 10_000);
        let reader = answers.get(HTML, 5000, false).unwrap();
        assert_eq!(Rc::strong_count(&reader), 2);
        answers.keep(ALL, "b".into(), 6000, 10_000);
        assert_eq!(Rc::strong_count(&reader), 1, "it serves no more");
    }
}

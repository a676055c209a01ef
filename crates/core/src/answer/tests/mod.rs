//! Answers in each form, as the engines send them, also with the options that change the form.

mod errors;
mod pieces;
mod streams;
mod whole;

use super::*;

/// Tokens of a text, each one token for GPT-4o.
const TOKENS: [&str; 10] = [" the", " of", ".", " large", " to", " model", " a", " answer", " in", " it"];

const MS: u64 = 1000;

/// The text of a token in JSON.
fn token(n: usize) -> String {
    serde_json::to_string(TOKENS[n % TOKENS.len()]).unwrap()
}

/// Reads pieces: the first when 100 ms have passed, the others 20 ms after each other.
fn read<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Answer {
    let mut answer = Answer::default();
    let mut now = 100 * MS;
    for piece in pieces {
        answer.read(piece.as_ref(), now);
        now += 20 * MS;
    }
    answer
}

fn whole(body: &str) -> Answer {
    read([body])
}

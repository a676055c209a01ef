//! A worker reads the same of an answer whichever pieces the answer comes in, and no bytes break the reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tblb_core::answer::Answer;

/// Reads pieces 20 ms apart.
fn read(pieces: &[&[u8]], gap: u64) -> Answer {
    let mut answer = Answer::default();
    pieces.iter().zip(1..).for_each(|(piece, n)| answer.read(piece, n * gap + 1));
    answer
}

fuzz_target!(|input: &[u8]| {
    let (body, pieces) = tblb_fuzz::pieces(input);
    let told = |answer: &Answer| {
        (
            answer.is_known(),
            answer.error(),
            answer.has_begun(),
            answer.tokens(),
            answer.steps(),
            answer.is_stream(),
        )
    };
    let whole = read(&[body], 0);
    assert_eq!(told(&whole), told(&read(&pieces, 0)));
    let slow = read(&pieces, 20_000);
    for answer in [whole, slow] {
        assert!(answer.tokens().is_finite() && answer.tokens() >= 0.0);
        assert!((0.0..=answer.tokens().max(0.0)).contains(&answer.steps()));
        assert!((0.0..=answer.tokens().max(0.0)).contains(&answer.steps_after_first()));
        assert_eq!(answer.delivery(0).is_some(), answer.is_known());
    }
});

//! Any bytes are lines of some kind, whichever pieces they come in, and what a line says can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ops::ControlFlow;
use tblb_core::exposition::{LINE_LIMIT, Line, Lines, Sample};
use tblb_core::fault::Fault;

/// The lines, whether the body ends within one, and the fault that ended it.
fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<bool, Fault>) {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for piece in pieces {
        let each = |line: &[u8]| {
            assert!(line.len() <= LINE_LIMIT && !line.contains(&b'\n') && !line.contains(&0));
            found.push(line.to_vec());
            ControlFlow::Continue(())
        };
        if let Err(fault) = lines.feed(piece, each) {
            return (found, Err(fault));
        }
    }
    (found, Ok(lines.dangling()))
}

/// Reads a line, and what it says written anew.
fn read(text: &[u8]) {
    let Line::Series { rest, .. } = Line::of(text) else { return };
    let Some(sample) = Sample::read(rest) else { return };
    let labels: Vec<_> = sample.labels.collect();
    for label in &labels {
        let value = label.value();
        assert!(label.is(&value) || value.contains('\u{fffd}'), "{label:?}");
    }
    let again = labels.iter().flat_map(|label| [label.name, b"=\"", label.escaped, b"\","].concat());
    let again: Vec<u8> =
        [b'{'].into_iter().chain(again).chain(format!("}} {}", sample.value).into_bytes()).collect();
    let second = Sample::read(&again).expect("what was read is in the format");
    assert!(second.labels.eq(labels.iter().copied()));
    assert!(second.value == sample.value || (second.value.is_nan() && sample.value.is_nan()));
}

fuzz_target!(|input: &[u8]| {
    let (body, pieces) = tblb_fuzz::pieces(input);
    let whole = cut(&[body]);
    assert_eq!(whole, cut(&pieces));
    whole.0.iter().for_each(|line| read(line));
});

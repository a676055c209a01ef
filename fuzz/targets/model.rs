//! The model that a body names is the one that a JSON library finds, of two keys the last, whichever pieces it comes in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tblb_core::model::{Name, Scanner};

fn scan(pieces: &[&[u8]]) -> Option<Name> {
    let mut scanner = Scanner::new();
    for piece in pieces {
        if !scanner.feed(piece) {
            break;
        }
    }
    scanner.finish()
}

fuzz_target!(|input: &[u8]| {
    let (body, pieces) = tblb_fuzz::pieces(input);
    let found = scan(&[body]);
    assert_eq!(found, scan(&pieces));
    // The insides of strings other than the name are not checked: where there is no JSON it may find a name.
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let expected = value.as_object().and_then(|object| object.get("model")).and_then(Value::as_str);
    assert_eq!(found, expected.and_then(|name| Name::new(name.as_bytes())));
});

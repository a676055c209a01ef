//! Models: which of them a request asks for, and which an engine says that it serves.

mod body;
mod multipart;
mod scan;
mod text;

pub use body::Body;
pub use multipart::Form;
pub use scan::{BODY_LIMIT, Scanner};

use crate::board;
use crate::load::known;
use std::fmt::{self, Write};

/// The longest name of a model in bytes that a request may ask for; paths to models of some depth fit.
pub const NAME_LIMIT: usize = 256;

/// How many models of an engine are known. One that serves more may serve any.
pub const CAPACITY: usize = 32;

/// The labels in which engines name the model of a series, the best first: `model_name` of vLLM, SGLang, trtllm-serve,
/// LMDeploy, MindIE and NIM, and `model` of llama.cpp's router and Dynamo.
pub const LABELS: &[&str] = &["model_name", "model"];

/// The name of a model, in no memory of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_LIMIT],
    length: usize,
}

impl Name {
    /// The name, None if it is empty, too long or not UTF-8.
    pub fn new(name: &[u8]) -> Option<Name> {
        let mut bytes = [0; NAME_LIMIT];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        (!name.is_empty() && std::str::from_utf8(name).is_ok()).then_some(Name { bytes, length: name.len() })
    }

    /// The name that the inside of a JSON string says.
    fn of_escaped(escaped: &[u8]) -> Option<Name> {
        let mut bytes = [0; NAME_LIMIT];
        let length = text::unescape(escaped, &mut bytes)?.len();
        (length > 0).then_some(Name { bytes, length })
    }

    /// Its bytes, which are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The key by which it is known on the board.
    pub fn key(&self) -> u64 {
        key(self.as_bytes())
    }
}

/// A name to be shown in a variable of nginx, which may become part of a header: control characters are written as nginx
/// writes them in logs (`\x0A`).
pub fn shown(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for char in String::from_utf8_lossy(name).chars() {
        match char {
            '\0'..'\x20' | '\x7f' => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\x{:02X}", u32::from(char));
            }
            _ => shown.push(char),
        }
    }
    shown
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// The key of a model's name on the board.
pub fn key(name: &[u8]) -> u64 {
    board::key(&[name])
}

/// The body of the answer that a model does not exist, in the form of OpenAI's errors.
pub fn missing(name: &Name) -> String {
    let message = format!("The model `{name}` does not exist.");
    serde_json::json!({"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}})
        .to_string()
        + "\n"
}

/// The models that an engine says it serves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Models {
    /// The first [`CAPACITY`] of them, each once.
    pub list: Vec<Model>,
    /// Whether it may serve others.
    pub more: bool,
}

/// A model of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// How busy the engine is with it, 0 to 1; None if it does not say.
    pub utilization: Option<f64>,
}

impl Models {
    /// Puts a model down. One that stands there twice is as busy as the busier of the two.
    pub fn add(&mut self, name: &str, utilization: Option<f64>) {
        let utilization = utilization.and_then(known);
        if let Some(model) = self.list.iter_mut().find(|model| model.name == name) {
            model.utilization = match (model.utilization, utilization) {
                (Some(before), Some(now)) => Some(before.max(now)),
                (before, now) => before.or(now),
            };
        } else if self.list.len() < CAPACITY {
            self.list.push(Model { name: name.to_owned(), utilization });
        } else {
            self.more = true;
        }
    }

    /// Puts down those of others, too.
    pub fn join(&mut self, others: &Models) {
        others.list.iter().for_each(|model| self.add(&model.name, model.utilization));
        self.more |= others.more;
    }
}

/// The score of a node for a model with which it is so busy: what is left, but never nothing, so that a node which is full
/// is still found where there is no other. (XInference's in the published scheduler.)
pub fn score(utilization: f64) -> f64 {
    (1.0 - utilization).max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_of_some_length() {
        let of = |name: &str| Name::new(name.as_bytes());
        assert_eq!(of("a/b:1").unwrap().as_bytes(), b"a/b:1");
        assert_eq!(of("a").unwrap().key(), key(b"a"));
        assert!(of(&"x".repeat(NAME_LIMIT)).is_some());
        assert_eq!([of(""), of(&"x".repeat(NAME_LIMIT + 1)), Name::new(b"\xff")], [None; 3]);
    }

    #[test]
    fn a_shown_name_ends_no_line() {
        assert_eq!(shown("a é\"\\".as_bytes()), "a é\"\\");
        assert_eq!(shown(b"a\r\nX: \0\x1f\x7f"), "a\\x0D\\x0AX: \\x00\\x1F\\x7F");
    }

    #[test]
    fn the_error_is_json_whatever_the_name() {
        let name = Name::new(b"a\"b\\c<\n>").unwrap();
        let error: serde_json::Value = serde_json::from_str(&missing(&name)).unwrap();
        assert_eq!(error["error"]["message"], "The model `a\"b\\c<\n>` does not exist.");
        assert_eq!(
            (&error["error"]["type"], &error["error"]["code"]),
            (&"NotFoundError".into(), &404.into())
        );
    }

    #[test]
    fn models_are_put_down_once_and_up_to_a_number() {
        let mut models = Models::default();
        models.add("a", Some(0.25));
        models.add("a", Some(0.75));
        models.add("a", None);
        models.add("b", Some(f64::NAN));
        let model = |name: &str, utilization| Model { name: name.into(), utilization };
        assert_eq!(models.list, [model("a", Some(0.75)), model("b", None)]);
        (2..CAPACITY).for_each(|n| models.add(&n.to_string(), None));
        assert!(!models.more);
        models.add("c", None);
        assert_eq!((models.list.len(), models.more), (CAPACITY, true));
    }
}

//! What is wrong with a word of a directive.

use std::fmt;

/// A word that is wrong and what would be right, as one line without the place, which nginx adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// A word that is none of those known.
    pub(super) fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known = known.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        Error(format!("unknown {what} \"{word}\", expected one of {known}"))
    }

    /// A value that is not what its parameter takes.
    pub(super) fn invalid(word: &str, expected: &str) -> Self {
        Error(format!("invalid parameter \"{word}\", expected {expected}"))
    }

    /// A file that does not hold what it should.
    pub(super) fn file(file: &str, what: &str, expected: &str) -> Self {
        Error(format!("\"{file}\" {what}, expected {expected}"))
    }

    /// Too few or too many words.
    pub(super) fn number_of_parameters(expected: &str) -> Self {
        Error(format!("invalid number of parameters, expected {expected}"))
    }

    /// A directive that a block takes once.
    pub(super) fn duplicate(directive: &str) -> Self {
        Error(format!("duplicate directive, expected one \"{directive}\""))
    }

    /// A server that a directive names twice in a block.
    pub(super) fn duplicate_server(address: &str, directive: &str) -> Self {
        Error(format!("duplicate server \"{address}\", expected one \"{directive}\" for each server"))
    }

    /// A server that a block does not have; `known` are those that it has.
    pub(super) fn unknown_server<'a>(address: &str, known: impl Iterator<Item = &'a str>) -> Self {
        /// How many servers are named, so that the line stays one that can be read.
        const NAMED: usize = 8;
        let mut known = known.map(|server| format!("\"{server}\"")).collect::<Vec<_>>();
        if known.len() > NAMED {
            known.truncate(NAMED);
            known.push("…".into());
        }
        Error(format!("unknown server \"{address}\", expected one of the upstream: {}", known.join(", ")))
    }

    /// A directive that says how a server is polled where none is.
    pub(super) fn not_polled(directive: &str) -> Self {
        Error(format!(
            "\"{directive}\" directive gives a place of metrics, but \"tblb_metrics off\" is in the same upstream"
        ))
    }

    /// A directive that means nothing without another.
    pub(super) fn needs(directive: &str, other: &str) -> Self {
        Error(format!("\"{directive}\" directive needs a \"{other}\" directive in the same upstream"))
    }

    /// The same with the directive in which it is.
    pub fn in_directive(self, name: &str) -> Self {
        Error(format!("{self} in \"{name}\" directive"))
    }

    /// A weight above 0 for a signal that the algorithm never reads.
    pub(super) fn unused_weight(algorithm: &str, signal: &str) -> Self {
        Error(format!(
            "the algorithm \"{algorithm}\" does not use \"{signal}\", expected \"{signal}=0\" or none"
        ))
    }

    /// Nothing left to score by.
    pub(super) fn no_weight(algorithm: &str) -> Self {
        Error(format!("all weights of the algorithm \"{algorithm}\" are 0, expected one above 0"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

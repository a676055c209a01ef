//! What engines report, one file an engine.
//!
//! An engine is a table: for each signal the families of series that may carry it, in order of preference, and how
//! the series of one family become one number. To add an engine, write its file and put it into [`ALL`]: the word
//! for `engine=`, the detection and the reading follow from that.

mod llamacpp;
mod scrape;
mod sglang;
mod tally;
mod vllm;

pub use scrape::{Choice, Progress, Reading, Scrape};

use crate::load::Signal;
use std::fmt;

/// The engines that are known. The number of a row goes into the board and is carried over a reload: new engines go
/// to the end. If a body fits several equally well, the first of them is taken.
pub const ALL: &[&Engine] = &[&vllm::VLLM, &sglang::SGLANG, &llamacpp::LLAMACPP];

/// What an engine reports and where.
pub struct Engine {
    /// The word for it in directives and in the status.
    pub name: &'static str,
    /// Where it reports, unless a user says otherwise.
    pub path: &'static str,
    /// Requests queued.
    pub waiting: Source,
    /// Requests being executed.
    pub running: Source,
    /// KV-cache use, 0 to 1 once scaled.
    pub cache: Source,
}

impl Engine {
    /// The engine of that name, if it is known.
    pub fn named(name: &str) -> Option<&'static Engine> {
        ALL.iter().copied().find(|engine| engine.name == name)
    }

    /// Its row in [`ALL`], None for an engine that is not in it.
    pub fn index(&self) -> Option<u8> {
        ALL.iter().position(|engine| *engine == self).and_then(|index| u8::try_from(index).ok())
    }

    /// The engine in that row of [`ALL`], if there is one.
    pub fn from_index(index: u8) -> Option<&'static Engine> {
        ALL.get(usize::from(index)).copied()
    }

    /// Where it reports a signal.
    pub fn source(&self, signal: Signal) -> &Source {
        match signal {
            Signal::Waiting => &self.waiting,
            Signal::Running => &self.running,
            Signal::Cache => &self.cache,
        }
    }
}

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Engine {}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Where a signal comes from.
#[derive(Debug)]
pub struct Source {
    /// The families that may carry it; the first that has a value counts. Empty: the engine does not report it.
    pub families: &'static [Family],
    /// How series of one family become one number.
    pub aggregate: Aggregate,
}

impl Source {
    /// Counts that add up over ranks and models.
    pub const fn sum(families: &'static [Family]) -> Source {
        Source { families, aggregate: Aggregate::Sum }
    }

    /// Ratios, of which the fullest rank's says what a request may meet.
    pub const fn max(families: &'static [Family]) -> Source {
        Source { families, aggregate: Aggregate::Max }
    }
}

/// A family of series: the name that stands before the brace, to the letter, and which of its series count.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Labels, by name and value, that a series must have to count.
    pub select: &'static [(&'static str, &'static str)],
    /// A label that splits numbers up: where series without it (or with it empty) stand beside others, those are
    /// the totals of the others, and they alone count.
    pub split: Option<&'static str>,
    /// Labels that tell apart processes which report the same thing: such series count once, by the largest.
    pub copies: &'static [&'static str],
    /// What the value is multiplied by, 0.01 for per cent.
    pub scale: f64,
}

impl Family {
    /// A family of which every series counts.
    pub const fn named(name: &'static str) -> Family {
        Family { name, select: &[], split: None, copies: &[], scale: 1.0 }
    }
}

/// How the series of one family (one for each data-parallel rank, model, …) become one number. If one of them is
/// unknown the number is unknown: leaving it out would say that it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// Their mean.
    Mean,
    /// The one that stands last.
    Last,
}

#[cfg(test)]
mod tests;

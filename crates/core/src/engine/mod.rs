//! What engines report, one file an engine.
//!
//! An engine is a table: for each signal the families of series that may carry it, in order of preference, and how
//! the series of one family become one number. To add an engine, write its file and put it into [`ALL`]: the word
//! for `engine=`, the detection and the reading follow from that.

mod custom;
mod dynamo;
mod form;
mod llamacpp;
mod lmdeploy;
mod lookup;
mod mindie;
mod nim;
mod ray;
mod reading;
mod scale;
mod scrape;
mod sglang;
mod tally;
mod tei;
mod tgi;
mod triton;
mod trtllm;
mod vllm;
mod xinference;

pub use custom::Custom;
pub use lookup::Lookup;
pub use reading::{Choice, Progress, Reading};
pub use scale::Scale;
pub use scrape::Scrape;

use crate::load::Signal;
use crate::model;
use std::fmt;

/// The engines that are known. The number of a row goes into the board and is carried over a reload: new engines go
/// to the end. If a body fits several equally well, the first of them is taken.
pub const ALL: &[&Engine] = &[
    &vllm::VLLM,
    &sglang::SGLANG,
    &llamacpp::LLAMACPP,
    &tgi::TGI,
    &trtllm::TRTLLM,
    &triton::TRITON,
    &lmdeploy::LMDEPLOY,
    &mindie::MINDIE,
    &nim::NIM,
    &custom::CUSTOM,
    &xinference::XINFERENCE,
    &ray::RAY,
    &dynamo::DYNAMO,
    &tei::TEI,
];

/// Where engines report, each path once, the most common first: where to look for one that is not known yet.
pub fn paths() -> Vec<&'static str> {
    let mut paths = Vec::new();
    for engine in ALL {
        if !paths.contains(&engine.path) {
            paths.push(engine.path);
        }
    }
    paths
}

/// What an engine reports and where.
pub struct Engine {
    /// The word for it in directives and in the status.
    pub name: &'static str,
    /// What it is, in the documentation.
    pub title: &'static str,
    /// Where it reports, unless a user says otherwise.
    pub path: &'static str,
    /// The port at which it reports, unless a user says otherwise; None for the one at which it serves.
    pub port: Option<u16>,
    /// Requests queued.
    pub waiting: Source,
    /// Requests being executed.
    pub running: Source,
    /// KV-cache use, 0 to 1 once scaled.
    pub cache: Source,
    /// 1 while it takes requests; below that it was put to sleep, or a part of it was.
    pub awake: Source,
    /// Whether it reports in JSON, how busy it is with each model, and nothing else. Its list of models is whole, while
    /// what the labels of series name may be one name of several.
    pub by_model: bool,
    /// Whether what it reports as running has the waiting ones in it, which are then subtracted.
    pub running_has_waiting: bool,
    /// The labels that name the model of a series, the best first.
    pub model_labels: &'static [&'static str],
}

impl Engine {
    /// An engine of that name that reports nothing yet, at the usual path.
    const fn new(name: &'static str, title: &'static str) -> Engine {
        Engine {
            name,
            title,
            path: "/metrics",
            port: None,
            waiting: Source::sum(&[]),
            running: Source::sum(&[]),
            cache: Source::max(&[]),
            awake: Source::mean(&[]),
            by_model: false,
            running_has_waiting: false,
            model_labels: model::LABELS,
        }
    }

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

    /// Whether it reports anything under names of its own.
    pub fn has_names(&self) -> bool {
        Signal::ALL.into_iter().any(|signal| !self.source(signal).families.is_empty())
    }

    /// Where it reports a part of what is read.
    fn part(&self, part: Part) -> &Source {
        match part {
            Part::Signal(signal) => self.source(signal),
            Part::Awake => &self.awake,
        }
    }
}

/// There is one of each.
impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Engine {}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is read of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A signal.
    Signal(Signal),
    /// Whether it is awake.
    Awake,
}

impl Part {
    const ALL: [Part; 4] = [
        Part::Signal(Signal::Waiting),
        Part::Signal(Signal::Running),
        Part::Signal(Signal::Cache),
        Part::Awake,
    ];

    /// The signal that it is, None for whether the engine is awake.
    fn signal(self) -> Option<Signal> {
        match self {
            Part::Signal(signal) => Some(signal),
            Part::Awake => None,
        }
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

    /// States of 0 or 1, of which 1 says that all ranks have it.
    pub const fn mean(families: &'static [Family]) -> Source {
        Source { families, aggregate: Aggregate::Mean }
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
    /// The unit of the value.
    pub scale: Scale,
}

impl Family {
    /// A family of which every series counts.
    pub const fn named(name: &'static str) -> Family {
        Family { name, select: &[], split: None, copies: &[], scale: Scale::Times(1.0) }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (number, (name, value)) in self.select.iter().enumerate() {
            write!(f, "{}{name}=\"{value}\"", if number == 0 { '{' } else { ',' })?;
        }
        f.write_str(if self.select.is_empty() { "" } else { "}" })
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

impl Aggregate {
    /// Every way with its word in directives.
    pub const ALL: [(&str, Aggregate); 4] = [
        ("sum", Aggregate::Sum),
        ("max", Aggregate::Max),
        ("mean", Aggregate::Mean),
        ("last", Aggregate::Last),
    ];
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

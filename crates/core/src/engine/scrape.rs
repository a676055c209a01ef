//! Reads one metrics body, as it comes.

use super::tally::Tally;
use super::{ALL, Engine, Family};
use crate::exposition::{Line, Lines};
use crate::fault::Fault;
use crate::load::{Load, Signal};
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::LazyLock;

/// Whose series are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Those of whichever engine the body is of.
    Auto {
        /// What it was the last time. That is taken as long as the body has anything of it, so that an engine that
        /// reports little is not taken for another one; if its names are gone, the body decides again.
        remembered: Option<&'static Engine>,
    },
    /// Those of this one.
    Named(&'static Engine),
}

/// Whether more of the body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is.
    More,
    /// Every signal has been read to the end of its family, or the body is whole. What follows is not looked at.
    Enough,
}

/// What a body says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Whose body it is.
    pub engine: &'static Engine,
    /// What it reports; at least one signal is known.
    pub load: Load,
    /// Why a signal is unknown although its series are there ([`Fault::NotANumber`], [`Fault::Malformed`],
    /// [`Fault::Cut`]), to be counted; the first such reason if there are several.
    pub flaw: Option<Fault>,
}

/// The reader of one body: chunks are fed to it until it has enough or the body ends.
#[derive(Debug)]
pub struct Scrape {
    choice: Choice,
    table: Cow<'static, Table>,
    lines: Lines,
    /// The families of the table that were seen.
    found: Vec<Found>,
    /// The name of the last line, if it is one of the table.
    open: Option<&'static str>,
    /// There was a line that is not blank.
    started: bool,
    enough: bool,
}

/// A family that was seen.
#[derive(Debug)]
struct Found {
    wanted: Wanted,
    tally: Tally,
    /// A line of another family came after it. A family stands in one piece (the format demands it), so this one
    /// is whole.
    closed: bool,
}

impl Scrape {
    /// A reader that has read nothing.
    pub fn new(choice: Choice) -> Scrape {
        let table = match choice {
            Choice::Auto { .. } => Cow::Borrowed(&*EVERYTHING),
            Choice::Named(engine) => Cow::Owned(Table::of(&[engine])),
        };
        let (lines, found) = (Lines::default(), Vec::with_capacity(Signal::ALL.len()));
        Scrape { choice, table, lines, found, open: None, started: false, enough: false }
    }

    /// Reads the next piece of the body.
    ///
    /// # Errors
    /// [`Fault::LineTooLong`] and [`Fault::Binary`]; the rest of the body is of no use then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Progress, Fault> {
        if !self.enough {
            let mut lines = std::mem::take(&mut self.lines);
            let flow = lines.feed(chunk, |line| self.line(line));
            self.lines = lines;
            self.enough = flow?.is_break();
        }
        Ok(if self.enough { Progress::Enough } else { Progress::More })
    }

    /// What the body said, once it has ended or enough of it was read.
    ///
    /// # Errors
    /// Why nothing is known: [`Fault::Empty`], [`Fault::Cut`], [`Fault::NoSeries`], or the flaw of a series.
    pub fn finish(self) -> Result<Reading, Fault> {
        let cut = !self.enough && self.lines.dangling();
        if let Some(engine) = self.engine() {
            let (load, flaw) = self.load(engine, cut);
            if !load.is_unknown() {
                return Ok(Reading { engine, load, flaw });
            }
            if let Some(flaw) = flaw {
                return Err(flaw);
            }
        }
        Err(match (cut, self.started) {
            (true, _) => Fault::Cut,
            (false, true) => Fault::NoSeries,
            (false, false) => Fault::Empty,
        })
    }

    fn line(&mut self, text: &[u8]) -> ControlFlow<()> {
        let (name, rest) = match Line::of(text) {
            Line::Series { name, rest } => (name, rest),
            Line::End => {
                self.started = true;
                return ControlFlow::Break(());
            }
            Line::Comment => {
                self.started = true;
                return ControlFlow::Continue(());
            }
            Line::Blank => return ControlFlow::Continue(()),
        };
        self.started = true;
        if self.open.is_some_and(|open| open.as_bytes() != name) {
            self.open = None;
            self.found.iter_mut().for_each(|found| found.closed = true);
            if self.is_enough() {
                return ControlFlow::Break(());
            }
        }
        for index in self.table.find(name) {
            let wanted = self.table.families[index];
            self.open = Some(wanted.family.name);
            self.found(wanted).add(wanted.family, rest);
        }
        ControlFlow::Continue(())
    }

    /// The tally of a family.
    fn found(&mut self, wanted: Wanted) -> &mut Tally {
        let index = self.found.iter().position(|found| found.wanted.is(&wanted)).unwrap_or_else(|| {
            self.found.push(Found { wanted, tally: Tally::default(), closed: false });
            self.found.len() - 1
        });
        let found = &mut self.found[index];
        found.closed = false;
        &mut found.tally
    }

    /// Whether an engine, which would be the one that is taken, has every signal read.
    fn is_enough(&self) -> bool {
        self.engine().is_some_and(|engine| {
            let complete = |signal: &Signal| {
                let first = |found: &Found| found.closed && found.wanted.is_first(engine, *signal);
                engine.source(*signal).families.is_empty() || self.found.iter().any(first)
            };
            Signal::ALL.iter().all(complete)
        })
    }

    /// Whose body it is, by what was found.
    fn engine(&self) -> Option<&'static Engine> {
        let signals = |engine: &Engine| {
            let has =
                |signal| self.found.iter().any(|f| f.wanted.engine == engine && f.wanted.signal == signal);
            Signal::ALL.into_iter().filter(|&signal| has(signal)).count()
        };
        match self.choice {
            Choice::Named(engine) => Some(engine),
            Choice::Auto { remembered: Some(engine) } if signals(engine) > 0 => Some(engine),
            // The first of the best: `max_by_key` alone would take the last.
            Choice::Auto { .. } => {
                let best = ALL.iter().copied().rev().max_by_key(|engine| signals(engine));
                best.filter(|engine| signals(engine) > 0)
            }
        }
    }

    /// What the engine reports, and the first reason for which a signal that is there is not known. With `cut`, the
    /// body stopped within a line: the family of the line before may have gone on.
    fn load(&self, engine: &'static Engine, cut: bool) -> (Load, Option<Fault>) {
        let (mut load, mut flaw) = (Load::default(), None);
        for signal in Signal::ALL {
            let (source, mut reason) = (engine.source(signal), None);
            for rank in 0..source.families.len() {
                let is = |found: &&Found| found.wanted.carries(engine, signal) && found.wanted.rank == rank;
                let Some(found) = self.found.iter().find(is) else { continue };
                let total = match cut && !found.closed {
                    true => Err(Fault::Cut),
                    false => found.tally.total(found.wanted.family, source.aggregate),
                };
                match total {
                    Ok(Some(value)) => {
                        load.set(signal, Some(value));
                        reason = None;
                        break;
                    }
                    Ok(None) => {}
                    Err(fault) => reason = reason.or(Some(fault)),
                }
            }
            flaw = flaw.or(reason);
        }
        (load, flaw)
    }
}

/// A family, and what it would carry.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    family: &'static Family,
    engine: &'static Engine,
    signal: Signal,
    /// Its place among the families of that signal.
    rank: usize,
}

impl Wanted {
    fn carries(&self, engine: &Engine, signal: Signal) -> bool {
        self.engine == engine && self.signal == signal
    }

    fn is_first(&self, engine: &Engine, signal: Signal) -> bool {
        self.carries(engine, signal) && self.rank == 0
    }

    fn is(&self, other: &Wanted) -> bool {
        self.carries(other.engine, other.signal) && self.rank == other.rank
    }
}

/// Families by name. Nearly every line of a page is of none of them, and most of those show it by their length.
#[derive(Debug, Clone)]
struct Table {
    /// Sorted by [`Table::order`].
    families: Vec<Wanted>,
    /// Bit n: there is a name of n bytes. Longer names than 63 share the last bit.
    lengths: u64,
}

/// The families of all engines.
static EVERYTHING: LazyLock<Table> = LazyLock::new(|| Table::of(ALL));

impl Table {
    fn of(engines: &[&'static Engine]) -> Table {
        let mut families = Vec::new();
        for &engine in engines {
            for signal in Signal::ALL {
                let ranked = engine.source(signal).families.iter().enumerate();
                families.extend(ranked.map(|(rank, family)| Wanted { family, engine, signal, rank }));
            }
        }
        families.sort_by_key(|wanted| Table::order(wanted.family.name.as_bytes()));
        let lengths =
            families.iter().fold(0, |bits, wanted| bits | Table::bit(wanted.family.name.as_bytes()));
        Table { families, lengths }
    }

    fn order(name: &[u8]) -> (usize, &[u8]) {
        (name.len(), name)
    }

    fn bit(name: &[u8]) -> u64 {
        1 << name.len().min(63)
    }

    /// Where the families of that name are.
    fn find(&self, name: &[u8]) -> std::ops::Range<usize> {
        if self.lengths & Table::bit(name) == 0 {
            return 0..0;
        }
        let order = |wanted: &Wanted| Table::order(wanted.family.name.as_bytes()).cmp(&Table::order(name));
        let start = self.families.partition_point(|wanted| order(wanted).is_lt());
        let length = self.families[start..].partition_point(|wanted| order(wanted).is_eq());
        start..start + length
    }
}

//! Reads one metrics body, as it comes.

use super::custom::CUSTOM;
use super::form::{Form, keep};
use super::lookup::{Lookup, Wanted};
use super::reading::{Choice, Progress, Reading};
use super::tally::{Tally, Total};
use super::xinference::{self, XINFERENCE};
use super::{Engine, Part};
use crate::exposition::{Line, Lines};
use crate::fault::Fault;
use crate::load::{Load, Signal};
use crate::model::Models;
use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The reader of one body: chunks are fed to it until it has enough or the body ends.
#[derive(Debug)]
pub struct Scrape {
    lookup: Arc<Lookup>,
    /// What it was the last time.
    remembered: Option<&'static Engine>,
    /// It is known to report the use of its cache in per cent.
    per_cent: bool,
    lines: Lines,
    /// The families that were seen.
    found: Vec<Found>,
    /// A family of the last line's name, if there is one.
    open: Option<usize>,
    /// There was a line that is not blank.
    started: bool,
    enough: bool,
    form: Form,
}

/// A family that was seen.
#[derive(Debug)]
struct Found {
    /// Its place in the lookup.
    place: usize,
    tally: Tally,
    /// A line of another family came after it. A family stands in one piece (the format demands it), so this one
    /// is whole.
    closed: bool,
}

impl Scrape {
    /// A reader that has read nothing, of what the engines' tables have.
    pub fn new(choice: Choice) -> Scrape {
        match choice {
            Choice::Auto { remembered } => Scrape::of(Lookup::new(None, &[]), remembered),
            Choice::Named(engine) => Scrape::of(Lookup::new(Some(engine), &[]), None),
        }
    }

    /// A reader that has read nothing, of what the lookup has. Where that is of all engines, it matters what the
    /// engine was the last time; see [`Choice::Auto`].
    pub fn of(lookup: Arc<Lookup>, remembered: Option<&'static Engine>) -> Scrape {
        let (lines, found) = (Lines::default(), Vec::with_capacity(Part::ALL.len()));
        Scrape {
            lookup,
            remembered,
            per_cent: false,
            lines,
            found,
            open: None,
            started: false,
            enough: false,
            form: Form::Unknown,
        }
    }

    /// The same of an engine of which it is known whether it reports the use of its cache in per cent: 0.8 is then 0.8 per cent.
    #[must_use]
    pub fn with_per_cent(self, per_cent: bool) -> Scrape {
        Scrape { per_cent, ..self }
    }

    /// Reads the next piece of the body.
    ///
    /// # Errors
    /// [`Fault::LineTooLong`], [`Fault::Binary`], [`Fault::TooLarge`]; of an engine that reports in JSON [`Fault::NoSeries`],
    /// [`Fault::Html`] and [`Fault::Json`] for what is no such report. The rest of the body is of no use then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Progress, Fault> {
        if matches!(self.form, Form::Unknown) {
            self.form = Form::of(chunk, self.lookup.engine())?;
        }
        if let Form::Json(body) = &mut self.form {
            return keep(body, chunk).map(|()| Progress::More);
        }
        if !self.enough {
            let mut lines = std::mem::take(&mut self.lines);
            let flow = lines.feed(chunk, |line| self.line(line));
            self.lines = lines;
            self.enough = flow.map_err(|fault| self.other_than(fault))?.is_break();
        }
        Ok(if self.enough { Progress::Enough } else { Progress::More })
    }

    /// What the body said that is known to be whole, as HTTP's framing says: its last line may lack a line end.
    ///
    /// # Errors
    /// As of [`Scrape::finish`], but for [`Fault::Cut`].
    pub fn finish_whole(mut self) -> Result<Reading, Fault> {
        if !self.enough {
            let last = self.lines.last();
            self.enough = self.line(&last).is_break();
        }
        self.finish()
    }

    /// What the body said, once it has ended or enough of it was read, where nothing but its own lines shows whether it is
    /// whole.
    ///
    /// # Errors
    /// Why nothing is known: [`Fault::Empty`], [`Fault::Cut`], [`Fault::NoSeries`], [`Fault::Html`], [`Fault::Json`], or the
    /// flaw of a series.
    pub fn finish(self) -> Result<Reading, Fault> {
        if let Form::Json(body) = self.form {
            let models = Some(xinference::read(&body)?);
            let load = Load::default();
            return Ok(Reading {
                engine: &XINFERENCE,
                load,
                models,
                flaw: None,
                per_cent: false,
                flawed: None,
            });
        }
        let cut = !self.enough && self.lines.dangling();
        if let Some(engine) = self.engine() {
            let (load, per_cent, flaw) = self.load(engine, cut);
            let (flaw, part) = flaw.unzip();
            if !load.is_unknown() {
                let flawed = part.and_then(Part::signal);
                return Ok(Reading {
                    engine,
                    load,
                    models: self.models(engine, cut),
                    flaw,
                    per_cent,
                    flawed,
                });
            }
            if let Some(flaw) = flaw {
                return Err(flaw);
            }
        }
        Err(self.other_than(match (cut, self.started) {
            (true, _) => Fault::Cut,
            (false, true) => Fault::NoSeries,
            (false, false) => Fault::Empty,
        }))
    }

    /// The fault of a body that gave no series: where the body is of another kind, that it is.
    fn other_than(&self, fault: Fault) -> Fault {
        match (fault, &self.form) {
            (Fault::Cut | Fault::NoSeries | Fault::LineTooLong, Form::Text { other }) => {
                other.unwrap_or(fault)
            }
            _ => fault,
        }
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
        if self.open.is_some_and(|open| self.lookup.at(open).name.as_bytes() != name) {
            self.open = None;
            self.found.iter_mut().for_each(|found| found.closed = true);
            if self.is_enough() {
                return ControlFlow::Break(());
            }
        }
        for place in self.lookup.find(name) {
            self.open = Some(place);
            tally(&mut self.found, place).add(self.lookup.at(place), rest);
        }
        ControlFlow::Continue(())
    }

    /// Whether an engine, which would be the one that is taken, has every part read. While only names of the user's
    /// were found, those of an engine may follow.
    fn is_enough(&self) -> bool {
        let decided = |engine: &&Engine| self.lookup.engine().is_some() || **engine != CUSTOM;
        self.engine().filter(decided).is_some_and(|engine| {
            let complete = |part: &Part| {
                let mut read = self.found(engine, *part);
                read.any(|(found, wanted)| found.closed && wanted.rank == 0)
                    || !self.lookup.has(engine, *part)
            };
            Part::ALL.iter().all(complete)
        })
    }

    /// What was found that carries that part of what an engine reports.
    fn found(&self, engine: &'static Engine, part: Part) -> impl Iterator<Item = (&Found, &Wanted)> {
        let all = self.found.iter().map(|found| (found, self.lookup.at(found.place)));
        all.filter(move |(_, wanted)| wanted.carries(engine, part))
    }

    /// Whose body it is, by what was found.
    fn engine(&self) -> Option<&'static Engine> {
        if let Some(engine) = self.lookup.engine() {
            return Some(engine);
        }
        if let Some(engine) = self.remembered.filter(|engine| **engine != CUSTOM && self.signals(engine) > 0)
        {
            return Some(engine);
        }
        // Of engines that fit equally well the first in the table. Names of the user's tell least.
        let seen = self.found.iter().filter_map(|found| self.lookup.at(found.place).engine);
        let told = seen.filter(|engine| self.signals(engine) > 0);
        let best = told.max_by_key(|engine| (self.signals(engine), Reverse(engine.index())));
        best.or((self.signals(&CUSTOM) > 0).then_some(&CUSTOM))
    }

    /// Of how many signals something was found that tells the engine.
    fn signals(&self, engine: &Engine) -> usize {
        let tells = |signal| {
            let all = self.found.iter().map(|found| self.lookup.at(found.place));
            all.into_iter().any(|wanted| wanted.part == Part::Signal(signal) && wanted.tells(engine))
        };
        Signal::ALL.into_iter().filter(|&signal| tells(signal)).count()
    }

    /// What the engine reports, whether the use of its cache is in per cent, and the first reason for which a part that is there is not known. With `cut`, the
    /// body stopped within a line: the family of the line before may have gone on.
    fn load(&self, engine: &'static Engine, cut: bool) -> (Load, bool, Option<(Fault, Part)>) {
        let (mut load, mut per_cent, mut flaw) = (Load::default(), false, None);
        for part in Part::ALL {
            match (self.total(engine, part, cut), part) {
                (Ok(total), Part::Signal(signal)) => {
                    load.set(signal, total.map(|total| total.value));
                    per_cent |= total.is_some_and(|total| total.per_cent);
                }
                (Ok(awake), Part::Awake) => load.closed = awake.is_some_and(|awake| awake.value < 1.0),
                (Err(fault), _) => flaw = flaw.or(Some((fault, part))),
            }
        }
        if engine.running_has_waiting {
            let waiting = load.waiting.unwrap_or(0.0);
            load.running = load.running.map(|all| (all - waiting).max(0.0));
        }
        (load, per_cent, flaw)
    }

    /// The models that the series of the engine name, None if they name none. With `cut`, there may be more.
    fn models(&self, engine: &'static Engine, cut: bool) -> Option<Models> {
        let mut models = Models { more: cut, ..Models::default() };
        for signal in Signal::ALL {
            let families = self.found(engine, Part::Signal(signal));
            families.for_each(|(found, _)| models.join(found.tally.models()));
        }
        (!models.list.is_empty()).then_some(models)
    }

    /// The value of a part by the first family that has one, None if it is not reported.
    fn total(&self, engine: &'static Engine, part: Part, cut: bool) -> Result<Option<Total>, Fault> {
        let mut candidates: Vec<_> = self.found(engine, part).collect();
        candidates.sort_by_key(|(_, wanted)| wanted.rank);
        let mut reason = None;
        for (found, wanted) in candidates {
            let total = match cut && !found.closed {
                true => Err(Fault::Cut),
                false => found.tally.total(wanted, self.per_cent),
            };
            match total {
                Ok(Some(total)) => return Ok(Some(total)),
                Ok(None) => {}
                Err(fault) => reason = reason.or(Some(fault)),
            }
        }
        reason.map_or(Ok(None), Err)
    }
}

/// The tally of the family at a place.
fn tally(found: &mut Vec<Found>, place: usize) -> &mut Tally {
    let index = found.iter().position(|found| found.place == place).unwrap_or_else(|| {
        found.push(Found { place, tally: Tally::default(), closed: false });
        found.len() - 1
    });
    let found = &mut found[index];
    found.closed = false;
    &mut found.tally
}

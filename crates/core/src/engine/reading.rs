//! What is asked of a body, and what a body says.

use super::Engine;
use crate::fault::Fault;
use crate::load::{Load, Signal};
use crate::model::Models;

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
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Whose body it is.
    pub engine: &'static Engine,
    /// What it reports; at least one signal is known, unless it reports by model.
    pub load: Load,
    /// The models that it serves, None if it says nothing of them.
    pub models: Option<Models>,
    /// Why a signal is unknown although its series are there ([`Fault::NotANumber`], [`Fault::NotARatio`],
    /// [`Fault::Malformed`], [`Fault::Cut`]), to be counted; the first such reason if there are several.
    pub flaw: Option<Fault>,
    /// Whether the engine is known to report the use of its cache in per cent, by this page or by an earlier one: to be passed to
    /// [`Scrape::with_per_cent`](super::Scrape::with_per_cent).
    pub per_cent: bool,
    /// The signal that the flaw is of; None without a flaw, and where it is of whether the engine is awake.
    pub flawed: Option<Signal>,
}

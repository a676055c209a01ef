//! How requests are balanced: the directives that nginx takes, and what they are compared with.
//!
//! A policy knows only what nginx can see: the size of a request, when bytes of its answer come and how many, and
//! the pages that were polled.

mod choice;
mod gateway;
mod learned;
mod least_time;
mod lmetric;
mod nginx;
mod peak_ewma;
mod prequal;
mod queues;
mod rule;
mod tblb;
#[cfg(test)]
mod tests;

pub use rule::{METHODS, Method, Rule};
pub use tblb_core::tries::{Ending, Part};

use tblb_core::board::Board;
use tblb_core::load::Load;

use crate::fleet::Peer;
use crate::node::Nanos;

/// A page that was polled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Page {
    /// When it came.
    pub at: Nanos,
    /// What it said.
    pub load: Load,
    /// The instance's own connections to the peer then.
    pub own: u64,
}

impl Page {
    /// All requests that the node has.
    pub fn requests(&self) -> f64 {
        self.load.running.unwrap_or(0.0) + self.load.waiting.unwrap_or(0.0)
    }

    /// The requests there that are not the instance's own.
    pub fn background(&self) -> f64 {
        (self.requests() - self.own as f64).max(0.0)
    }
}

/// The last page of each peer.
pub type Pages = Vec<Option<Page>>;

/// What nginx sees of a request before it picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which request it is. No policy may draw from it when it came or how long it is.
    pub number: u64,
    /// Content-Length in bytes.
    pub body: u64,
    /// The worker that handles it.
    pub worker: usize,
}

/// Where and when something happens to an instance.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The time.
    pub now: Nanos,
    /// The board of the instance, with a row for each of its workers.
    pub board: Board<'a>,
    /// The slots of the peers.
    pub slots: &'a [Option<u32>],
}

/// What a policy looks at when it picks.
pub struct View<'a> {
    /// Where and when.
    pub scene: Scene<'a>,
    /// The peers of the instance.
    pub peers: &'a mut [Peer],
    /// Which of them may be picked, ascending.
    pub eligible: &'a [usize],
    /// The pages that were polled.
    pub pages: &'a Pages,
    /// The random numbers of the policy.
    pub rng: &'a mut fastrand::Rng,
}

/// A request at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// What was seen of the request.
    pub seen: Seen,
    /// The peer that was picked.
    pub peer: usize,
    /// When it was picked.
    pub begun: Nanos,
    /// When the first byte of the body came.
    pub first_byte: Option<Nanos>,
}

/// A policy of one nginx instance, with the state that its workers share and the state that each has to itself.
pub trait Policy {
    /// Picks one of the eligible peers; None if there is none.
    fn pick(&mut self, view: View<'_>, seen: &Seen) -> Option<usize>;

    /// The first byte of an answer's body came.
    fn first_byte(&mut self, _scene: Scene<'_>, _one: &Try) {}

    /// A part of an answer came. Between the first and the last part it is told as often as [`Policy::listens_every`]
    /// says.
    fn part(&mut self, _scene: Scene<'_>, _one: &Try, _part: Part) {}

    /// How often it wants to be told of the parts of answers; None for the first and the rest only.
    fn listens_every(&self) -> Option<Nanos> {
        None
    }

    /// A try ended.
    fn end(&mut self, _scene: Scene<'_>, _one: &Try, _ending: Ending) {}
}

/// What a policy is made for.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The true speed of each peer's node, for policies that are told.
    pub speeds: &'a [f64],
    /// Workers of the instance.
    pub workers: usize,
}

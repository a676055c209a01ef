//! How requests are balanced: the directives that nginx takes, and what they are compared with.
//!
//! A policy knows only what nginx can see: the size of a request, when bytes of its answer come and how many, and
//! the pages that were polled.

mod nginx;
mod tblb;

use tblb_core::board::Board;
use tblb_core::config::Block;
use tblb_core::load::Load;
use tblb_core::picker::{Candidate, Known};
pub use tblb_core::tries::{Ending, Part};

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

    /// A part of an answer came: the first one if `one.first_byte` is now. Between the first and the last part it is told
    /// as often as [`Policy::listens_every`] says.
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
    /// The age above which a page counts no more, in ms.
    pub stale_ms: u64,
}

/// A policy as it is named.
#[derive(Debug, Clone)]
pub enum Rule {
    /// The directives of an upstream block, `tblb` among them.
    Tblb(Box<Block>),
    /// A method of nginx.
    Nginx(nginx::Method),
}

impl Rule {
    /// Parses the text of `--policy`: the directives of an upstream block as nginx takes them, a `tblb` first (the
    /// last semicolon may be left out), or one of the words.
    ///
    /// # Errors
    /// Says what is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.trim_end_matches(';').split_whitespace().collect();
        match words[..] {
            ["tblb" | "tblb;", ..] => match Block::parse(text) {
                Ok(block) => Ok(Self::Tblb(Box::new(block))),
                Err(error) => Err(error.to_string()),
            },
            [word] => {
                let method = nginx::Method::ALL.iter().find(|(name, _)| *name == word);
                method.map(|&(_, method)| Self::Nginx(method)).ok_or_else(|| unknown(word))
            }
            _ => Err(unknown(text)),
        }
    }

    /// The `weight` of a server whose node has this speed.
    pub fn weight(&self, speed: f64) -> i64 {
        match self {
            Self::Nginx(nginx::Method::WeightedLeastConn) => (speed * WEIGHT).round().max(1.0) as i64,
            _ => 1,
        }
    }

    /// The policy of one instance.
    pub fn make(&self, context: &Context<'_>) -> Box<dyn Policy + Send> {
        match self {
            Self::Tblb(block) => Box::new(tblb::Tblb::new(block, context)),
            Self::Nginx(method) => Box::new(nginx::Nginx::new(*method)),
        }
    }
}

/// The weight of a node of speed 1: fine enough for any fleet.
const WEIGHT: f64 = 100.0;

fn unknown(text: &str) -> String {
    let words: Vec<_> = nginx::Method::ALL.iter().map(|(name, _)| *name).collect();
    format!("unknown policy \"{text}\", expected a directive \"tblb …\" or one of {}", words.join(", "))
}

/// Fills `candidates` with the eligible peers, and with what is known of each.
fn gather(view: &View<'_>, candidates: &mut Vec<Candidate>, known: impl Fn(usize) -> Known) {
    candidates.clear();
    candidates.extend(view.eligible.iter().map(|&at| {
        let peer = &view.peers[at];
        Candidate {
            conns: peer.conns,
            weight: peer.weight,
            effective_weight: peer.effective_weight,
            current_weight: peer.current_weight,
            known: known(at),
        }
    }));
}

/// Writes back the weights that a pick moved, and says which peer the candidate was.
fn settle(view: &mut View<'_>, candidates: &[Candidate], picked: usize) -> Option<usize> {
    for (&at, candidate) in view.eligible.iter().zip(candidates) {
        view.peers[at].current_weight = candidate.current_weight;
        view.peers[at].effective_weight = candidate.effective_weight;
    }
    view.eligible.get(picked).copied()
}

#[cfg(test)]
mod tests;

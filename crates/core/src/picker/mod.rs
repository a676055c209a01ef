//! Which peer gets a request: among those of the best standing, by the algorithm or as nginx's least_conn does.
//!
//! The shell fills [`Candidate`]s from nginx's peers, calls [`pick`] and writes the weights back; the simulator
//! does the same with peers of its own. Nothing here allocates, and nothing panics for any input.

mod least;
mod least_conn;
mod least_work;
mod record;
mod scored;
#[cfg(test)]
mod tests;

pub use least_conn::least_conn;
pub use record::Record;

use crate::algorithm::{Rule, Work};
use crate::config::Block;
use crate::reason::Reason;
use least::Least;
use least_conn::by_connections;
use serde::{Deserialize, Serialize};

/// One peer that may be picked: up, not tried yet for this request, and under its max_conns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Connections that nginx counts at the peer.
    pub conns: u64,
    /// The `weight` parameter of the server, ≥ 1.
    pub weight: i64,
    /// nginx's weight after failures, 0 to `weight`; [`pick`] lets it recover.
    pub effective_weight: i64,
    /// nginx's counter of smooth weighted round robin; [`pick`] moves it.
    pub current_weight: i64,
    /// What is known of the peer beside nginx's own counts.
    pub known: Known,
    /// What the request costs there; [`pick`] sets it.
    #[serde(skip)]
    pub cost: f64,
    /// Whether [`pick`] has moved the weights above.
    #[serde(skip)]
    pub turned: bool,
    /// Whether it may not be picked after all: a place that is kept from request to request, and is empty in this one.
    #[serde(skip)]
    pub absent: bool,
}

impl Candidate {
    /// A peer with nginx's numbers of it, and what is known beside them.
    pub fn new(numbers: Numbers, known: Known) -> Self {
        let Numbers { conns, weight, effective_weight, current_weight } = numbers;
        Candidate {
            conns,
            weight,
            effective_weight,
            current_weight,
            known,
            cost: 0.0,
            turned: false,
            absent: false,
        }
    }

    /// Offers the peer of a kept place with nginx's numbers of now.
    #[inline]
    pub fn offer(&mut self, numbers: Numbers) {
        self.conns = numbers.conns;
        self.weight = numbers.weight;
        self.effective_weight = numbers.effective_weight;
        self.current_weight = numbers.current_weight;
        (self.turned, self.absent) = (false, false);
    }

    /// Whether it may be picked among those of this standing.
    #[inline]
    fn stands(&self, standing: Standing) -> bool {
        !self.absent && self.known.standing == standing
    }

    /// Its connections by its weight. Signed numbers take fewer instructions to convert.
    #[inline]
    fn load(&self) -> f64 {
        self.conns as i64 as f64 / self.divisor()
    }

    /// By what its load is divided: its weight.
    #[inline]
    fn divisor(&self) -> f64 {
        self.weight.max(1) as f64
    }
}

/// nginx's own numbers of a peer, as [`Candidate`] has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Connections that nginx counts at the peer.
    pub conns: u64,
    /// The `weight` parameter of the server, ≥ 1.
    pub weight: i64,
    /// nginx's weight after failures, 0 to `weight`.
    pub effective_weight: i64,
    /// nginx's counter of smooth weighted round robin.
    pub current_weight: i64,
}

/// What is known of a peer beside nginx's own counts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Known {
    /// The algorithm's score, higher is better; None where it has none for this peer.
    pub score: Option<f64>,
    /// Whether the score is what the engine says of itself, or typical of such: the peers that have one are picked by it
    /// whatever the algorithm, but for least_conn.
    #[serde(default)]
    pub rated: bool,
    /// Whether the peer's own metrics are fresh.
    pub fresh: bool,
    /// How the peer stands.
    pub standing: Standing,
    /// Whether it failed, and the request that is picked for it tries whether it is well again. One request at a time may.
    #[serde(default)]
    pub trial: bool,
    /// Whether its answers have stopped coming.
    #[serde(default)]
    pub suspect: bool,
    /// Whether it has given too few answers to be judged by them.
    #[serde(default)]
    pub new: bool,
    /// What it has to do, None where that is not known.
    pub work: Option<Work>,
}

impl Known {
    /// Has the work of another moment.
    #[inline]
    pub(crate) fn work_as(&mut self, other: &Known) {
        (self.work, self.suspect) = (other.work, other.suspect);
    }
}

/// How a peer stands, the best first: a pick is among the peers of the best standing that any candidate has, so that
/// nothing that metrics say ever leaves a request without a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing speaks against it.
    #[default]
    Ready,
    /// It is over a limit of `tblb_limit`.
    Over,
    /// Its last answers failed.
    Failing,
    /// Its engine says that it serves no requests now (see [`crate::load::Load::closed`]).
    Closed,
}

/// How scores become a pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    /// With a probability in proportion to score · weight, among the peers that score above 0.
    #[default]
    Random,
    /// The best score · weight, ties by smooth weighted round robin.
    Best,
}

impl Pick {
    /// Every way with its word in the directive.
    pub const ALL: [(&str, Pick); 2] = [("random", Pick::Random), ("best", Pick::Best)];
}

/// A pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// The index of the candidate.
    pub index: usize,
    /// Why it was picked.
    pub reason: Reason,
}

/// Picks among `candidates` for a request with a prompt of so many tokens; None if there are no candidates. If the
/// algorithm has nothing to go by, it is least_conn.
pub fn pick(
    block: &Block,
    prompt: u32,
    candidates: &mut [Candidate],
    rng: &mut fastrand::Rng,
) -> Option<Picked> {
    if block.bypass {
        let index = least_conn::least_conn_of(candidates, |c| !c.absent)?;
        return Some(Picked { index, reason: Reason::Bypass });
    }
    let (rule, how) = (block.balance.algorithm.rule, block.balance.pick);
    let least = match rule {
        Rule::LeastConn => return by_connections(candidates),
        Rule::LeastWork => least_work::least_work(candidates, f64::from(prompt))?,
        Rule::Score(_) => Least::of(candidates, |c| -scored::worth(c))?,
    };
    let by_rule = match least.standing {
        Standing::Ready => true,
        // How fast peers were that all fail now means nothing.
        Standing::Failing => !matches!(rule, Rule::LeastWork),
        Standing::Over | Standing::Closed => false,
    };
    if !by_rule {
        return by_connections(candidates);
    }
    let rated = || candidates.iter().filter(|c| c.stands(least.standing)).all(|c| c.known.rated);
    let picked = match how {
        _ if matches!(rule, Rule::LeastWork) && !rated() => least_work::pick(candidates, &least),
        Pick::Random => scored::random(candidates, least.standing, rng),
        Pick::Best => scored::best(candidates),
    };
    let Some(index) = picked else { return by_connections(candidates) };
    // Where no peer has metrics, none is worse off than the others.
    let stale = least.any_fresh && !candidates.get(index)?.known.fresh;
    Some(Picked { index, reason: if stale { Reason::Stale } else { Reason::Score } })
}

/// The probability with which `pick=random` picks each of the candidates; all 0 where no score is above 0.
pub fn shares(candidates: &[Candidate]) -> impl Iterator<Item = f64> {
    let standing = candidates.iter().map(|c| c.known.standing).min().unwrap_or_default();
    let total: f64 = candidates.iter().map(|c| scored::worth_of(c, standing)).sum();
    let of_total = move |worth: f64| if total > 0.0 && total.is_finite() { worth / total } else { 0.0 };
    candidates.iter().map(move |c| of_total(scored::worth_of(c, standing)))
}

//! The methods of nginx that need only what its list of peers says.

use tblb_core::picker::{self, Candidate, Known, Standing};

use super::{Policy, Seen, View, gather, settle};

/// A method of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Each in its turn (ngx_http_upstream_round_robin.c).
    RoundRobin,
    /// Any (`random`).
    Random,
    /// The fewest connections (`least_conn`).
    LeastConn,
    /// `least_conn` with the true speeds of the nodes as weights: what an operator who knew them all would write.
    WeightedLeastConn,
    /// The one with fewer connections of two that are drawn (`random two least_conn`).
    RandomTwo,
}

impl Method {
    /// Every method with its word.
    pub const ALL: [(&str, Method); 5] = [
        ("round_robin", Method::RoundRobin),
        ("random", Method::Random),
        ("least_conn", Method::LeastConn),
        ("weighted_least_conn", Method::WeightedLeastConn),
        ("random_two_least_conn", Method::RandomTwo),
    ];
}

/// One of these methods.
pub struct Nginx {
    method: Method,
    candidates: Vec<Candidate>,
}

impl Nginx {
    /// This method.
    pub fn new(method: Method) -> Self {
        Self { method, candidates: Vec::new() }
    }
}

impl Policy for Nginx {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        gather(&view, &mut self.candidates, |_| Known::default());
        let picked = match self.method {
            Method::RoundRobin => {
                // Where nobody has connections all are tied, and ties are broken by smooth weighted round robin.
                self.candidates.iter_mut().for_each(|candidate| candidate.conns = 0);
                picker::least_conn(&mut self.candidates, Standing::Ready)?
            }
            Method::LeastConn | Method::WeightedLeastConn => {
                picker::least_conn(&mut self.candidates, Standing::Ready)?
            }
            Method::Random => (!view.eligible.is_empty()).then(|| view.rng.usize(0..view.eligible.len()))?,
            Method::RandomTwo => two(&self.candidates, view.rng)?,
        };
        settle(&mut view, &self.candidates, picked)
    }
}

/// Draws two different ones and takes that with fewer connections; the first one of two equals, as
/// ngx_http_upstream_get_random2_peer does for equal weights.
fn two(candidates: &[Candidate], rng: &mut fastrand::Rng) -> Option<usize> {
    let first = (!candidates.is_empty()).then(|| rng.usize(0..candidates.len()))?;
    if candidates.len() < 2 {
        return Some(first);
    }
    let second = (first + rng.usize(1..candidates.len())) % candidates.len();
    Some(if candidates[second].conns < candidates[first].conns { second } else { first })
}

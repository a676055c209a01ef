//! The methods of nginx that need only what its list of peers says.

use tblb_core::picker::{self, Candidate, Known};

use super::choice::{gather, settle, two};
use super::{Policy, Seen, View};

/// A method of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Each in its turn (ngx_http_upstream_round_robin.c).
    RoundRobin,
    /// Any (`random`).
    Random,
    /// The fewest connections by weight (`least_conn`).
    LeastConn,
    /// The one with fewer connections of two that are drawn (`random two least_conn`).
    RandomTwo,
}

/// One of these methods.
pub struct Nginx {
    how: How,
    candidates: Vec<Candidate>,
}

impl Nginx {
    /// This method.
    pub fn new(how: How) -> Self {
        Self { how, candidates: Vec::new() }
    }
}

impl Policy for Nginx {
    fn pick(&mut self, mut view: View<'_>, _: &Seen) -> Option<usize> {
        match self.how {
            How::Random => {
                (!view.eligible.is_empty()).then(|| view.eligible[view.rng.usize(0..view.eligible.len())])
            }
            How::RandomTwo => {
                // The second one of two equals, as ngx_http_upstream_get_random2_peer has it for equal weights.
                let (first, second) = two(&mut view)?;
                Some(if view.peers[second].conns > view.peers[first].conns { first } else { second })
            }
            How::RoundRobin | How::LeastConn => {
                gather(&view, &mut self.candidates, |_| Known::default());
                if self.how == How::RoundRobin {
                    // Where nobody has connections all are tied, and ties are broken by smooth weighted round robin.
                    self.candidates.iter_mut().for_each(|candidate| candidate.conns = 0);
                }
                let picked = picker::least_conn(&mut self.candidates)?;
                settle(&mut view, &self.candidates, picked)
            }
        }
    }
}

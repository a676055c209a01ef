//! Why a peer was picked.

use serde::{Deserialize, Serialize};

/// The reason of a pick, as `$tblb_reason` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// By its score.
    Score,
    /// By least_conn: the algorithm had no usable metrics.
    LeastConn,
    /// By a score without metrics of its own: it was taken to be like the others.
    Stale,
    /// By least_conn: all peers are over a limit.
    Limit,
    /// By least_conn: `tblb_bypass` says so.
    Bypass,
    /// The upstream has one peer.
    Single,
    /// By `sticky`: the peer has the session of the request.
    Sticky,
}

impl Reason {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Score => "score",
            Reason::LeastConn => "least_conn",
            Reason::Stale => "stale",
            Reason::Limit => "limit",
            Reason::Bypass => "bypass",
            Reason::Single => "single",
            Reason::Sticky => "sticky",
        }
    }
}

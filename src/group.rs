//! A list of nginx's peers as a worker knows it: the core's group of them, and what nginx alone knows.

use crate::conf::UpstreamConf;
use crate::peers::{self, Copied, Peers};
use crate::recorder::Recorder;
use crate::{clock, guard};
use ngx::ffi::ngx_http_upstream_rr_peer_t;
use std::ptr::NonNull;
use tblb_core::balancer;
use tblb_core::board::Board;
use tblb_core::picker::{Candidate, Picked};

/// A peer as nginx has it; valid while the list is locked.
pub type PeerAddress = NonNull<ngx_http_upstream_rr_peer_t>;

/// The peers of one list.
pub struct Group {
    /// What is known of them, and the choice among them.
    pub peers: balancer::Group<PeerAddress>,
    /// Which configuration of the list they are of; None before the first.
    config: Option<usize>,
    /// How often the list became another.
    changes: u64,
    copied: Vec<Copied>,
    /// Records picks, where that is wanted.
    recorder: Option<Recorder>,
}

impl Group {
    /// A group of the upstream's primary servers or of its backup ones, which has seen none of them yet.
    pub fn new(upstream: &UpstreamConf, backup: bool) -> Self {
        Group {
            peers: balancer::Group::default(),
            config: None,
            changes: 0,
            copied: Vec::new(),
            recorder: Recorder::new(upstream, backup),
        }
    }

    /// What was copied of the list's peers when the list became another.
    pub fn copied(&self) -> &[Copied] {
        &self.copied
    }

    /// How often the list became another.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Finds the slots of the list's peers, if they are others than before, at a time in ms.
    pub fn follow(&mut self, upstream: &UpstreamConf, list: Peers, board: Option<&Board>, now: u64) {
        if self.config == Some(list.config()) && self.peers.slots().len() == list.number() {
            return;
        }
        self.config = Some(peers::copy(list, clock::seconds(), &mut self.copied));
        self.peers.follow(self.copied.iter().map(|peer| {
            let key = upstream.peer_key(peer.name.as_bytes());
            board.and_then(|board| u32::try_from(board.claim(key, upstream.number, now)?).ok())
        }));
        if let Some(recorder) = &mut self.recorder {
            recorder.make_room(self.copied.len());
        }
        self.changes += 1;
    }

    /// Brings up to date all that a choice needs.
    pub fn refresh(&mut self, upstream: &UpstreamConf, list: Peers, board: Option<&Board>, now: u64) {
        self.follow(upstream, list, board, now);
        if let Some(board) = board {
            self.peers.refresh(&upstream.block, board, upstream.number, now);
        }
    }

    /// Brings up to date what metrics alone tell, models among it.
    pub fn refresh_metrics(&mut self, upstream: &UpstreamConf, list: Peers, board: Option<&Board>, now: u64) {
        self.follow(upstream, list, board, now);
        if let Some(board) = board {
            self.peers.refresh_metrics(&upstream.block, board, upstream.number, now);
        }
    }

    /// The group of peers, and what keeps the candidates of a pick as they are before it, if picks are recorded. That allocates
    /// nothing.
    pub fn noting(
        &mut self,
    ) -> (&mut balancer::Group<PeerAddress>, impl FnMut(&[Candidate], &fastrand::Rng)) {
        let Group { peers, recorder, .. } = self;
        (peers, move |candidates: &[Candidate], rng: &fastrand::Rng| {
            if let Some(recorder) = recorder {
                recorder.note(candidates, rng);
            }
        })
    }

    /// Records the pick that was noted last, if picks are recorded.
    pub fn record(&mut self, upstream: &UpstreamConf, prompt: u32, picked: Option<Picked>) {
        if let Some(recorder) = &mut self.recorder {
            // The peer is taken by now: whatever goes wrong here must not have another one taken.
            guard::or((), || recorder.record(upstream, prompt, picked));
        }
    }
}

//! A group: the peers of one list as a worker knows them, with their slots on the board and their scores.

use crate::choice::Choice;
use crate::conf::UpstreamConf;
use crate::peers::{self, Copied, Peers};
use crate::recorder::Recorder;
use crate::{clock, guard};
use tblb_core::board::Board;
use tblb_core::config::Block;
use tblb_core::picker::{Candidate, Picked};
use tblb_core::reason::Reason;
use tblb_core::scores::{Freshness, Scores};

/// Peers for which a group has room before it knows how many there are.
const ROOM: usize = 64;

/// The peers of one list, their slots and scores, and room to choose among them.
pub struct Group {
    /// The scores, by the peer's place in the list.
    pub scores: Scores,
    slots: Vec<Option<u32>>,
    /// Which configuration of the list the slots are of; None before the first.
    config: Option<usize>,
    /// How often they became others.
    changes: u64,
    copied: Vec<Copied>,
    /// The peers that may be picked.
    pub candidates: Vec<Candidate>,
    /// Where they are; as many as candidates.
    pub choices: Vec<Choice>,
    /// Writes picks down, where that is wanted.
    recorder: Option<Recorder>,
}

/// A peer that was taken for a request, and how it was picked.
#[derive(Clone, Copy)]
pub struct Taken {
    /// Its slot on the board, if it has one.
    pub slot: Option<u32>,
    /// The requests of others there.
    pub others: f64,
    /// The algorithm's score.
    pub score: Option<f64>,
    /// Why it was picked.
    pub reason: Reason,
}

/// Brings scores up to date: [`Scores::refresh`] all that a pick needs, [`Scores::follow_metrics`] what metrics alone
/// tell, models among it, which costs next to nothing where they are the same as before.
type Refresh = fn(&mut Scores, &Block, &Board, usize, &[Option<u32>], Freshness);

impl Group {
    /// A group of the upstream's primary servers or of its backup ones, which has seen none of them yet.
    pub fn new(upstream: &UpstreamConf, backup: bool) -> Self {
        Group {
            scores: Scores::with_capacity(ROOM),
            slots: Vec::with_capacity(ROOM),
            config: None,
            changes: 0,
            copied: Vec::with_capacity(ROOM),
            candidates: Vec::with_capacity(ROOM),
            choices: Vec::with_capacity(ROOM),
            recorder: Recorder::new(upstream, backup, ROOM),
        }
    }

    /// The slot of the peer at a place in the list.
    pub fn slot(&self, place: usize) -> Option<u32> {
        self.slots.get(place).copied().flatten()
    }

    /// The peer at a place in the list, as it was taken.
    pub fn taken(&self, place: usize, score: Option<f64>, reason: Reason) -> Taken {
        Taken { slot: self.slot(place), others: self.scores.others(place), score, reason }
    }

    /// The slots of the list's peers, in its order.
    pub fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }

    /// What was copied of the list's peers when it became another.
    pub fn copied(&self) -> &[Copied] {
        &self.copied
    }

    /// How often the list became another.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Finds the slots of the list's peers, if they are others than before.
    pub fn follow(&mut self, upstream: &UpstreamConf, list: Peers, board: Option<&Board>, now: u64) {
        if self.config == Some(list.config()) && self.slots.len() == list.number() {
            return;
        }
        self.config = Some(peers::copy(list, clock::seconds(), &mut self.copied));
        self.slots.clear();
        for peer in &self.copied {
            let key = upstream.peer_key(peer.name.as_bytes());
            let slot = board.and_then(|board| board.claim(key, upstream.number, now));
            self.slots.push(slot.and_then(|slot| u32::try_from(slot).ok()));
        }
        let more = self.slots.len().saturating_sub(self.candidates.capacity());
        self.candidates.clear();
        self.candidates.reserve(more);
        self.choices.clear();
        self.choices.reserve(self.slots.len());
        if let Some(recorder) = &mut self.recorder {
            recorder.make_room(self.candidates.capacity());
        }
        self.scores.forget();
        self.changes += 1;
    }

    /// Brings slots up to date, and of the scores what `refresh` does.
    pub fn refresh(&mut self, upstream: &UpstreamConf, list: Peers, board: Option<&Board>, refresh: Refresh) {
        let now = clock::now_ms();
        self.follow(upstream, list, board, now);
        let Some(board) = board else { return };
        let at = Freshness { now, stale: upstream.block.stale_ms() };
        refresh(&mut self.scores, &upstream.block, board, upstream.number, &self.slots, at);
    }

    /// Keeps the candidates as they are before a pick, if picks are written down. Allocates nothing.
    pub fn note(&mut self, rng: &fastrand::Rng) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(&self.candidates, rng);
        }
    }

    /// Writes the pick down that was noted last, if picks are.
    pub fn record(&mut self, upstream: &UpstreamConf, prompt: u32, picked: Option<Picked>) {
        if let Some(recorder) = &mut self.recorder {
            // The peer is taken by now: whatever goes wrong here must not have another one taken.
            guard::or((), || recorder.record(upstream, prompt, picked));
        }
    }
}

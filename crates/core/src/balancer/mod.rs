//! The peers of one list as a worker sees them: their slots on the board, what is known of each, and the choice among them.
//!
//! nginx, the simulator, the fuzzer and the benchmarks use this one type. A choice is made in four steps:
//!
//! 1. [`Group::follow`] when the list has other peers than before. This alone allocates.
//! 2. [`Group::refresh`] reads from the board what the choice needs.
//! 3. [`Group::ask`], then [`Place::offer`] or [`Group::offer`] for each peer that may be picked.
//! 4. [`Group::pick`], after which [`Group::turned`] holds the peers whose weights moved. An attempt at the peer begins with
//!    [`Tries::begin`](crate::tries::Tries::begin).

#[cfg(test)]
mod tests;

use crate::board::Board;
use crate::config::Block;
use crate::picker::{self, Candidate, Known, Numbers, Picked, Standing};
use crate::reason::Reason;
use crate::scores::{Asked, Freshness, Scores, Verdict, Versions};

/// The peers of one list. `P` is what the caller calls a peer: an address in nginx, an index in the simulator.
#[derive(Debug)]
pub struct Group<P> {
    scores: Scores,
    /// The slots of the peers in the order of the list, None for a peer that has none.
    slots: Vec<Option<u32>>,
    /// The peers by their places in the list. They are kept from request to request; those that were not offered for this
    /// request are absent.
    candidates: Vec<Candidate>,
    /// What the caller calls the peers, as it offered them last.
    peers: Vec<Option<P>>,
    /// The model of the request that a peer is picked for.
    asked: Asked,
    /// What was known when the candidates got to know it last; None if they know something of one request only.
    known: Option<Versions>,
}

/// What a peer is picked by, beside the peers themselves.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The directives of the upstream.
    pub block: &'a Block,
    /// The board. Without a board nothing is known of the peers.
    pub board: Option<&'a Board<'a>>,
    /// The tokens that the prompt of the request counts for.
    pub prompt: u32,
    /// The time in ms of the monotonic clock.
    pub now: u64,
}

/// A peer that was taken for a request, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    /// Its place in the list.
    pub place: usize,
    /// Its slot on the board, if it has one.
    pub slot: Option<u32>,
    /// The requests of others there.
    pub others: f64,
    /// The algorithm's score.
    pub score: Option<f64>,
    /// Why it was picked.
    pub reason: Reason,
    /// Whether the request tries a peer that failed.
    pub trial: bool,
}

/// What [`Group::pick`] came to.
#[derive(Debug, Clone, Copy)]
pub struct Pick<P> {
    /// What the caller calls the peer.
    pub peer: P,
    /// The peer as it was taken.
    pub taken: Taken,
    /// The same as a record has it.
    pub picked: Picked,
}

/// The place of a peer in the list.
#[derive(Debug)]
pub struct Place<'a, P> {
    candidate: &'a mut Candidate,
    peer: &'a mut Option<P>,
    serves: bool,
}

impl<P> Place<'_, P> {
    /// As [`Group::offer`].
    #[inline]
    pub fn offer(self, numbers: Numbers, peer: P) {
        if self.serves {
            self.candidate.offer(numbers);
            *self.peer = Some(peer);
        }
    }
}

impl<P> Default for Group<P> {
    fn default() -> Self {
        Group {
            scores: Scores::default(),
            slots: Vec::new(),
            candidates: Vec::new(),
            peers: Vec::new(),
            asked: Asked::default(),
            known: None,
        }
    }
}

impl<P: Copy> Group<P> {
    /// The list has these peers now, by their slots. Makes room for all of them.
    pub fn follow(&mut self, slots: impl IntoIterator<Item = Option<u32>>) {
        self.slots.clear();
        self.slots.extend(slots);
        let peers = self.slots.len();
        let numbers = Numbers { conns: 0, weight: 1, effective_weight: 1, current_weight: 0 };
        self.candidates.clear();
        self.candidates.resize(peers, Candidate::new(numbers, Known::default()));
        self.peers.clear();
        self.peers.resize(peers, None);
        self.known = None;
        self.scores.make_room(peers);
        self.scores.forget();
    }

    /// The slots of the peers, in the order of the list.
    pub fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }

    /// The slot of the peer at a place in the list.
    pub fn slot(&self, place: usize) -> Option<u32> {
        self.slots.get(place).copied().flatten()
    }

    /// What is known of the peers.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Has all that is known of the peers read anew at the next [`Group::refresh`].
    pub fn forget(&mut self) {
        self.scores.forget();
        self.known = None;
    }

    /// Reads from the board what a choice by the directives needs, at a time in ms. What has not changed is not read again.
    pub fn refresh(&mut self, block: &Block, board: &Board, upstream: usize, now: u64) {
        let at = Freshness { now, stale: block.stale_ms() };
        self.scores.refresh(block, board, upstream, &self.slots, at);
    }

    /// Reads what metrics alone tell, models among it.
    pub fn refresh_metrics(&mut self, block: &Block, board: &Board, upstream: usize, now: u64) {
        let at = Freshness { now, stale: block.stale_ms() };
        self.scores.follow_metrics(block, board, upstream, &self.slots, at);
    }

    /// Begins a choice for a request that asks for a model, by its key; for None any peer will do.
    pub fn ask(&mut self, model: Option<u64>) {
        self.asked = self.scores.ask(model);
        let versions = self.scores.versions();
        match self.known {
            Some(known) if known.remade == versions.remade && self.asked.is_for_any() => {
                self.candidates.iter_mut().for_each(|candidate| candidate.absent = true);
                // Of all that is known, this alone changes from request to request.
                if known != versions {
                    let peers = self.candidates.iter_mut().zip(self.scores.known());
                    peers.for_each(|(candidate, known)| candidate.known.work_as(known));
                }
            }
            _ => {
                for (place, candidate) in self.candidates.iter_mut().enumerate() {
                    candidate.absent = true;
                    candidate.known = self.scores.get_for(place, &self.asked).unwrap_or_default();
                }
            }
        }
        self.known = self.asked.is_for_any().then_some(versions);
    }

    /// What is to be done with the request, as far as this group goes.
    pub fn verdict(&self, block: &Block) -> Verdict {
        self.scores.verdict(&self.asked, block)
    }

    /// Offers the peer at a place in the list, which may be picked as far as the caller knows. A peer that does not serve the
    /// model is passed over, and so is one that [`Group::follow`] has not seen: it is new, and the next request finds it.
    #[inline]
    pub fn offer(&mut self, place: usize, numbers: Numbers, peer: P) {
        if let Some(place) = self.places().nth(place) {
            place.offer(numbers, peer);
        }
    }

    /// The places in the order of the list, for a caller that walks all peers.
    #[inline]
    pub fn places(&mut self) -> impl Iterator<Item = Place<'_, P>> {
        let Group { scores, candidates, peers, asked, .. } = self;
        let (scores, asked, any_serves) = (&*scores, &*asked, asked.is_for_any());
        candidates.iter_mut().zip(peers).enumerate().map(move |(at, (candidate, peer))| {
            let serves = any_serves || scores.serves(at, asked);
            Place { candidate, peer, serves }
        })
    }

    /// How many peers were offered and may be picked.
    pub fn offered(&self) -> usize {
        self.candidates.iter().filter(|candidate| !candidate.absent).count()
    }

    /// Picks one of the offered peers for a request; None if there are none. `note` is called before, with all that the pick
    /// is made of; where another request turns out to try a peer already, `note` is called again, and the last call counts.
    /// Neither allocates nor panics.
    pub fn pick(
        &mut self,
        terms: Terms,
        rng: &mut fastrand::Rng,
        mut note: impl FnMut(&[Candidate], &fastrand::Rng),
    ) -> Option<Pick<P>> {
        loop {
            note(&self.candidates, rng);
            let picked = picker::pick(terms.block, terms.prompt, &mut self.candidates, rng)?;
            let place = picked.index;
            let peer = self.peers.get(place).copied().flatten()?;
            let candidate = self.candidates.get_mut(place)?;
            let trial = candidate.known.trial && picked.reason != Reason::Bypass;
            if !trial || self.begin_trial(terms, place) {
                let score = self.candidates.get(place)?.known.score;
                let taken = Taken { trial, ..self.taken(place, score, picked.reason) };
                return Some(Pick { peer, taken, picked });
            }
            let known = &mut self.candidates.get_mut(place)?.known;
            known.trial = false;
            known.standing = known.standing.max(Standing::Failing);
        }
    }

    /// Takes the right to try the peer at a place, which failed. The next request finds the peer on trial.
    fn begin_trial(&mut self, terms: Terms, place: usize) -> bool {
        self.forget();
        let slot = self.slot(place).zip(terms.board).and_then(|(slot, board)| board.slot(slot as usize));
        slot.is_some_and(|slot| slot.health().begin_trial(terms.now))
    }

    /// The peer at a place as something else than [`Group::pick`] took it: `sticky`, or nginx where there is one peer only.
    /// None if the peer does not serve the model of the request, or if its engine is asleep.
    pub fn take(&self, place: usize, reason: Reason) -> Option<Taken> {
        let known = self.scores.get_for(place, &self.asked)?;
        let sleeps = known.standing == Standing::Closed && reason != Reason::Single;
        (!sleeps).then(|| self.taken(place, known.score, reason))
    }

    fn taken(&self, place: usize, score: Option<f64>, reason: Reason) -> Taken {
        Taken {
            place,
            slot: self.slot(place),
            others: self.scores.others(place),
            score,
            reason,
            trial: false,
        }
    }

    /// The offered peers whose weights the last pick moved, with the new weights.
    pub fn turned(&self) -> impl Iterator<Item = (P, &Candidate)> {
        let turned = self.candidates.iter().zip(&self.peers).filter(|(candidate, _)| candidate.turned);
        turned.filter_map(|(candidate, peer)| Some(((*peer)?, candidate)))
    }
}

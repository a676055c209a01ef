//! Which peers serve which models, and the scores that engines which report by model give themselves.

use crate::board::Served;
use crate::config::{Models, Unlisted};
use crate::median::median;
use crate::model;
use crate::picker::Known;

/// What the fresh metrics of a group's peers say of models.
#[derive(Debug, Default)]
pub(super) struct ByModel {
    /// Every model of every peer that names any, by key and then by place. It grows to the most that there were.
    entries: Vec<Entry>,
    /// One for each peer.
    listings: Vec<Listing>,
    /// A peer reports by model.
    any: bool,
    /// The user says, by `tblb_model`, that the lists decide who may serve a model.
    given: bool,
    /// The first peer of those that each peer shares models with, directly or by way of others: peers of one deployment.
    deployments: Vec<usize>,
    /// By their labels, the peers are of several deployments.
    differ: bool,
    /// All scores are those that engines give themselves, so that a peer without fresh metrics gets a typical one.
    rated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    key: u64,
    place: usize,
    /// The engine's own score for it.
    score: Option<f64>,
}

/// What a peer says of its models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// Nothing is known of it now.
    Unknown,
    /// Nothing, though its metrics are fresh.
    Silent,
    /// It names some, and may serve others.
    Open,
    /// It names all.
    Whole,
}

/// A request for a model, as the peers' lists have it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Where the model's entries are; None for a request of which no model is known.
    range: Option<(usize, usize)>,
    /// The typical score for it, where a peer without fresh metrics gets one.
    typical: Option<f64>,
}

impl Asked {
    /// Whether no model of the request is known, so that any peer may serve the request.
    #[inline]
    pub(crate) fn is_for_any(&self) -> bool {
        self.range.is_none()
    }
}

/// What to do with a request for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A peer serves it, or may.
    Served,
    /// No peer does, and the request is refused.
    Refused,
    /// No peer says that it does, and the request is passed on as one of which no model is known.
    Unlisted,
}

impl ByModel {
    /// Makes room for `n` peers.
    pub fn reserve(&mut self, n: usize) {
        self.entries.reserve(n.saturating_sub(self.entries.len()));
        self.listings.reserve(n.saturating_sub(self.listings.len()));
        self.deployments.reserve(n.saturating_sub(self.deployments.len()));
    }

    /// Forgets all peers; `given` says whether the user has the lists decide.
    pub fn clear(&mut self, given: bool) {
        self.entries.clear();
        self.listings.clear();
        (self.any, self.given, self.rated) = (false, given, false);
    }

    /// Takes down the next peer: None if its metrics are not fresh, else whether it reports by model, and what it names.
    /// Its own score without a model is given back, if it reports by model.
    pub fn push(&mut self, fresh: Option<(bool, Option<Served>)>) -> Option<f64> {
        let place = self.listings.len();
        let Some((by_model, served)) = fresh else {
            self.listings.push(Listing::Unknown);
            return None;
        };
        let Some(served) = served else {
            self.listings.push(Listing::Silent);
            return None;
        };
        self.listings.push(self.listing(by_model, &served));
        self.any |= by_model;
        let score = |utilization: Option<f64>| utilization.map(model::score).filter(|_| by_model);
        let entries =
            served.models().map(|(key, utilization)| Entry { key, place, score: score(utilization) });
        self.entries.extend(entries);
        by_model.then(|| mean_score(&served)).flatten()
    }

    /// How far a list is believed. What labels name may be short of names (adapters, further names of a model), and an engine that
    /// names no model yet may be starting: only a user may say that such lists are whole.
    fn listing(&self, by_model: bool, served: &Served) -> Listing {
        let none = served.models().next().is_none();
        match (self.given, by_model) {
            _ if served.more => Listing::Open,
            (true, _) => Listing::Whole,
            (false, true) if !none => Listing::Whole,
            (false, true) => Listing::Silent,
            (false, false) => Listing::Open,
        }
    }

    /// All peers are taken down. `known` gets the scores that engines gave themselves, by the place of each; where nothing
    /// else is known of any peer (`alone`), those without fresh metrics get a typical one.
    pub fn complete(&mut self, known: &mut [Known], alone: bool, sorted: &mut Vec<f64>) {
        self.entries.sort_unstable_by_key(|entry| (entry.key, entry.place));
        self.find_deployments();
        self.rated = alone && known.iter().any(|known| known.rated);
        if self.rated {
            sorted.clear();
            sorted.extend(known.iter().filter(|known| known.rated).filter_map(|known| known.score));
            let typical = median(sorted);
            let unknown = known.iter_mut().filter(|known| !known.fresh);
            unknown.for_each(|known| (known.score, known.rated) = (typical, true));
        }
    }

    /// Finds which peers share models. Labels tell deployments apart only where all peers that report name models so.
    fn find_deployments(&mut self) {
        self.deployments.clear();
        self.deployments.extend(0..self.listings.len());
        self.differ = false;
        if self.any || self.given || self.listings.contains(&Listing::Silent) {
            return;
        }
        let mut moved = true;
        while moved {
            moved = false;
            for sharing in self.entries.chunk_by(|one, other| one.key == other.key) {
                let places = || sharing.iter().map(|entry| entry.place);
                let of = |place: usize| self.deployments.get(place).copied();
                let Some(first) = places().filter_map(of).min() else { continue };
                for place in places() {
                    if let Some(deployment) = self.deployments.get_mut(place).filter(|other| **other != first)
                    {
                        (*deployment, moved) = (first, true);
                    }
                }
            }
        }
        let mut named = self.entries.iter().filter_map(|entry| self.deployments.get(entry.place));
        let first = named.next();
        self.differ = named.any(|deployment| Some(deployment) != first);
    }

    /// Whether it matters which model a request asks for: the user says so, an engine reports by model, or labels tell several
    /// deployments apart.
    pub fn matter(&self, models: &Models) -> bool {
        models.on && (models.given || self.any || self.differ)
    }

    /// What the lists say of a model, by its key; `sorted` is room to compute in.
    pub fn ask(&self, key: u64, sorted: &mut Vec<f64>) -> Asked {
        let start = self.entries.partition_point(|entry| entry.key < key);
        let length = self.entries.get(start..).unwrap_or_default().partition_point(|entry| entry.key == key);
        let range = (start, start + length);
        sorted.clear();
        if self.rated {
            sorted.extend(self.entries_of(range).iter().filter_map(|entry| entry.score));
        }
        Asked { range: Some(range), typical: median(sorted) }
    }

    /// What is to be done with a request for it.
    pub fn verdict(&self, asked: &Asked, models: &Models) -> Verdict {
        let served = asked.range.is_none_or(|range| !self.entries_of(range).is_empty());
        let all_whole =
            !self.listings.is_empty() && self.listings.iter().all(|listing| *listing == Listing::Whole);
        if served || !all_whole {
            return Verdict::Served;
        }
        match models.unlisted {
            // Only a user may have requests refused.
            Some(Unlisted::Reject) => Verdict::Refused,
            None | Some(Unlisted::Pass) => Verdict::Unlisted,
        }
    }

    /// What is known of the peer at a place for such a request; None if it is not to be chosen for it.
    pub fn known(&self, place: usize, asked: &Asked, known: Known) -> Option<Known> {
        let Some(range) = asked.range else { return Some(known) };
        let entries = self.entries_of(range);
        let found =
            entries.binary_search_by_key(&place, |entry| entry.place).ok().and_then(|i| entries.get(i));
        match self.listings.get(place) {
            Some(Listing::Whole | Listing::Open) if found.is_some_and(|entry| entry.score.is_some()) => {
                Some(Known { score: found.and_then(|entry| entry.score), ..known })
            }
            Some(Listing::Whole) => found.map(|_| known),
            // It would answer, but perhaps with another model.
            Some(Listing::Silent) => (entries.is_empty() || !self.given).then_some(known),
            Some(Listing::Open) => (!self.is_elsewhere(place, entries)).then_some(known),
            Some(Listing::Unknown) | None => Some(Known { score: asked.typical.or(known.score), ..known }),
        }
    }

    /// Whether labels tell that the model of these entries is of another deployment than the peer at a place.
    fn is_elsewhere(&self, place: usize, entries: &[Entry]) -> bool {
        let deployment = |place: usize| self.deployments.get(place);
        self.differ && entries.first().is_some_and(|entry| deployment(entry.place) != deployment(place))
    }

    fn entries_of(&self, (start, end): (usize, usize)) -> &[Entry] {
        self.entries.get(start..end).unwrap_or_default()
    }
}

/// The score of an engine that reports by model for a request whose model is not known: by the mean of what it says.
fn mean_score(served: &Served) -> Option<f64> {
    let utilizations = || served.models().filter_map(|(_, utilization)| utilization);
    let count = utilizations().count();
    (count > 0).then(|| model::score(utilizations().sum::<f64>() / count as f64))
}

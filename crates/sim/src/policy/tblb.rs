//! The directives of a `tblb` upstream, by the picker, the scores, the tries and the board that nginx runs.

use std::collections::HashMap;

use tblb_core::algorithm::Rule;
use tblb_core::config::Block;
use tblb_core::picker::{self, Candidate};
use tblb_core::scores::{Freshness, Scores};
use tblb_core::tries::{Ending, Id, Ledger, Part, Tries};

use super::choice::{gather, settle};
use super::{Context, Policy, Scene, Seen, Try, View};
use crate::node::Nanos;

/// How often it is told of the bytes of answers, where it listens to them: about as often as a node makes a step.
const LISTENS_EVERY: Nanos = 50_000_000;

/// Requests that a worker can count at a time.
const ROOM: usize = 16_384;

/// The module in one nginx instance.
pub struct Tblb {
    block: Block,
    /// What each worker has to itself.
    workers: Vec<Worker>,
    /// The tokens that the prompts of the requests under way count for, and their tries.
    requests: HashMap<u64, (u32, Option<Id>)>,
    candidates: Vec<Candidate>,
    /// The age above which a page counts no more, in ms.
    stale: u64,
}

struct Worker {
    scores: Scores,
    tries: Tries,
}

impl Tblb {
    /// What this directive says.
    pub fn new(block: &Block, context: &Context<'_>) -> Self {
        let peers = context.speeds.len();
        let stale = block.metrics.as_ref().and_then(|metrics| metrics.stale);
        let worker = |_| Worker { scores: Scores::with_capacity(peers), tries: Tries::with_capacity(ROOM) };
        Self {
            block: block.clone(),
            workers: (0..context.workers).map(worker).collect(),
            requests: HashMap::new(),
            candidates: Vec::with_capacity(peers),
            stale: stale.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Where a worker counts.
fn ledger<'a>(scene: &Scene<'a>, worker: usize) -> Option<Ledger<'a>> {
    Some(Ledger { board: scene.board, row: scene.board.row(worker)? })
}

/// The tokens that a request counts for; learns from it what is usual.
fn prompt(scene: &Scene<'_>, seen: &Seen) -> u32 {
    scene.board.prompts(0).map_or(1, |prompts| {
        prompts.learn(seen.body);
        prompts.tokens(seen.body)
    })
}

fn micros(now: Nanos) -> u64 {
    now / 1000
}

impl Policy for Tblb {
    fn pick(&mut self, mut view: View<'_>, seen: &Seen) -> Option<usize> {
        let scene = view.scene;
        let at = ledger(&scene, seen.worker)?;
        let Worker { scores, tries } = self.workers.get_mut(seen.worker)?;
        tries.sweep(at, micros(scene.now));
        let freshness = Freshness { now: scene.now / 1_000_000, stale: self.stale };
        scores.refresh(&self.block, &scene.board, 0, scene.slots, freshness);
        gather(&view, &mut self.candidates, |peer| scores.get(peer));
        let (prompt, id) = self.requests.entry(seen.number).or_insert_with(|| (prompt(&scene, seen), None));
        let picked = picker::pick(&self.block, *prompt, &mut self.candidates, view.rng)?;
        let peer = settle(&mut view, &self.candidates, picked.index)?;
        let slot = scene.slots.get(peer).copied().flatten();
        *id = slot.and_then(|slot| tries.begin(at, slot, *prompt, scores.others(peer), micros(scene.now)));
        Some(peer)
    }

    fn part(&mut self, scene: Scene<'_>, one: &Try, part: Part) {
        let id = self.requests.get(&one.seen.number).and_then(|(_, id)| *id);
        let worker = self.workers.get_mut(one.seen.worker);
        if let (Some(at), Some(id), Some(worker)) = (ledger(&scene, one.seen.worker), id, worker) {
            worker.tries.count(at, id, part, micros(scene.now));
        }
    }

    fn listens_every(&self) -> Option<Nanos> {
        matches!(self.block.balance.algorithm.rule, Rule::LeastWork).then_some(LISTENS_EVERY)
    }

    fn end(&mut self, scene: Scene<'_>, one: &Try, ending: Ending) {
        let id = self.requests.remove(&one.seen.number).and_then(|(_, id)| id);
        let worker = self.workers.get_mut(one.seen.worker);
        if let (Some(at), Some(id), Some(worker)) = (ledger(&scene, one.seen.worker), id, worker) {
            worker.tries.end(at, id, ending);
        }
    }
}

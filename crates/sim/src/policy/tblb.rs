//! The directives of a `tblb` upstream, by the picker, the scores, the tries and the board that nginx runs.

use std::collections::HashMap;

use tblb_core::algorithm::Rule;
use tblb_core::balancer::{Group, Pick, Terms};
use tblb_core::config::Block;
use tblb_core::tries::{Ending, Id, Ledger, Part, Tries};

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
}

struct Worker {
    group: Group<usize>,
    tries: Tries,
}

impl Tblb {
    /// What this directive says.
    pub fn new(block: &Block, context: &Context<'_>) -> Self {
        let worker = |_| Worker { group: Group::default(), tries: Tries::with_capacity(ROOM) };
        Self {
            block: block.clone(),
            workers: (0..context.workers).map(worker).collect(),
            requests: HashMap::new(),
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

fn millis(now: Nanos) -> u64 {
    now / 1_000_000
}

impl Policy for Tblb {
    fn pick(&mut self, view: View<'_>, seen: &Seen) -> Option<usize> {
        let scene = view.scene;
        let at = ledger(&scene, seen.worker)?;
        let Worker { group, tries } = self.workers.get_mut(seen.worker)?;
        tries.sweep(at, micros(scene.now));
        if group.slots() != scene.slots {
            group.follow(scene.slots.iter().copied());
        }
        group.refresh(&self.block, &scene.board, 0, millis(scene.now));
        group.ask(None);
        for &peer in view.eligible {
            group.offer(peer, view.peers[peer].numbers(), peer);
        }
        let (prompt, id) = self.requests.entry(seen.number).or_insert_with(|| (prompt(&scene, seen), None));
        let (board, now) = (Some(&scene.board), millis(scene.now));
        let terms = Terms { block: &self.block, board, prompt: *prompt, now };
        let Pick { peer, taken, .. } = group.pick(terms, view.rng, |_, _| ())?;
        for (peer, candidate) in group.turned() {
            view.peers[peer].current_weight = candidate.current_weight;
            view.peers[peer].effective_weight = candidate.effective_weight;
        }
        *id = tries.begin(at, &taken, *prompt, micros(scene.now));
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
            worker.tries.end(at, id, ending, micros(scene.now));
        }
    }
}

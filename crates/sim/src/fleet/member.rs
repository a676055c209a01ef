//! A node of the fleet: what comes to it besides what nginx sends, its prefix cache, and what befalls it.

use tblb_core::load::Load;

use super::plan::Asked;
use super::prefixes::Prefixes;
use crate::node::{BLOCK_TOKENS, Event, EventKind, Nanos, Node, Request};
use crate::random::{Purpose, derive, exponential};
use crate::scenario::{Blow, NodeGroup};
use crate::workload::{Lengths, Workload};

/// Numbers from here on are those of requests that came directly.
const DIRECT: u64 = 1 << 32;

/// The part of the KV cache that holds the past of conversations; the rest is for what runs.
const PREFIX_PART: f64 = 0.5;

/// Nodes in a fleet at most: a node that starts anew draws its noise from the streams beyond.
const RESTARTED: u64 = 1 << 20;

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// Its time stands still since then.
    Hung(Nanos),
    Gone,
}

/// One node.
#[derive(Debug)]
pub struct Member {
    group: NodeGroup,
    node: Node,
    prefixes: Prefixes,
    health: Health,
    /// How long its time has stood still in all.
    lost: Nanos,
    /// The lengths of what comes to it directly.
    direct: Workload,
    next_direct: u64,
    direct_times: fastrand::Rng,
    /// What the agenda knows of when it will do something.
    scheduled: Option<Nanos>,
    /// What its page says for ever, where pages are frozen.
    frozen: Option<Load>,
    seed: u64,
    restarts: u64,
    index: u64,
}

impl Member {
    /// The node `index` of the fleet.
    pub fn new(group: &NodeGroup, seed: u64, index: usize) -> Self {
        let index = index as u64;
        let spec = group.spec();
        let room = f64::from(spec.kv_blocks) * f64::from(BLOCK_TOKENS) * PREFIX_PART;
        let mut member = Self {
            group: group.clone(),
            node: Node::new(spec, derive(seed, Purpose::Node, index)),
            prefixes: Prefixes::new(room as u64),
            health: Health::Well,
            lost: 0,
            direct: Workload::new(Lengths::SHAREGPT, derive(seed, Purpose::Background, index)),
            next_direct: DIRECT,
            direct_times: fastrand::Rng::with_seed(derive(seed, Purpose::BackgroundTimes, index)),
            scheduled: None,
            frozen: None,
            seed,
            restarts: 0,
            index,
        };
        (0..group.background).for_each(|_| member.submit_direct(0));
        member
    }

    /// What kind of node it is.
    pub fn group(&self) -> &NodeGroup {
        &self.group
    }

    /// Whether it takes connections.
    pub fn listens(&self) -> bool {
        self.health != Health::Gone
    }

    /// Whether it answers polls.
    pub fn answers(&self) -> bool {
        self.health == Health::Well
    }

    /// Takes in a request that nginx sends; whether it could.
    pub fn submit(&mut self, now: Nanos, number: usize, asked: &Asked) -> bool {
        let output = self.group.steps(asked.length.output);
        let request = Request { id: number as u64, prompt: asked.length.input, output };
        let cached = if asked.past > 0 { self.prefixes.look_up(asked.session).min(asked.past) } else { 0 };
        self.node.submit_cached(self.local(now), request, cached).is_ok()
    }

    /// The answer to a request has ended here: the conversation lies in the prefix cache.
    pub fn remember(&mut self, asked: &Asked) {
        self.prefixes.store(asked.session, asked.length.input + asked.length.output);
    }

    /// Takes in a request that comes directly.
    pub fn submit_direct(&mut self, now: Nanos) {
        if let Some(length) = self.direct.next().filter(|_| self.listens()) {
            let output = self.group.steps(length.output);
            let request = Request { id: self.next_direct, prompt: length.input, output };
            self.next_direct += 1;
            // A conversation of ShareGPT fits into any node.
            let _ = self.node.submit(self.local(now), request);
        }
    }

    /// How long it is until the next request comes directly at a random time, if any do.
    pub fn direct_gap(&mut self) -> Option<Nanos> {
        let rate = self.group.background_rate;
        (rate > 0.0).then(|| (exponential(&mut self.direct_times, 1.0 / rate) * 1e9) as Nanos)
    }

    /// Lets time pass up to `now`. Appends to `out` what happened to the requests that nginx sent; those that are kept
    /// here directly are followed by others.
    pub fn advance(&mut self, now: Nanos, out: &mut Vec<Event>) {
        if !self.answers() {
            return;
        }
        let from = out.len();
        self.node.advance(self.local(now), out);
        let (mut at, mut ended) = (from, 0);
        while let Some(event) = out.get(at) {
            if event.id < DIRECT {
                at += 1;
                continue;
            }
            ended += usize::from(event.kind == EventKind::Done);
            out.remove(at);
        }
        if self.group.background > 0 {
            (0..ended).for_each(|_| self.submit_direct(now));
        }
    }

    /// The answers to requests of nginx that have begun to come, and how many tokens of each are out.
    pub fn coming(&self) -> impl Iterator<Item = (u64, u32)> {
        let ours = self.node.coming().filter(|(id, _)| *id < DIRECT);
        ours.map(|(id, steps)| (id, self.group.tokens(steps)))
    }

    /// When it must be advanced, if the agenda does not know yet.
    pub fn schedule(&mut self) -> Option<Nanos> {
        let next = self.node.next_event_at().filter(|_| self.answers()).map(|at| at + self.lost);
        let news = next != self.scheduled;
        self.scheduled = next;
        next.filter(|_| news)
    }

    /// Sequences that run.
    pub fn running(&self) -> usize {
        self.node.running()
    }

    /// What its metrics page says; for ever the same from the first `frozen` one on.
    pub fn page(&mut self, frozen: bool) -> Load {
        let load = Load {
            waiting: Some(self.node.waiting() as f64),
            running: Some(self.node.running() as f64),
            cache: Some(self.node.kv_use()),
            closed: false,
        };
        if frozen { *self.frozen.get_or_insert(load) } else { load }
    }

    /// Everything takes so many times as long from now on.
    pub fn slow(&mut self, factor: f64) {
        self.node.set_pace(factor);
    }

    /// Its time stands still.
    pub fn hang(&mut self, now: Nanos) {
        if self.answers() {
            self.health = Health::Hung(now);
        }
    }

    /// Its process is gone, with all that was in it.
    pub fn die(&mut self) {
        self.health = Health::Gone;
        self.restarts += 1;
        let index = RESTARTED * self.restarts + self.index;
        self.node = Node::new(self.group.spec(), derive(self.seed, Purpose::Node, index));
        self.prefixes = Prefixes::new(self.node.token_limit() / 2);
    }

    /// What befell it is over. What has come to something else since changes nothing: a node that died while it hung
    /// stays away.
    pub fn recover(&mut self, now: Nanos, from: Blow) {
        match (from, self.health) {
            (Blow::Slow, _) => self.node.set_pace(1.0),
            (Blow::Hang, Health::Hung(since)) => {
                self.health = Health::Well;
                self.lost += now - since;
            }
            (Blow::Die, Health::Gone) => {
                self.health = Health::Well;
                (0..self.group.background).for_each(|_| self.submit_direct(now));
            }
            _ => {}
        }
    }

    /// Its own time.
    fn local(&self, now: Nanos) -> Nanos {
        match self.health {
            Health::Hung(since) => since - self.lost,
            _ => now - self.lost,
        }
    }
}

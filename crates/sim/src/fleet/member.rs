//! A node of the fleet with what comes to it besides what nginx sends.

use crate::node::{Event, EventKind, Nanos, Node, Request};
use crate::random::{Purpose, derive};
use crate::scenario::NodeGroup;
use crate::workload::{Lengths, Workload};
use tblb_core::load::Load;

/// Numbers from here on are those of requests that came directly.
const DIRECT: u64 = 1 << 32;

/// One node.
#[derive(Debug)]
pub struct Member {
    node: Node,
    /// The lengths of what comes to it directly.
    direct: Workload,
    next_direct: u64,
    /// What the agenda knows of when it will do something.
    scheduled: Option<Nanos>,
}

impl Member {
    /// The node `index` of the fleet.
    pub fn new(group: &NodeGroup, seed: u64, index: usize) -> Self {
        let seed_of = |purpose| derive(seed, purpose, index as u64);
        let mut member = Self {
            node: Node::new(group.spec(), seed_of(Purpose::Node)),
            direct: Workload::new(Lengths::SHAREGPT, seed_of(Purpose::Background)),
            next_direct: DIRECT,
            scheduled: None,
        };
        (0..group.background).for_each(|_| member.submit_direct(0));
        member
    }

    /// Takes in a request that nginx sends; whether it could.
    pub fn submit(&mut self, now: Nanos, request: Request) -> bool {
        self.node.submit(now, request).is_ok()
    }

    fn submit_direct(&mut self, now: Nanos) {
        if let Some(length) = self.direct.next() {
            let request = Request { id: self.next_direct, prompt: length.input, output: length.output };
            self.next_direct += 1;
            // A conversation of ShareGPT fits into any node.
            let _ = self.node.submit(now, request);
        }
    }

    /// Lets time pass up to `now`. Appends to `out` what happened to the requests that nginx sent; those that came
    /// directly are followed by others.
    pub fn advance(&mut self, now: Nanos, out: &mut Vec<Event>) {
        let from = out.len();
        self.node.advance(now, out);
        let mut ended = 0;
        let mut at = from;
        while let Some(event) = out.get(at) {
            if event.id < DIRECT {
                at += 1;
                continue;
            }
            ended += usize::from(event.kind == EventKind::Done);
            out.remove(at);
        }
        (0..ended).for_each(|_| self.submit_direct(now));
    }

    /// The answers to requests of nginx that have begun to come, and how many tokens of each are out.
    pub fn coming(&self) -> impl Iterator<Item = (u64, u32)> {
        self.node.coming().filter(|(id, _)| *id < DIRECT)
    }

    /// When it must be advanced, if the agenda does not know yet.
    pub fn schedule(&mut self) -> Option<Nanos> {
        let next = self.node.next_event_at();
        let news = next != self.scheduled;
        self.scheduled = next;
        next.filter(|_| news)
    }

    /// What its metrics page says.
    pub fn load(&self) -> Load {
        Load {
            waiting: Some(self.node.waiting() as f64),
            running: Some(self.node.running() as f64),
            cache: Some(self.node.kv_use()),
            closed: false,
        }
    }
}

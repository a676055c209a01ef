//! The fleet in virtual time: clients, nginx instances that balance their requests over nodes, and the polls.
//!
//! A run is a loop over an agenda of events. Nothing in it depends on a clock or on the order of threads: scenario,
//! load, policy and seed fix it. What is random is drawn from streams of the seed that no pick can move, so that all
//! policies of a seed see the same requests on the same nodes.

mod agenda;
mod instance;
mod member;
mod peer;
mod plan;
mod record;
#[cfg(test)]
mod tests;

pub use peer::Peer;
pub use plan::{Asked, Plan};
pub use record::{Measures, Outcome, Record, Slo};

use crate::node::{Event, EventKind, Nanos, Request};
use crate::policy::{Context, Ending, Part, Rule, Seen, Try};
use crate::random::{Purpose, derive};
use crate::scenario::{Load, NodeGroup, Scenario};
use agenda::Agenda;
use instance::Instance;
use member::Member;

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// The load begins so long after the nodes, their direct requests and the polls: they are in their stride by then.
const LEAD: Nanos = 10_000_000_000;

/// The age at which a page counts no more: three of the default intervals, as `tblb_metrics` has it.
const STALE_MS: u64 = 3000;

/// A poll comes up to this part of the interval early or late.
const JITTER: f64 = 0.1;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A node has something to do.
    Node(usize),
    /// The next request of the plan comes.
    Request,
    /// An instance asks a node for its page.
    Poll { instance: usize, node: usize },
    /// The instances that listen are told how far answers are.
    Listen { every: Nanos },
    /// The page is there.
    Page { instance: usize, node: usize, load: tblb_core::load::Load },
}

/// A request on its way.
#[derive(Debug, Clone)]
struct Flight {
    sent: Nanos,
    current: Try,
    /// Tokens of which nginx was told.
    told: u32,
}

/// Runs `requests` requests of a scenario at a load under a policy.
pub fn run(scenario: &Scenario, load: Load, rule: &Rule, seed: u64, requests: usize) -> Outcome {
    let plan = Plan::draw(scenario, load, requests, seed);
    let mut fleet = Fleet::new(scenario, load, rule, seed, &plan);
    fleet.begin(load);
    fleet.go_on();
    fleet.outcome
}

struct Fleet<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    /// Whether a client sends its next request when its last one is done.
    closed: bool,
    now: Nanos,
    agenda: Agenda<What>,
    members: Vec<Member>,
    instances: Vec<Instance>,
    /// When polls come.
    polls: Vec<fastrand::Rng>,
    /// The requests that were sent, by their number.
    flights: Vec<Flight>,
    events: Vec<Event>,
    coming: Vec<(u64, u32)>,
    outcome: Outcome,
}

impl<'a> Fleet<'a> {
    fn new(scenario: &'a Scenario, load: Load, rule: &Rule, seed: u64, plan: &'a Plan) -> Self {
        let speeds: Vec<_> = scenario.each_node().map(NodeGroup::true_speed).collect();
        let context = Context { speeds: &speeds, workers: scenario.proxy.workers, stale_ms: STALE_MS };
        let instances = 0..scenario.proxy.instances;
        let member = |(index, group)| Member::new(group, seed, index);
        let polls = |index| fastrand::Rng::with_seed(derive(seed, Purpose::Polls, index as u64));
        Self {
            scenario,
            plan,
            closed: matches!(load, Load::Concurrency(_)),
            now: 0,
            agenda: Agenda::new(),
            members: scenario.each_node().enumerate().map(member).collect(),
            instances: instances.clone().map(|index| Instance::new(rule, &context, seed, index)).collect(),
            polls: instances.map(polls).collect(),
            flights: Vec::with_capacity(plan.asked.len()),
            events: Vec::new(),
            coming: Vec::new(),
            outcome: Outcome::new(speeds.len(), plan.asked.len()),
        }
    }

    /// Puts down what happens by itself.
    fn begin(&mut self, load: Load) {
        for node in 0..self.members.len() {
            self.schedule(node);
            for instance in 0..self.instances.len() {
                self.poll_after(instance, node, 0.0, self.scenario.proxy.interval);
            }
        }
        if let Some(every) = self.instances.iter().filter_map(Instance::listens_every).min() {
            self.agenda.push(LEAD, What::Listen { every });
        }
        match load {
            Load::Concurrency(clients) => {
                (0..clients.min(self.plan.asked.len())).for_each(|_| self.agenda.push(LEAD, What::Request));
            }
            Load::Rate(_) => self.expect_arrival(0),
        }
    }

    fn go_on(&mut self) {
        while self.outcome.records.len() < self.plan.asked.len() {
            let Some((at, what)) = self.agenda.pop() else { return };
            self.now = at;
            match what {
                What::Node(node) => self.settle(node),
                What::Request => self.send(),
                What::Poll { instance, node } => self.poll(instance, node),
                What::Listen { every } => self.listen(every),
                What::Page { instance, node, load } => self.instances[instance].polled(at, node, load),
            }
        }
    }

    /// Brings a node up to now, and hears what happened there.
    fn settle(&mut self, node: usize) {
        let mut events = std::mem::take(&mut self.events);
        self.members[node].advance(self.now, &mut events);
        for event in events.drain(..) {
            match event.kind {
                EventKind::FirstToken => self.first_byte(event.id),
                EventKind::Token => {}
                EventKind::Done => self.done(event.id),
            }
        }
        self.events = events;
        self.schedule(node);
    }

    fn schedule(&mut self, node: usize) {
        if let Some(at) = self.members[node].schedule() {
            self.agenda.push(at, What::Node(node));
        }
    }

    /// The next request of the plan comes to its nginx, which sends it to a node.
    fn send(&mut self) {
        let number = self.flights.len();
        let Some(&asked) = self.plan.asked.get(number) else { return };
        if !self.closed {
            self.expect_arrival(number + 1);
        }
        let seen = Seen { number: number as u64, body: asked.body, worker: asked.worker };
        let picked = self.instances[asked.instance].pick(self.now, &seen, &[]);
        let Some(peer) = picked else {
            self.flights.push(Flight {
                sent: self.now,
                current: Try { seen, peer: 0, begun: self.now, first_byte: None },
                told: 0,
            });
            return self.record(number, false);
        };
        let current = Try { seen, peer, begun: self.now, first_byte: None };
        self.flights.push(Flight { sent: self.now, current, told: 0 });
        self.settle(peer);
        let request = Request { id: number as u64, prompt: asked.length.input, output: asked.length.output };
        if !self.members[peer].submit(self.now, request) {
            // The engine says that the request is wrong (400), which is no fault of the peer.
            self.instances[asked.instance].end(self.now, &current, Ending::Completed);
            return self.record(number, false);
        }
        self.schedule(peer);
    }

    fn expect_arrival(&mut self, number: usize) {
        if let Some(asked) = self.plan.asked.get(number) {
            self.agenda.push(LEAD + asked.at, What::Request);
        }
    }

    fn first_byte(&mut self, id: u64) {
        let number = id as usize;
        self.flights[number].current.first_byte = Some(self.now);
        self.tell(number, 1);
    }

    fn done(&mut self, id: u64) {
        let number = id as usize;
        self.tell(number, self.plan.asked[number].length.output);
        let current = self.flights[number].current;
        self.instances[self.plan.asked[number].instance].end(self.now, &current, Ending::Completed);
        self.record(number, true);
    }

    /// Tells nginx of an answer of which so many tokens have come.
    fn tell(&mut self, number: usize, tokens: u32) {
        let asked = &self.plan.asked[number];
        let flight = &mut self.flights[number];
        let part = part(asked, self.plan.envelope, tokens - flight.told);
        flight.told = tokens;
        if part.bytes > 0 {
            self.instances[asked.instance].part(self.now, &flight.current, part);
        }
    }

    /// Tells nginx of all answers that are coming.
    fn listen(&mut self, every: Nanos) {
        for node in 0..self.members.len() {
            self.settle(node);
            let mut coming = std::mem::take(&mut self.coming);
            coming.extend(self.members[node].coming());
            for (id, tokens) in coming.drain(..) {
                self.tell(id as usize, tokens);
            }
            self.coming = coming;
        }
        self.agenda.push(self.now + every, What::Listen { every });
    }

    /// A request has ended for its client.
    fn record(&mut self, number: usize, whole: bool) {
        let asked = &self.plan.asked[number];
        let flight = &self.flights[number];
        self.outcome.add(Record::of(asked, number, flight.sent, &flight.current, self.now, whole));
        if self.closed {
            self.agenda.push(self.now + asked.think, What::Request);
        }
    }

    /// The next poll comes in a random time from `least` to `most` seconds.
    fn poll_after(&mut self, instance: usize, node: usize, least: f64, most: f64) {
        if most > 0.0 {
            let wait = least + (most - least) * self.polls[instance].f64();
            self.agenda.push(self.now + (wait * SECOND) as Nanos, What::Poll { instance, node });
        }
    }

    fn poll(&mut self, instance: usize, node: usize) {
        self.settle(node);
        let load = self.members[node].load();
        let proxy = &self.scenario.proxy;
        let (delay, interval) = (proxy.delay, proxy.interval);
        self.agenda.push(self.now + (delay * SECOND) as Nanos, What::Page { instance, node, load });
        self.poll_after(instance, node, interval * (1.0 - JITTER), interval * (1.0 + JITTER));
    }
}

/// The line ends after an event of a stream.
const LINE_ENDS: u64 = 2;

/// What nginx sees of so many further tokens of a streamed answer: an event each, the shortest a comma.
fn part(asked: &Asked, envelope: u64, tokens: u32) -> Part {
    let text = (f64::from(tokens) * asked.text) as u64;
    Part {
        bytes: u64::from(tokens) * envelope + text,
        lines: tokens,
        shortest: u32::try_from(envelope - LINE_ENDS + 1).unwrap_or(u32::MAX),
    }
}

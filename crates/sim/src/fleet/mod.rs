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
use crate::policy::{Answer, Context, Ended, Rule, Seen, Try};
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
    /// The page is there.
    Page { instance: usize, node: usize, load: tblb_core::load::Load },
}

/// A request on its way.
#[derive(Debug, Clone)]
struct Flight {
    sent: Nanos,
    current: Try,
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
            });
            return self.record(number, false);
        };
        let current = Try { seen, peer, begun: self.now, first_byte: None };
        self.flights.push(Flight { sent: self.now, current });
        self.settle(peer);
        let request = Request { id: number as u64, prompt: asked.length.input, output: asked.length.output };
        if !self.members[peer].submit(self.now, request) {
            self.instances[asked.instance].peers[peer].free(self.now, false);
            self.instances[asked.instance].policy.end(self.now, &current, &Ended::Failed);
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
        let flight = &mut self.flights[id as usize];
        flight.current.first_byte = Some(self.now);
        let current = flight.current;
        let instance = self.plan.asked[id as usize].instance;
        self.instances[instance].policy.first_byte(self.now, &current);
    }

    fn done(&mut self, id: u64) {
        let number = id as usize;
        let asked = &self.plan.asked[number];
        let current = self.flights[number].current;
        let answer = answer(asked, self.plan.envelope);
        let instance = &mut self.instances[asked.instance];
        instance.peers[current.peer].free(self.now, false);
        instance.policy.end(self.now, &current, &Ended::Whole(answer));
        self.record(number, true);
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

/// What nginx sees of a streamed answer: an event a token.
fn answer(asked: &Asked, envelope: u64) -> Answer {
    let tokens = u64::from(asked.length.output);
    let text = (tokens as f64 * asked.text) as u64;
    Answer { bytes: tokens * envelope + text, events: tokens, smallest: envelope + 1 }
}

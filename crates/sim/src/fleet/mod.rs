//! The fleet in virtual time: clients, nginx instances that balance their requests over nodes, polls, and what befalls
//! nodes.
//!
//! A run is a loop over an agenda of events. Nothing in it depends on a clock or on the order of threads: scenario,
//! load, policy and seed fix it. What is random is drawn from streams of the seed that no pick can move, so that all
//! policies of a seed see the same requests on the same nodes.

mod agenda;
mod blows;
mod flights;
mod instance;
mod member;
mod peer;
mod plan;
mod polls;
mod prefixes;
mod record;
mod stream;
#[cfg(test)]
mod tests;
mod times;

pub use peer::Peer;
pub use plan::{Asked, Plan};
pub use record::{Measures, Outcome, Record, Slo};

use tblb_core::load::Load as Signals;

use crate::node::{Event, EventKind, Nanos};
use crate::policy::{Context, Rule};
use crate::random::{Purpose, derive};
use crate::scenario::{Load, NodeGroup, Scenario};
use agenda::Agenda;
use flights::Flight;
use instance::Instance;
use member::Member;

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A node has something to do.
    Node(usize),
    /// A request comes directly to a node.
    Direct(usize),
    /// The next request of the plan comes.
    Request,
    /// An instance asks a node for its page.
    Poll { instance: usize, node: usize },
    /// The page is there, or none came.
    Page { instance: usize, node: usize, page: Option<Signals> },
    /// The instances that listen are told how far answers are.
    Listen { every: Nanos },
    /// One of the scenario's events begins.
    Blow(usize),
    /// It ends.
    Over(usize),
}

/// Runs `requests` requests of a scenario at a load under a policy.
pub fn run(scenario: &Scenario, load: Load, rule: &Rule, seed: u64, requests: usize) -> Outcome {
    let plan = Plan::draw(scenario, load, requests, seed);
    let mut fleet = Fleet::new(scenario, load, rule, seed, &plan);
    fleet.begin(load);
    while fleet.outcome.records.len() < requests {
        let Some((at, what)) = fleet.agenda.pop() else { break };
        fleet.happen(at, what);
    }
    fleet.outcome
}

/// The state of a run.
struct Fleet<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    /// Whether a client sends its next request when its last one is done.
    closed: bool,
    now: Nanos,
    agenda: Agenda<What>,
    members: Vec<Member>,
    instances: Vec<Instance>,
    /// Seconds from one poll to the next, 0 for no polls.
    interval: f64,
    /// When polls come.
    polls: Vec<fastrand::Rng>,
    /// The requests that were sent, by their number.
    flights: Vec<Flight>,
    /// Kept for their capacity.
    events: Vec<Event>,
    coming: Vec<(u64, u32)>,
    outcome: Outcome,
}

impl<'a> Fleet<'a> {
    fn new(scenario: &'a Scenario, load: Load, rule: &Rule, seed: u64, plan: &'a Plan) -> Self {
        let speeds: Vec<_> = scenario.each_node().map(NodeGroup::true_speed).collect();
        let context = Context { speeds: &speeds, workers: scenario.proxy.workers };
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
            interval: rule.interval(scenario.proxy.interval),
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
            self.expect_direct(node);
        }
        self.begin_polls();
        self.begin_blows();
        if let Some(every) = self.instances.iter().filter_map(Instance::listens_every).min() {
            self.agenda.push(every, What::Listen { every });
        }
        self.plan.asked[..self.plan.warm].iter().for_each(|asked| self.agenda.push(asked.at, What::Request));
        match load {
            Load::Concurrency(clients) => {
                let at_once = clients.min(self.plan.asked.len() - self.plan.warm);
                (0..at_once).for_each(|_| self.agenda.push(self.plan.begins, What::Request));
            }
            Load::Rate(_) => self.expect_arrival(self.plan.warm),
        }
    }

    fn happen(&mut self, at: Nanos, what: What) {
        self.now = at;
        match what {
            What::Node(node) => self.settle(node),
            What::Direct(node) => self.take_direct(node),
            What::Request => self.send(),
            What::Poll { instance, node } => self.poll(instance, node),
            What::Page { instance, node, page } => self.instances[instance].polled(at, node, page),
            What::Listen { every } => self.listen(every),
            What::Blow(event) => self.blow(event),
            What::Over(event) => self.over(event),
        }
    }

    /// Brings a node up to now, and hears what happened there.
    fn settle(&mut self, node: usize) {
        let mut events = std::mem::take(&mut self.events);
        self.members[node].advance(self.now, &mut events);
        for event in events.drain(..) {
            match event.kind {
                EventKind::FirstToken => self.first_token(event.id as usize),
                EventKind::Token => {}
                EventKind::Done => self.done(event.id as usize),
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

    fn expect_direct(&mut self, node: usize) {
        if let Some(gap) = self.members[node].direct_gap() {
            self.agenda.push(self.now + gap, What::Direct(node));
        }
    }

    fn take_direct(&mut self, node: usize) {
        self.settle(node);
        self.members[node].submit_direct(self.now);
        self.schedule(node);
        self.expect_direct(node);
    }

    fn expect_arrival(&mut self, number: usize) {
        if let Some(asked) = self.plan.asked.get(number) {
            self.agenda.push(asked.at, What::Request);
        }
    }
}

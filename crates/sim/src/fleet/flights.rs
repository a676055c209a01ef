//! Requests on their way: from their clients by nginx to nodes, and their answers back.

use super::record::Record;
use super::stream;
use super::{Fleet, What};
use crate::node::Nanos;
use crate::policy::{Ending, Seen, Try};

/// A request on its way.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    sent: Nanos,
    /// The last try; None before the first.
    current: Option<Try>,
    /// The peers where it could not connect.
    tried: Vec<usize>,
    /// Tokens of which nginx was told.
    told: u32,
    ended: bool,
}

impl Fleet<'_> {
    /// The next request of the plan comes to its nginx.
    pub(super) fn send(&mut self) {
        let number = self.flights.len();
        if number == self.plan.asked.len() {
            return;
        }
        if !self.closed && number >= self.plan.warm {
            self.expect_arrival(number + 1);
        }
        let flight = Flight { sent: self.now, current: None, tried: Vec::new(), told: 0, ended: false };
        self.flights.push(flight);
        if !self.dispatch(number) {
            self.record(number, false);
        }
    }

    /// nginx sends a request to a node, or to the next one where it finds no connection; false if none takes it.
    fn dispatch(&mut self, number: usize) -> bool {
        let asked = &self.plan.asked[number];
        let seen = Seen { number: number as u64, body: asked.body, worker: asked.worker };
        loop {
            let flight = &mut self.flights[number];
            let picked = self.instances[asked.instance].pick(self.now, &seen, &flight.tried);
            let Some(peer) = picked else { return false };
            let current = Try { seen, peer, begun: self.now, first_byte: None };
            flight.current = Some(current);
            if !self.members[peer].listens() {
                flight.tried.push(peer);
                self.instances[asked.instance].end(self.now, &current, Ending::Failed, true);
                continue;
            }
            self.settle(peer);
            let taken = self.members[peer].submit(self.now, number, asked);
            if !taken {
                // The engine says that the request is wrong (400), which is no fault of the peer.
                self.instances[asked.instance].end(self.now, &current, Ending::Completed, false);
            }
            self.schedule(peer);
            return taken;
        }
    }

    /// The first token of an answer is out.
    pub(super) fn first_token(&mut self, number: usize) {
        if self.plan.asked[number].streaming {
            self.tell(number, 1);
        }
    }

    /// The last token of an answer is out.
    pub(super) fn done(&mut self, number: usize) {
        let asked = &self.plan.asked[number];
        self.tell(number, asked.length.output);
        self.flights[number].ended = true;
        if let Some(current) = self.flights[number].current {
            self.members[current.peer].remember(asked);
            self.instances[asked.instance].end(self.now, &current, Ending::Completed, false);
        }
        self.record(number, true);
    }

    /// Tells nginx of an answer of which so many tokens have come.
    fn tell(&mut self, number: usize, tokens: u32) {
        let asked = &self.plan.asked[number];
        let flight = &mut self.flights[number];
        let Some(current) = &mut flight.current else { return };
        let member = &self.members[current.peer];
        let part = if asked.streaming {
            let tokens_per_event = member.group().tokens_per_event(member.running());
            let news = tokens.min(asked.length.output).saturating_sub(flight.told);
            stream::part(asked, tokens_per_event, news)
        } else {
            stream::whole(asked)
        };
        if part.events > 0 {
            flight.told = flight.told.max(tokens);
            let first = current.first_byte.is_none();
            current.first_byte.get_or_insert(self.now);
            self.instances[asked.instance].part(self.now, current, part, first);
        }
    }

    /// Tells nginx of all answers that are coming.
    pub(super) fn listen(&mut self, every: Nanos) {
        for node in 0..self.members.len() {
            self.settle(node);
            if !self.members[node].answers() {
                continue;
            }
            let mut coming = std::mem::take(&mut self.coming);
            coming.extend(self.members[node].coming());
            for (id, tokens) in coming.drain(..) {
                if self.plan.asked[id as usize].streaming {
                    self.tell(id as usize, tokens);
                }
            }
            self.coming = coming;
        }
        self.agenda.push(self.now + every, What::Listen { every });
    }

    /// All answers from a node break off.
    pub(super) fn break_off(&mut self, node: usize) {
        for number in 0..self.flights.len() {
            let flight = &mut self.flights[number];
            let Some(current) = flight.current.filter(|current| current.peer == node && !flight.ended) else {
                continue;
            };
            // A POST that was sent is not sent again. What breaks off within the body is no failure of the peer to
            // nginx: ngx_http_upstream_finalize_request frees it as after an answer that came whole.
            let counts = current.first_byte.is_none();
            self.instances[self.plan.asked[number].instance].end(self.now, &current, Ending::Failed, counts);
            self.record(number, false);
        }
    }

    /// A request has ended for its client.
    fn record(&mut self, number: usize, whole: bool) {
        let asked = &self.plan.asked[number];
        let flight = &mut self.flights[number];
        flight.ended = true;
        let Some(number) = number.checked_sub(self.plan.warm) else { return };
        self.outcome.add(Record::of(asked, number, flight.sent, flight.current.as_ref(), self.now, whole));
        if self.closed {
            self.agenda.push(self.now + asked.think, What::Request);
        }
    }
}

//! What befalls nodes.

use super::{Fleet, SECOND, What};
use crate::node::Nanos;
use crate::scenario::Blow;

impl Fleet<'_> {
    /// Puts down the scenario's events.
    pub(super) fn begin_blows(&mut self) {
        for (index, event) in self.scenario.events.iter().enumerate() {
            self.agenda.push(self.plan.begins + (event.at * SECOND) as Nanos, What::Blow(index));
        }
    }

    /// An event begins.
    pub(super) fn blow(&mut self, index: usize) {
        let event = self.scenario.events[index];
        self.settle(event.node);
        let member = &mut self.members[event.node];
        match event.kind {
            Blow::Slow => member.slow(event.factor),
            Blow::Hang => member.hang(self.now),
            Blow::Die => {
                member.die();
                self.break_off(event.node);
            }
        }
        if let Some(lasts) = event.lasts {
            self.agenda.push(self.now + (lasts * SECOND) as Nanos, What::Over(index));
        }
        self.schedule(event.node);
    }

    /// An event ends.
    pub(super) fn over(&mut self, index: usize) {
        let event = self.scenario.events[index];
        self.settle(event.node);
        self.members[event.node].recover(self.now, event.kind);
        self.schedule(event.node);
    }
}

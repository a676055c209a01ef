//! The polls of metrics pages.

use super::{Fleet, SECOND, What};
use crate::node::Nanos;

/// A poll comes up to this part of the interval early or late.
const JITTER: f64 = 0.1;

/// A poll is given up after so many seconds.
const TIMEOUT: f64 = 1.0;

impl Fleet<'_> {
    /// Each instance begins to poll each node at a random time of the first interval.
    pub(super) fn begin_polls(&mut self) {
        for node in 0..self.members.len() {
            for instance in 0..self.instances.len() {
                self.poll_after(instance, node, 0.0, self.interval);
            }
        }
    }

    /// The next poll comes in a random time from `least` to `most` seconds.
    fn poll_after(&mut self, instance: usize, node: usize, least: f64, most: f64) {
        if most > 0.0 {
            let wait = least + (most - least) * self.polls[instance].f64();
            self.agenda.push(self.now + (wait * SECOND) as Nanos, What::Poll { instance, node });
        }
    }

    /// Asks a node for its page.
    pub(super) fn poll(&mut self, instance: usize, node: usize) {
        self.settle(node);
        let proxy = &self.scenario.proxy;
        let frozen = proxy.frozen.is_some_and(|at| self.now >= self.plan.begins + (at * SECOND) as Nanos);
        let member = &mut self.members[node];
        let page = member.answers().then(|| member.page(frozen));
        let delay = if page.is_some() || !member.listens() { proxy.delay } else { TIMEOUT };
        self.agenda.push(self.now + (delay * SECOND) as Nanos, What::Page { instance, node, page });
        self.poll_after(instance, node, self.interval * (1.0 - JITTER), self.interval * (1.0 + JITTER));
    }
}

//! A peer as an nginx instance keeps it in its list.

use tblb_core::picker::Numbers;

use crate::node::Nanos;

/// nginx's clock of peers ticks in seconds.
const SECOND: Nanos = 1_000_000_000;

/// `max_fails` of a server that names none.
const MAX_FAILS: u32 = 1;

/// `fail_timeout` of a server that names none, in seconds.
const FAIL_TIMEOUT: u64 = 10;

/// One server of the upstream. The steps are those of nginx's round robin, on which all its methods rest.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Connections that this instance has there.
    pub conns: u64,
    /// The `weight` parameter.
    pub weight: i64,
    /// The weight after failures.
    pub effective_weight: i64,
    /// The counter of smooth weighted round robin.
    pub current_weight: i64,
    fails: u32,
    accessed: u64,
    checked: u64,
}

impl Peer {
    /// A server of this weight.
    pub fn new(weight: i64) -> Self {
        Self {
            conns: 0,
            weight,
            effective_weight: weight,
            current_weight: 0,
            fails: 0,
            accessed: 0,
            checked: 0,
        }
    }

    /// What the picker takes of it.
    pub fn numbers(&self) -> Numbers {
        let Peer { conns, weight, effective_weight, current_weight, .. } = *self;
        Numbers { conns, weight, effective_weight, current_weight }
    }

    /// Whether it may be picked: it has not failed of late.
    pub fn available(&self, now: Nanos) -> bool {
        self.fails < MAX_FAILS || (now / SECOND).saturating_sub(self.checked) > FAIL_TIMEOUT
    }

    /// How often `fail_timeout` has passed since nginx last looked whether it is well, which it does as it sends requests.
    pub fn idle_timeouts(&self, now: Nanos) -> u64 {
        (now / SECOND).saturating_sub(self.checked) / (FAIL_TIMEOUT + 1)
    }

    /// A request goes there.
    pub fn take(&mut self, now: Nanos) {
        self.conns += 1;
        if (now / SECOND).saturating_sub(self.checked) > FAIL_TIMEOUT {
            self.checked = now / SECOND;
        }
    }

    /// A request has ended there.
    pub fn free(&mut self, now: Nanos, failed: bool) {
        self.conns = self.conns.saturating_sub(1);
        if failed {
            self.fails += 1;
            self.accessed = now / SECOND;
            self.checked = now / SECOND;
            self.effective_weight = (self.effective_weight - self.weight / i64::from(MAX_FAILS)).max(0);
        } else if self.accessed < self.checked {
            self.fails = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_fails_is_left_alone_for_ten_seconds_and_tried_again() {
        let mut peer = Peer::new(1);
        peer.take(5 * SECOND);
        peer.free(5 * SECOND, true);
        assert_eq!((peer.conns, peer.effective_weight), (0, 0));
        assert!(!peer.available(15 * SECOND));
        assert!(peer.available(16 * SECOND));
        peer.take(16 * SECOND);
        assert!(!peer.available(17 * SECOND), "one request tries it");
        peer.free(18 * SECOND, false);
        assert!(peer.available(18 * SECOND));
    }
}

//! What will happen, in order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::node::Nanos;

/// Things to come. Those of the same time come in the order in which they were put down, so that a run does not depend
/// on the heap.
#[derive(Debug)]
pub struct Agenda<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Nanos,
    order: u64,
    what: T,
}

impl<T> Agenda<T> {
    /// Nothing to come.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }

    /// Puts down that `what` happens at `at`.
    pub fn push(&mut self, at: Nanos, what: T) {
        self.heap.push(Reverse(Entry { at, order: self.next, what }));
        self.next += 1;
    }

    /// What comes next, and when.
    pub fn pop(&mut self) -> Option<(Nanos, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_order_of_time_and_then_as_they_were_put_down() {
        let mut agenda = Agenda::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            agenda.push(at, what);
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!(order, [(1, 'a'), (1, 'b'), (5, 'c'), (5, 'd')]);
    }
}

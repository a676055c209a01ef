//! The model against the curve it was fitted to: nginx's least_conn in front of a 1-GPU and a 4-GPU node, closed loop.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]
use tblb_sim::node::{Event, EventKind, NANOS_PER_MS, Nanos, Node, NodeSpec, Request};
use tblb_sim::workload::{Lengths, Workload};

/// Requests in a run, about as many as the field test sent: the opening burst weighs as much as it did there.
const REQUESTS: usize = 1000;

/// Clients that each send their next request when the last one is done, over nodes that least_conn chooses.
struct ClosedLoop {
    nodes: Vec<Node>,
    connections: Vec<usize>,
    workload: Workload,
    /// Where and when each request was sent; its index is its id.
    sent: Vec<(usize, Nanos)>,
}

impl ClosedLoop {
    fn new(names: &[&str], seed: u64) -> Self {
        let node = |(at, name): (usize, &&str)| {
            Node::new(NodeSpec::named(name).expect("a preset"), seed * 100 + at as u64)
        };
        Self {
            nodes: names.iter().enumerate().map(node).collect(),
            connections: vec![0; names.len()],
            workload: Workload::new(Lengths::SHAREGPT, seed),
            sent: Vec::new(),
        }
    }

    fn send(&mut self, now: Nanos) {
        if self.sent.len() == REQUESTS {
            return;
        }
        let length = self.workload.next().expect("it is endless");
        // Ties rotate.
        let start = self.sent.last().map_or(0, |last| last.0 + 1);
        let order = (0..self.nodes.len()).map(|step| (start + step) % self.nodes.len());
        let chosen = order.min_by_key(|&at| self.connections[at]).expect("there are nodes");
        let request = Request { id: self.sent.len() as u64, prompt: length.input, output: length.output };
        self.nodes[chosen].submit(now, request).expect("it fits");
        self.connections[chosen] += 1;
        self.sent.push((chosen, now));
    }

    /// The mean TTFT in ms at this concurrency.
    fn mean_ttft(mut self, concurrency: usize) -> f64 {
        (0..concurrency).for_each(|_| self.send(0));
        let (mut total, mut out): (f64, Vec<Event>) = (0.0, Vec::new());
        while let Some(now) = self.nodes.iter().filter_map(Node::next_event_at).min() {
            self.nodes.iter_mut().for_each(|node| node.advance(now, &mut out));
            for event in std::mem::take(&mut out) {
                let (at, sent) = self.sent[event.id as usize];
                if event.kind == EventKind::FirstToken {
                    total += (event.at - sent) as f64 / NANOS_PER_MS;
                } else {
                    self.connections[at] -= 1;
                    self.send(now);
                }
            }
        }
        total / REQUESTS as f64
    }
}

#[test]
fn least_conn_over_two_unequal_nodes_is_as_slow_as_in_the_field() {
    // Concurrency, mean TTFT in ms, and how far off a run of the model may be: the fit is looser where nodes fill up.
    for (concurrency, field, tolerance) in
        [(10, 44.0, 0.05), (30, 54.0, 0.05), (50, 66.0, 0.05), (100, 111.0, 0.1), (200, 256.0, 0.2)]
    {
        let seeds = 5;
        let mean = (0..seeds)
            .map(|seed| ClosedLoop::new(&["1gpu", "4gpu-tp"], seed).mean_ttft(concurrency))
            .sum::<f64>()
            / seeds as f64;
        assert!((mean / field - 1.0).abs() < tolerance, "{mean:.0} ms at {concurrency}, not {field}");
    }
}

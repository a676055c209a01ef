//! Random fleets: pools as they might be, fixed by a seed.

use super::{Arrivals, Load, NodeGroup, Proxy, Requests, Scenario};
use crate::node::NODE_TYPES;
use crate::random::{Purpose, derive};

/// What the nodes of a random fleet are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// All alike.
    Identical,
    /// All alike, and some have requests that come directly.
    Background,
    /// One node type, 0.5 to 2 times as fast; every third fleet has background too.
    Mild,
    /// Any node types, 0.3 to 3 times as fast, some with background.
    Wild,
}

impl Class {
    /// All of them, in the order in which seeds take turns.
    pub const ALL: [(Class, &str); 4] = [
        (Class::Identical, "identical"),
        (Class::Background, "identical with background"),
        (Class::Mild, "mild mix"),
        (Class::Wild, "wild mix"),
    ];

    /// The class of the fleet of this seed: seeds take turns.
    pub fn of(seed: u64) -> Self {
        Self::ALL[(seed % 4) as usize].0
    }
}

/// Requests in a run for each client: enough that the opening burst does not weigh much.
const REQUESTS_PER_CLIENT: usize = 12;

/// Requests in a run at least.
const LEAST_REQUESTS: usize = 1000;

/// The fleet of this seed, and its load, a closed loop: 2 to 32 nodes (evenly in the logarithm), 10 to 100 clients a
/// node (likewise), ShareGPT lengths.
pub fn random_fleet(seed: u64) -> (Scenario, Load) {
    let mut rng = fastrand::Rng::with_seed(derive(seed, Purpose::Fleet, 0));
    let count = logarithmic(&mut rng, 2.0, 33.0) as usize;
    let each = logarithmic(&mut rng, 10.0, 100.0);
    let class = Class::of(seed);
    let nodes = nodes(&mut rng, class, count);
    let clients = (each * count as f64) as usize;
    let name = Class::ALL.iter().find(|(known, _)| *known == class).map_or("", |(_, name)| name);
    let scenario = Scenario {
        name: format!("fleet-{seed}"),
        about: format!("a random fleet, {name}"),
        requests: (REQUESTS_PER_CLIENT * clients).max(LEAST_REQUESTS),
        warmup: super::warmup(),
        concurrency: vec![clients],
        rate: Vec::new(),
        think: 0.0,
        policies: Vec::new(),
        arrivals: Arrivals::default(),
        workload: Requests::default(),
        nodes,
        proxy: Proxy::default(),
        events: Vec::new(),
    };
    (scenario, Load::Concurrency(clients))
}

fn nodes(rng: &mut fastrand::Rng, class: Class, count: usize) -> Vec<NodeGroup> {
    let any_type = |rng: &mut fastrand::Rng| NODE_TYPES[rng.usize(0..NODE_TYPES.len())].name;
    let one_type = any_type(rng);
    let has_background = match class {
        Class::Identical => false,
        Class::Background | Class::Wild => true,
        Class::Mild => rng.u32(0..3) == 0,
    };
    let mut nodes: Vec<_> = (0..count)
        .map(|_| {
            let node_type = if class == Class::Wild { any_type(rng) } else { one_type };
            let speed = match class {
                Class::Identical | Class::Background => 1.0,
                Class::Mild => logarithmic(rng, 0.5, 2.0),
                Class::Wild => logarithmic(rng, 0.3, 3.0),
            };
            NodeGroup { speed, ..NodeGroup::new(node_type, 1) }
        })
        .collect();
    if has_background {
        // As many nodes, with about as much, as in the published pool.
        let some = ((0.4 * count as f64).round() as usize).max(1);
        rng.shuffle(&mut nodes);
        nodes.iter_mut().take(some).for_each(|node| node.background = rng.usize(25..=75));
    }
    nodes
}

/// A number that is even in the logarithm.
fn logarithmic(rng: &mut fastrand::Rng, from: f64, to: f64) -> f64 {
    from * (to / from).powf(rng.f64())
}

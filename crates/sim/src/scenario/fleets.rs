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
    /// One node type, 0.7 to 1.4 times as fast; every third fleet has background too.
    Mild,
    /// Any node types, 0.4 to 2.5 times as fast, some with background.
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
const REQUESTS_PER_CLIENT: usize = 20;

/// Requests in a run at least.
const LEAST_REQUESTS: usize = 1000;

/// The fleet of this seed, and its load, a closed loop: 2 to 16 nodes (evenly in the logarithm), 5 to 60 clients for a
/// node of mean speed (likewise), ShareGPT lengths.
pub fn random_fleet(seed: u64) -> (Scenario, Load) {
    let mut rng = fastrand::Rng::with_seed(derive(seed, Purpose::Fleet, 0));
    let count = logarithmic(&mut rng, 2.0, 17.0) as usize;
    let each = logarithmic(&mut rng, 5.0, 60.0);
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
                Class::Mild => logarithmic(rng, 0.7, 1.4),
                Class::Wild => logarithmic(rng, 0.4, 2.5),
            };
            NodeGroup { speed, ..NodeGroup::new(node_type, 1) }
        })
        .collect();
    if has_background {
        // From one node to half of them, each with as much as keeps such a node of the published pool busy.
        let some = rng.usize(1..=count / 2);
        rng.shuffle(&mut nodes);
        nodes.iter_mut().take(some).for_each(|node| node.background = rng.usize(10..=50));
    }
    nodes
}

/// A number that is even in the logarithm.
fn logarithmic(rng: &mut fastrand::Rng, from: f64, to: f64) -> f64 {
    from * (to / from).powf(rng.f64())
}

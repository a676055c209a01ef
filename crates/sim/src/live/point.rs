//! A pool at a number of clients, as nginx and the simulator both run it.

use super::Times;
use crate::demo::WORKERS;
use crate::fleet;
use crate::policy::Rule;
use crate::scenario::{Load, NodeGroup, Proxy, Requests, Scenario};
use crate::summary::Summary;

/// Requests by which it is estimated how many come in a second, at least.
const SAMPLE: usize = 1000;

/// Seconds between an answer's last token and the next request of its client at an engine: mock engines wake up to 2 ms
/// late, and the rest is the way. So much later than the model says came the first tokens of idle engines. It decides with
/// which step of the engine a request begins, so it makes a few per cent of TTFT.
const TURNAROUND: f64 = 0.0016;

/// A pool at a number of clients in a closed loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The pool.
    pub pool: Scenario,
    /// The clients.
    pub clients: usize,
    /// Requests that are sent first and not measured.
    pub warmup: usize,
    /// Requests that are measured.
    pub requests: usize,
}

impl Point {
    /// With as many requests as warm up and are measured in so many seconds of the engines' time, if the simulator is
    /// right on how many come in a second under `rule`. The engines run `speed` times as fast as the model.
    ///
    /// # Errors
    /// The pool has something that mock engines behind nginx do not play.
    pub fn lasting(
        pool: &Scenario,
        clients: usize,
        rule: &Rule,
        (warmup, measured): (f64, f64),
        speed: f64,
    ) -> Result<Self, String> {
        playable(pool)?;
        let mut pool = pool.clone();
        pool.proxy.workers = WORKERS;
        pool.think = TURNAROUND * speed;
        // What nginx learns before is what it learns in the warm-up here.
        pool.warmup = 0;
        let load = Load::Concurrency(clients);
        let sample = fleet::run(&pool, load, rule, 1, SAMPLE.max(4 * clients));
        let e2e = Summary::of(sample.records.iter().map(|record| record.e2e));
        // Little's law.
        let per_second = clients as f64 / e2e.map_or(1.0, |ms| ms.mean / 1e3);
        let requests = |seconds: f64| (per_second * seconds).ceil() as usize;
        Ok(Self { pool, clients, warmup: requests(warmup), requests: requests(measured).max(1) })
    }

    /// What the simulator makes of it: the times of the requests that are measured.
    pub fn simulate(&self, rule: &Rule, seed: u64) -> Vec<Times> {
        let all = self.warmup + self.requests;
        let outcome = fleet::run(&self.pool, Load::Concurrency(self.clients), rule, seed, all);
        let measured = outcome.records.iter().filter(|record| record.number >= self.warmup);
        measured.map(|record| Times::simulated(record, self.warmup)).collect()
    }
}

/// Whether mock engines, the load client and one nginx can play all that the scenario says.
fn playable(pool: &Scenario) -> Result<(), String> {
    let plain = |group: &NodeGroup| {
        let (speed, background) = (group.speed, group.background);
        *group == NodeGroup { speed, background, ..NodeGroup::new(&group.node_type, group.count) }
    };
    let proxy = Proxy { interval: pool.proxy.interval, ..Proxy::default() };
    let same = pool.events.is_empty()
        && pool.think == 0.0
        && pool.workload == Requests::default()
        && pool.proxy == proxy
        && pool.nodes.iter().all(plain);
    let why =
        "only nodes with a speed and a constant background, and ShareGPT's requests, can be played live";
    if same { Ok(()) } else { Err(format!("{}: {why}", pool.name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(pool: &str) -> Result<Point, String> {
        let rule = Rule::parse("least_conn").expect("a word");
        Point::lasting(&Scenario::named(pool).expect("a preset"), 40, &rule, (10.0, 60.0), 1.0)
    }

    #[test]
    fn it_has_as_many_requests_as_the_pool_serves_in_the_time() {
        let point = point("homogeneous").expect("it can be played");
        // 40 clients whose answers take about 5 s each.
        assert!((60..110).contains(&point.warmup), "{}", point.warmup);
        assert!((380..620).contains(&point.requests), "{}", point.requests);
    }

    #[test]
    fn the_simulator_measures_what_comes_after_the_warm_up() {
        let point = Point { warmup: 30, requests: 100, ..point("hetero").expect("it can be played") };
        let mut times = point.simulate(&Rule::parse("least_conn").expect("a word"), 1);
        times.sort_by_key(|times| times.number);
        assert!(times.iter().map(|times| times.number).eq(0..100));
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        for pool in ["slowdown", "images", "speculative", "instances-2", "workers-16", "random-background"] {
            let error = point(pool).expect_err(pool);
            assert!(error.starts_with(pool) && error.contains("can be played live"), "{error}");
        }
        assert!(point("no-metrics").is_ok(), "nginx need not poll");
    }
}

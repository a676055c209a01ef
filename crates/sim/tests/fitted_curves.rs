//! The model against the curves it was fitted to: nginx's least_conn in front of both published pools, closed loop.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]
use tblb_sim::fleet::{self, Slo};
use tblb_sim::policy::Rule;
use tblb_sim::scenario::{Load, Scenario};

/// The mean TTFT in ms over five seeds.
fn mean_ttft(scenario: &Scenario, concurrency: usize) -> f64 {
    let least_conn = Rule::parse("least_conn").expect("a policy");
    let slo = Slo { ttft: 500.0, tpot: 50.0 };
    let seeds = 5;
    let of_seed = |seed| {
        let load = Load::Concurrency(concurrency);
        let outcome = fleet::run(scenario, load, &least_conn, seed, scenario.requests);
        outcome.measures(&slo).ttft_ms.expect("requests").mean
    };
    (1..=seeds).map(of_seed).sum::<f64>() / seeds as f64
}

/// Concurrency, mean TTFT in ms as it was published, and how far off the model may be.
fn check(name: &str, published: &[(usize, f64, f64)]) {
    let scenario = Scenario::named(name).expect("a preset");
    for &(concurrency, field, tolerance) in published {
        let mean = mean_ttft(&scenario, concurrency);
        assert!((mean / field - 1.0).abs() < tolerance, "{name}: {mean:.0} ms at {concurrency}, not {field}");
    }
}

#[test]
fn least_conn_over_two_unequal_nodes_is_as_slow_as_in_the_field() {
    // The fit is looser where nodes fill up; at 500 clients the model queues less than the field did, 1.4 s to 2.3 s.
    check(
        "hetero",
        &[
            (10, 44.0, 0.05),
            (30, 49.0, 0.1),
            (50, 60.0, 0.1),
            (100, 105.0, 0.1),
            (200, 268.0, 0.15),
            (300, 468.0, 0.15),
            (400, 690.0, 0.2),
            (450, 1090.0, 0.2),
        ],
    );
}

#[test]
fn least_conn_over_five_equal_nodes_with_background_is_as_slow_as_in_the_field() {
    check(
        "homogeneous",
        &[(40, 77.0, 0.1), (80, 86.0, 0.1), (120, 97.0, 0.1), (160, 104.0, 0.1), (200, 117.0, 0.1)],
    );
}

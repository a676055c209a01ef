//! Targets of equal nodes and of the stress scenarios.

use super::{Target, at_points, everywhere};
use crate::compare::Estimate;
use crate::metric::{E2E_MEAN, Metric, TTFT_LONGEST, TTFT_MEAN, TTFT_P99};
use crate::results::Results;

/// The stress scenarios that have targets. The others are reported.
const STRESSES: [&str; 11] = [
    "images",
    "nonstreaming-30",
    "nonstreaming-70",
    "no-metrics",
    "frozen-metrics",
    "speculative",
    "cold-restart",
    "slowdown",
    "flash-crowd",
    "instances-2",
    "instances-4",
];

/// The targets of equal nodes.
pub fn equal(results: &Results) -> Vec<Target> {
    let check = |asked, metric, holds: fn(Estimate) -> bool| {
        at_scenarios(results, asked, metric, |name| name.starts_with("equal-"), holds)
    };
    vec![
        check("mean TTFT not higher beyond its interval", TTFT_MEAN, |difference| difference.low() <= 0.0),
        check("mean E2E within 0.5 %", E2E_MEAN, |difference| difference.mean <= 0.5),
        check("P99 of TTFT at most +12 %", TTFT_P99, |difference| difference.mean <= 12.0),
    ]
}

/// The targets of the stress scenarios.
pub fn stress(results: &Results) -> Vec<Target> {
    let check = |name: &str, metric: Metric, most: f64| {
        let asked = format!("{name} at most +{most} %");
        at_scenarios(
            results,
            &asked,
            metric,
            |name| STRESSES.contains(&name),
            move |difference| difference.mean <= most,
        )
    };
    vec![
        check("mean TTFT", TTFT_MEAN, 3.0),
        check("mean E2E", E2E_MEAN, 3.0),
        check("P99 of TTFT", TTFT_P99, 15.0),
        check("mean TTFT of the longest tenth of prompts", TTFT_LONGEST, 10.0),
    ]
}

fn at_scenarios(
    results: &Results,
    asked: &str,
    metric: Metric,
    chosen: impl Fn(&str) -> bool,
    holds: impl Fn(Estimate) -> bool,
) -> Target {
    let (subject, base) = (results.plan.subject(), results.plan.base());
    let points = results.stress.iter().filter(|point| chosen(&point.scenario));
    everywhere(asked, &at_points(points, |point| point.per_cent(metric, subject, base)), holds)
}

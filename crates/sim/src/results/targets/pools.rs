//! Targets of both pools at every published concurrency.

use super::{Placed, Target, at_points, everywhere, single};
use crate::metric::{E2E_MEAN, Metric, TPOT_MEAN, TPOT_MEDIAN, TTFT_MEAN, TTFT_P99};
use crate::results::{Point, Results};

/// Where mean TTFT has to be lower by so many per cent.
const FEW: [(&str, f64, f64); 2] = [("hetero", 10.0, -11.0), ("homogeneous", 40.0, -8.0)];

/// The targets.
pub fn targets(results: &Results) -> Vec<Target> {
    let (subject, base) = (results.plan.subject(), results.plan.base());
    let points = || results.pools.iter().flat_map(|pool| &pool.closed);
    let of = |metric: Metric| at_points(points(), |point| point.per_cent(metric, subject, base));
    let mut targets = vec![everywhere(
        "mean TTFT at least −3 %, the interval wholly below −2 %",
        &of(TTFT_MEAN),
        |difference| difference.mean <= -3.0 && difference.high() < -2.0,
    )];
    for (name, clients, most) in FEW {
        let pool = results.pool(name);
        let point = pool.and_then(|pool| pool.closed.iter().find(|point| point.load_value() == clients));
        let difference = point.and_then(|point| point.per_cent(TTFT_MEAN, subject, base));
        let asked = format!("{name} {clients}: mean TTFT at least −{} %", -most);
        targets.push(single(&asked, difference, |difference| difference.mean <= most));
    }
    targets
        .push(everywhere("mean E2E nowhere over +1 %", &of(E2E_MEAN), |difference| difference.mean <= 1.0));
    for (asked, metric) in [
        ("P99 of TTFT nowhere higher beyond its interval", TTFT_P99),
        ("mean TPOT nowhere higher beyond its interval", TPOT_MEAN),
    ] {
        targets.push(everywhere(asked, &of(metric), |difference| difference.low() <= 0.0));
    }
    targets.push(everywhere("median TPOT reported", &of(TPOT_MEDIAN), |_| true));
    targets.push(never_worse_than_scores(results, &points().collect::<Vec<_>>()));
    targets
}

/// Against each of the scores, at each point.
fn never_worse_than_scores(results: &Results, points: &[&Point]) -> Target {
    let subject = results.plan.subject();
    let scores = results.plan.compared().iter().filter(|policy| is_score(policy));
    let against = |score: &String| -> Vec<Placed> {
        let difference = |point: &Point| point.per_cent(TTFT_MEAN, subject, score);
        let places = at_points(points.iter().copied(), difference);
        places
            .into_iter()
            .map(|(name, difference)| (format!("{name} against `{score}`"), difference))
            .collect()
    };
    let places: Vec<Placed> = scores.flat_map(against).collect();
    everywhere(
        "mean TTFT nowhere higher, beyond the interval, than that of any of the sixteen scores",
        &places,
        |difference| difference.low() <= 0.0,
    )
}

/// Whether a policy is one of the published scores.
fn is_score(policy: &str) -> bool {
    policy.starts_with("tblb s1") || policy.starts_with("tblb s2")
}

//! Targets of the random fleets.

use super::{Target, everywhere};
use crate::metric::TTFT_MEAN;
use crate::results::fleets::{INFORMED, differences, median};
use crate::results::goodput::{self, SHARES};
use crate::results::{Results, markdown};
use crate::scenario::Class;

/// By how much the mean TTFT of the median fleet of each class has to differ, in per cent.
const MEDIANS: [f64; 4] = [-3.0, -8.0, -15.0, -18.0];

/// The targets.
pub fn targets(results: &Results) -> Vec<Target> {
    let (subject, base) = (results.plan.subject(), results.plan.base());
    let of = |class, policy: &str, base: &str| differences(results, class, TTFT_MEAN, policy, base);
    let mut targets: Vec<Target> = Class::ALL
        .into_iter()
        .zip(MEDIANS)
        .map(|((class, name), most)| {
            let asked = format!("median fleet, {name}: mean TTFT at least −{} %", -most);
            at_most(asked, median(&of(Some(class), subject, base)), most)
        })
        .collect();
    let all = of(None, subject, base);
    let places: Vec<_> =
        all.iter().map(|(point, difference)| (point.scenario.clone(), Some(*difference))).collect();
    targets.push(everywhere("no fleet over +5 % beyond its interval", &places, |difference| {
        difference.low() <= 5.0
    }));
    let asked = format!("median fleet against `{INFORMED}`: mean TTFT at least −8 %");
    targets.push(at_most(asked, median(&of(None, subject, INFORMED)), -8.0));
    targets.push(best_median(results));
    targets.extend(
        results.pools.iter().flat_map(|pool| SHARES.map(|share| near_the_best(results, &pool.name, share))),
    );
    targets
}

fn at_most(asked: String, median: Option<f64>, most: f64) -> Target {
    let measured = median.map_or_else(|| markdown::UNKNOWN.to_owned(), markdown::signed);
    Target { asked, measured, met: median.map(|median| median <= most) }
}

/// Whether no other policy has a lower median.
fn best_median(results: &Results) -> Target {
    let (subject, base) = (results.plan.subject(), results.plan.base());
    let of = |policy: &str| median(&differences(results, None, TTFT_MEAN, policy, base));
    let others = results.plan.compared().iter().filter(|policy| *policy != subject);
    let best =
        others.filter_map(|policy| Some((policy, of(policy)?))).min_by(|(_, a), (_, b)| a.total_cmp(b));
    let pair = of(subject).zip(best);
    let measured = pair.map_or_else(
        || markdown::UNKNOWN.to_owned(),
        |(own, (policy, other))| {
            format!("{}; the best other: `{policy}` {}", markdown::signed(own), markdown::signed(other))
        },
    );
    Target {
        asked: "median fleet: mean TTFT lower than that of every other policy".to_owned(),
        measured,
        met: pair.map(|(own, (_, other))| own < other),
    }
}

/// Whether goodput is within 3 % of the best policy's.
fn near_the_best(results: &Results, pool: &str, share: f64) -> Target {
    let of = |policy: &str| {
        let goodput = results.pool(pool).and_then(|pool| goodput::mean(&pool.open, policy, share));
        goodput.map(|goodput| goodput.mean)
    };
    let best = results.plan.policies.iter().filter_map(|policy| Some((policy, of(policy)?)));
    let best = best.max_by(|(_, a), (_, b)| a.total_cmp(b));
    let pair = of(results.plan.subject()).zip(best);
    let measured = pair.map_or_else(
        || markdown::UNKNOWN.to_owned(),
        |(own, (policy, best))| format!("{own:.1}/s; the best: `{policy}` {best:.1}/s"),
    );
    Target {
        asked: format!(
            "goodput, {pool}, {:.0} % of the requests: within 3 % of the best policy",
            share * 100.0
        ),
        measured,
        met: pair.map(|(own, (_, best))| own >= 0.97 * best),
    }
}

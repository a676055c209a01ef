//! The page of the stress scenarios.

use super::markdown::{self, Table};
use super::{Point, Results};
use crate::metric::{ATTAINED, E2E_MEAN, Metric, TPOT_MEAN, TTFT_LONGEST, TTFT_MEAN, TTFT_P99};

/// What is compared.
const METRICS: [Metric; 5] = [TTFT_MEAN, TTFT_P99, TTFT_LONGEST, TPOT_MEAN, E2E_MEAN];

/// The page.
pub fn page(results: &Results) -> String {
    let (base, subject) = (results.plan.base(), results.plan.subject());
    let mut text = format!(
        "# Stress scenarios\n\n\
         Each over {} seeds: what fails or misleads. A number is the difference from `{base}` in per cent with half the width \
         of the 95 % interval; \"attained\" is the per cent of the requests within TTFT 500 ms and TPOT 50 ms, of `{base}` \
         first. [simulator.md](../simulator.md#scenarios-that-come-with-the-command) says where the scenarios stand.\n\n\
         ## `{subject}`\n\n",
        results.plan.seeds
    );
    text += &subject_table(results);
    text += &format!("\n## Mean TTFT of others\n\nAgainst `{base}`, %:\n\n{}", others(results));
    text
}

fn subject_table(results: &Results) -> String {
    let (base, subject) = (results.plan.base(), results.plan.subject());
    let names = METRICS.iter().map(|metric| metric.name);
    let mut table = Table::new(["scenario, load"].into_iter().chain(names).chain([ATTAINED.name]));
    for point in &results.stress {
        let cells = METRICS.iter().map(|metric| markdown::difference(point.per_cent(*metric, subject, base)));
        let attained = |policy| markdown::number(point.mean(ATTAINED, policy), 1);
        let both = format!("{} → {}", attained(base), attained(subject));
        table.row([point.name()].into_iter().chain(cells).chain([both]));
    }
    table.text()
}

fn others(results: &Results) -> String {
    let base = results.plan.base();
    let policies = &results.plan.stress_policies[1..];
    let names = policies.iter().map(|policy| markdown::code(policy));
    let mut table = Table::new(["scenario, load".to_owned()].into_iter().chain(names));
    for point in &results.stress {
        let cell = |policy: &String| markdown::difference(point.per_cent(TTFT_MEAN, policy, base));
        table.row([Point::name(point)].into_iter().chain(policies.iter().map(cell)));
    }
    table.text()
}

//! The page of all policies in both pools.

use super::markdown::{self, Table};
use super::{Point, Pool, Results};
use crate::metric::{E2E_MEAN, Metric, TPOT_MEAN, TPOT_MEDIAN, TTFT_LONGEST, TTFT_MEAN, TTFT_P99};

/// A table for each.
const METRICS: [Metric; 6] = [TTFT_MEAN, TTFT_P99, TTFT_LONGEST, TPOT_MEAN, TPOT_MEDIAN, E2E_MEAN];

/// The page.
pub fn page(results: &Results) -> String {
    let base = results.plan.base();
    let mut text = format!(
        "# All policies in both pools\n\n\
         In a closed loop, over {} seeds, in per cent against `{base}`; a column for each number of clients. An asterisk says \
         that the 95 % interval over paired seeds does not hold 0. The policies are described in \
         [simulator.md](../simulator.md#policies), the scores in [algorithms.md](../algorithms.md). Goodput is in \
         [rates.md](rates.md), random fleets in [fleets.md](fleets.md).\n",
        results.plan.seeds
    );
    for pool in &results.pools {
        text += &format!("\n## {}\n", pool.name);
        for metric in METRICS {
            text += &format!("\n{}:\n\n{}", metric.name, table(results, pool, metric));
        }
    }
    text
}

fn table(results: &Results, pool: &Pool, metric: Metric) -> String {
    let base = results.plan.base();
    let loads = pool.closed.iter().map(Point::load_text);
    let mut table = Table::new(["policy".to_owned()].into_iter().chain(loads));
    for policy in results.plan.compared() {
        let cell = |point: &Point| {
            let difference = point.per_cent(metric, policy, base);
            let sure = difference.is_some_and(|difference| difference.low() > 0.0 || difference.high() < 0.0);
            markdown::short(difference) + if sure { "\\*" } else { "" }
        };
        table.row([markdown::code(policy)].into_iter().chain(pool.closed.iter().map(cell)));
    }
    table.text()
}

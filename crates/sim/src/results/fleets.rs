//! The page of the random fleets.

use super::markdown::{self, Table};
use super::plot::{self, Axis, Line, Panel};
use super::{Point, Results};
use crate::compare::Estimate;
use crate::metric::{E2E_MEAN, Metric, TPOT_MEAN, TTFT_LONGEST, TTFT_MEAN, TTFT_P99};
use crate::scenario::Class;
use crate::summary::quantile;

/// What is compared.
const METRICS: [Metric; 5] = [TTFT_MEAN, TTFT_P99, TTFT_LONGEST, TPOT_MEAN, E2E_MEAN];

/// What knows the true speeds of nodes.
pub const INFORMED: &str = "weighted_least_conn";

/// The page.
pub fn page(results: &Results) -> String {
    let (base, subject) = (results.plan.base(), results.plan.subject());
    let mut text = format!(
        "# Random fleets\n\n\
         {} fleets, frozen by their seeds in `crates/sim/results.toml`; [simulator.md](../simulator.md#random-fleets) says \
         what is drawn. Each policy runs {} times before each fleet. A fleet's number is the mean over its runs of the \
         difference in per cent, paired by seed, and its interval that of Student's t distribution at 95 %; a class has its \
         median fleet, and the worst one with its interval.\n",
        results.fleets.len(),
        results.plan.fleet_runs,
    );
    for against in [base, INFORMED] {
        text += &format!("\n## `{subject}` against `{against}`\n\n");
        if against == base {
            text += "![fleets by class](fleets.svg)\n\n";
        }
        text += &classes(results, subject, against);
    }
    text += &format!(
        "\n## All policies against `{base}`\n\nMean TTFT, the median fleet, and the worst of all.\n\n"
    );
    text + &policies(results)
}

/// The fleets of a class, or all, and how a policy differs from another one in each of them, ascending.
pub fn differences<'a>(
    results: &'a Results,
    class: Option<Class>,
    metric: Metric,
    policy: &str,
    base: &str,
) -> Vec<(&'a Point, Estimate)> {
    let of_class = results.fleets.iter().filter(|(known, _)| class.is_none_or(|class| class == *known));
    let difference = |(_, point): &'a (Class, Point)| Some((point, point.per_cent(metric, policy, base)?));
    let mut differences: Vec<_> = of_class.filter_map(difference).collect();
    differences.sort_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean));
    differences
}

/// The difference of the median fleet.
pub fn median(differences: &[(&Point, Estimate)]) -> Option<f64> {
    let sorted: Vec<f64> = differences.iter().map(|(_, difference)| difference.mean).collect();
    (!sorted.is_empty()).then(|| quantile(&sorted, 0.5))
}

fn classes(results: &Results, policy: &str, base: &str) -> String {
    let header = ["class".to_owned(), "fleets".to_owned()];
    let metrics = METRICS.iter().flat_map(|metric| [metric.name.to_owned(), "worst".to_owned()]);
    let mut table = Table::new(header.into_iter().chain(metrics));
    let named = Class::ALL.map(|(class, name)| (Some(class), name));
    for (class, name) in named.into_iter().chain([(None, "all")]) {
        let count =
            results.fleets.iter().filter(|(known, _)| class.is_none_or(|class| class == *known)).count();
        let cells = METRICS.iter().flat_map(|metric| {
            let differences = differences(results, class, *metric, policy, base);
            let worst = differences.last().map(|(_, difference)| *difference);
            [
                median(&differences).map_or_else(|| markdown::UNKNOWN.to_owned(), markdown::signed),
                markdown::difference(worst),
            ]
        });
        table.row([name.to_owned(), count.to_string()].into_iter().chain(cells));
    }
    table.text()
}

/// A row for each policy, the least median first.
fn policies(results: &Results) -> String {
    let base = results.plan.base();
    let of_policy = |policy: &String| {
        let of = |class| differences(results, class, TTFT_MEAN, policy, base);
        let medians = Class::ALL.map(|(class, _)| median(&of(Some(class))));
        let all = of(None);
        (markdown::code(policy), median(&all), medians, all.last().map(|(_, worst)| *worst))
    };
    let mut rows: Vec<_> = results.plan.compared().iter().map(of_policy).collect();
    rows.sort_by(|(_, a, ..), (_, b, ..)| a.unwrap_or(f64::MAX).total_cmp(&b.unwrap_or(f64::MAX)));
    let mut table =
        Table::new(["policy", "all"].into_iter().chain(Class::ALL.map(|(_, name)| name)).chain(["worst"]));
    let shown = |median: Option<f64>| median.map_or_else(|| markdown::UNKNOWN.to_owned(), markdown::signed);
    for (policy, all, medians, worst) in rows {
        let cells = [policy, shown(all)].into_iter().chain(medians.map(shown));
        table.row(cells.chain([markdown::difference(worst)]));
    }
    table.text()
}

/// A plot of the fleets of each class, from the best to the worst.
pub fn plots(results: &Results) -> Result<Vec<(String, String)>, String> {
    let subject = results.plan.subject();
    let panels = [panel(results, results.plan.base()), panel(results, INFORMED)];
    let title = format!("Random fleets: mean TTFT of {subject}, each class from its best to its worst fleet");
    Ok(vec![("fleets.svg".to_owned(), plot::draw(&title, &panels)?)])
}

fn panel(results: &Results, base: &str) -> Panel {
    let line = |(colour, (class, name)): (usize, (Class, &str))| {
        let differences = differences(results, Some(class), TTFT_MEAN, results.plan.subject(), base);
        let share = |at: usize| 100.0 * at as f64 / (differences.len().max(2) - 1) as f64;
        let fleets = differences.iter().enumerate();
        let points = fleets.map(|(at, (_, difference))| (share(at), difference.mean));
        Line::new(name, colour, points.collect())
    };
    Panel {
        x: Axis::even("per cent of the fleets of a class", 0.0, 100.0, 10.0),
        y: Axis::even(&format!("mean TTFT, % against {base}"), -60.0, 20.0, 10.0),
        lines: Class::ALL.into_iter().enumerate().map(line).collect(),
        levels: vec![0.0],
    }
}

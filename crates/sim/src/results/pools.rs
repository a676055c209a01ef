//! The page of both pools in a closed loop.

use super::markdown::{self, Table};
use super::plot::{self, Axis, Line, Panel};
use super::{Point, Pool, Results};
use crate::metric::{ATTAINED, Metric, TIMES, TTFT_MEAN, TTFT_P99};

/// Policies that are plotted beside the one that is reported on: what is known of speeds, the product whose goodput is
/// highest, and the published recommendation for few clients.
pub const PLOTTED: [&str; 4] =
    ["weighted_least_conn", "learned_weight_least_conn", "lmetric", "tblb s1_enhanced waiting=0.1 cache=0.9"];

/// The page.
pub fn page(results: &Results) -> String {
    let (base, subject) = (results.plan.base(), results.plan.subject());
    let mut text = format!(
        "# Both pools in a closed loop\n\n\
         `{subject}` against nginx's `{base}`, over {} seeds, at each concurrency of the publication. The first table of a \
         pool is in ms, the second one in per cent against it with half the width of the 95 % interval; less is better. \
         \"Longest TTFT\" is the mean of the tenth of the requests with the longest prompts, \"attained\" the per cent of \
         requests within TTFT 500 ms and TPOT 50 ms. All other policies: [policies.md](policies.md).\n",
        results.plan.seeds
    );
    for pool in &results.pools {
        text +=
            &format!("\n## {}\n\n![TTFT over clients, {}](pool-{}.svg)\n\n", pool.name, pool.name, pool.name);
        text += &format!("`{base}`, ms:\n\n{}\n", absolute(&pool.closed, base));
        text += &format!("`{subject}` against it, %:\n\n{}", relative(&pool.closed, subject, base));
    }
    text
}

/// What a policy comes to, a row for each load.
pub fn absolute(points: &[Point], policy: &str) -> String {
    let mut table = Table::new(header());
    for point in points {
        // A time per token has fewer milliseconds.
        let cell = |metric: &Metric| {
            let mean = point.mean(*metric, policy);
            markdown::number(mean, usize::from(mean.is_some_and(|mean| mean.mean < 100.0)))
        };
        let attained = markdown::number(point.mean(ATTAINED, policy), 1);
        table.row([point.load_text()].into_iter().chain(TIMES.iter().map(cell)).chain([attained]));
    }
    table.text()
}

/// By how many per cent a policy differs from another one, a row for each load, and what it attains.
pub fn relative(points: &[Point], policy: &str, base: &str) -> String {
    let mut table = Table::new(header());
    for point in points {
        let cell = |metric: &Metric| markdown::difference(point.per_cent(*metric, policy, base));
        let attained = markdown::number(point.mean(ATTAINED, policy), 1);
        table.row([point.load_text()].into_iter().chain(TIMES.iter().map(cell)).chain([attained]));
    }
    table.text()
}

fn header() -> impl Iterator<Item = &'static str> {
    ["load"].into_iter().chain(TIMES.iter().map(|metric| metric.name)).chain([ATTAINED.name])
}

/// A plot of each pool: TTFT against that of the base, over the clients.
pub fn plots(results: &Results) -> Result<Vec<(String, String)>, String> {
    let plot = |pool: &Pool| {
        let panels =
            [panel(results, pool, TTFT_MEAN, "mean TTFT"), panel(results, pool, TTFT_P99, "P99 of TTFT")];
        let title = format!("{}: TTFT against {}", pool.name, results.plan.base());
        Ok((format!("pool-{}.svg", pool.name), plot::draw(&title, &panels)?))
    };
    results.pools.iter().map(plot).collect()
}

fn panel(results: &Results, pool: &Pool, metric: Metric, what: &str) -> Panel {
    let base = results.plan.base();
    let line = |(colour, policy): (usize, &str)| {
        let at = |point: &Point| Some((point.load_value(), point.per_cent(metric, policy, base)?));
        Line::through(policy, colour, pool.closed.iter().filter_map(at).collect())
    };
    let shown = plot::shown(results.plan.subject(), &PLOTTED);
    Panel {
        x: Axis::logarithmic("clients", &pool.closed.iter().map(Point::load_value).collect::<Vec<_>>()),
        y: Axis::even(&format!("{what}, % against {base}"), -30.0, 40.0, 10.0),
        lines: shown.map(line).filter(|line| !line.points.is_empty()).collect(),
        levels: vec![0.0],
    }
}

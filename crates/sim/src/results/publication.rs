//! The page that holds the model against the publication.

use super::markdown::{self, Table};
use super::{Point, Results};
use crate::metric::{Metric, TPOT_MEAN, TPOT_MEDIAN, TPOT_P99, TTFT_MEAN, TTFT_MEDIAN, TTFT_P99};

/// What the publication recommends for few clients.
const FEW: &str = "tblb s1_enhanced waiting=0.1 cache=0.9";

/// What it recommends where everything waits.
const MANY: &str = "tblb s2_enhanced waiting=0.5 cache=0.5";

/// Clients, and the mean TTFT of least_conn in ms.
type Curve<'a> = &'a [(f64, f64)];

const CURVES: [(&str, Curve<'_>); 2] = [
    (
        "hetero",
        &[
            (10.0, 44.0),
            (30.0, 49.0),
            (50.0, 60.0),
            (100.0, 105.0),
            (200.0, 268.0),
            (300.0, 468.0),
            (400.0, 690.0),
            (450.0, 1090.0),
            (500.0, 2250.0),
        ],
    ),
    ("homogeneous", &[(40.0, 77.0), (80.0, 86.0), (120.0, 97.0), (160.0, 104.0), (200.0, 117.0)]),
];

/// The columns of the publication.
const METRICS: [Metric; 6] = [TTFT_MEAN, TTFT_MEDIAN, TTFT_P99, TPOT_MEAN, TPOT_MEDIAN, TPOT_P99];

/// Clients, and the differences from least_conn in per cent, a number for each of `METRICS`.
type Gains<'a> = &'a [(f64, [f64; 6])];

const GAINS: [(&str, Gains<'_>); 2] = [
    (
        "hetero",
        &[
            (10.0, [-16.5, -28.1, -19.1, -16.9, -2.9, -4.9]),
            (20.0, [-7.0, -7.6, -9.2, -13.8, 5.0, -11.4]),
            (30.0, [-4.0, 5.5, -1.5, -11.5, 10.9, -15.9]),
            (40.0, [0.2, 15.4, 18.4, -5.5, 23.9, -13.1]),
            (50.0, [0.4, 13.4, 6.0, -2.4, 27.3, -21.3]),
        ],
    ),
    (
        "homogeneous",
        &[
            (40.0, [-9.7, -1.5, -5.1, -15.0, 1.4, -12.7]),
            (80.0, [-3.9, 4.8, 11.4, -9.9, 8.9, -18.3]),
            (120.0, [6.9, 13.3, 20.9, -2.4, 18.4, -20.5]),
            (160.0, [8.5, 14.9, 5.6, -1.7, 17.0, -20.5]),
            (200.0, [22.6, 10.9, 117.3, -1.5, 12.6, -13.3]),
        ],
    ),
];

/// What is published of `MANY` in `hetero`: from so many to so many clients, the mean difference of each of four metrics.
const SATURATED: [(&str, f64, f64, [Option<f64>; 4]); 2] = [
    ("100 to 500", 100.0, 500.0, [Some(-10.5), Some(-11.4), Some(-3.1), Some(-5.5)]),
    ("400 to 500", 400.0, 500.0, [Some(-21.0), None, None, None]),
];

/// The page.
pub fn page(results: &Results) -> String {
    let base = results.plan.base();
    let mut text = format!(
        "# The model and the publication\n\n\
         What the field test of metric-weighted scheduling published of vLLM before ShareGPT, beside what the simulator has \
         (mean of {} seeds, differences with half the width of the 95 % interval).\n\n## least_conn\n",
        results.plan.seeds
    );
    for (pool, curve) in CURVES {
        text += &format!("\nMean TTFT in {pool}, ms:\n\n{}", curve_table(results, pool, curve, base));
    }
    text += &format!(
        "\n## The published scores\n\n\
         `{FEW}` against `{base}`, in per cent; what was published stands in brackets.\n"
    );
    for (pool, gains) in GAINS {
        text += &format!("\n{pool}:\n\n{}", gains_table(results, pool, gains, base));
    }
    text += &format!(
        "\nWhere everything waits, `{MANY}` in hetero, the mean over the simulated concurrencies of a range. At 500 clients \
         the publication has −49 to −61 %.\n\n{}",
        saturated_table(results, base)
    );
    text + "\n[simulator.md](../simulator.md#the-model) says what that means.\n"
}

fn at<'a>(results: &'a Results, pool: &str, clients: f64) -> Option<&'a Point> {
    results.pool(pool)?.closed.iter().find(|point| point.load_value() == clients)
}

fn curve_table(results: &Results, pool: &str, curve: Curve<'_>, base: &str) -> String {
    let heads = curve.iter().map(|(clients, _)| clients.to_string());
    let mut table = Table::new(["clients".to_owned()].into_iter().chain(heads));
    let published = curve.iter().map(|(_, ttft)| ttft.to_string());
    table.row(["published".to_owned()].into_iter().chain(published));
    let simulated = |&(clients, _): &(f64, f64)| {
        markdown::number(at(results, pool, clients).and_then(|point| point.mean(TTFT_MEAN, base)), 0)
    };
    table.row(["model".to_owned()].into_iter().chain(curve.iter().map(simulated)));
    table.text()
}

fn gains_table(results: &Results, pool: &str, gains: Gains<'_>, base: &str) -> String {
    let mut table = Table::new(["clients"].into_iter().chain(METRICS.map(|metric| metric.name)));
    for (clients, published) in gains {
        let point = at(results, pool, *clients);
        let cell = |(metric, published): (Metric, &f64)| {
            let simulated = point.and_then(|point| point.per_cent(metric, FEW, base));
            format!("{} ({})", markdown::difference(simulated), markdown::signed(*published))
        };
        let cells = METRICS.into_iter().zip(published).map(cell);
        table.row([clients.to_string()].into_iter().chain(cells));
    }
    table.text()
}

fn saturated_table(results: &Results, base: &str) -> String {
    let metrics = [TTFT_MEAN, TTFT_P99, TPOT_MEAN, TPOT_P99];
    let mut table = Table::new(["clients"].into_iter().chain(metrics.map(|metric| metric.name)));
    let points = results.pool("hetero").map_or(&[][..], |pool| &pool.closed);
    for (range, from, to, published) in SATURATED {
        let within = || points.iter().filter(|point| (from..=to).contains(&point.load_value()));
        let cell = |(metric, published): (Metric, Option<f64>)| {
            let means: Option<Vec<f64>> = within()
                .map(|point| point.per_cent(metric, MANY, base).map(|difference| difference.mean))
                .collect();
            let means = means.filter(|means| !means.is_empty());
            let mean = means.map(|means| means.iter().sum::<f64>() / means.len() as f64);
            let text = |number: Option<f64>| number.map_or(markdown::UNKNOWN.to_owned(), markdown::signed);
            format!("{} ({})", text(mean), text(published))
        };
        table.row([range.to_owned()].into_iter().chain(metrics.into_iter().zip(published).map(cell)));
    }
    table.text()
}

//! What runs came to, as lines of JSON or as a table.

use std::io::{self, Write};

use serde::Serialize;
use tblb_sim::compare::{Estimate, paired_per_cent};
use tblb_sim::fleet::{Measures, Slo};
use tblb_sim::metric::{ATTAINED, Metric, TIMES};
use tblb_sim::scenario::Load;
use tblb_sim::study::{self, Case, Named};

use super::run::Common;
use super::{progress, table};

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    scenario: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    policy: &'a str,
    seed: u64,
    #[serde(flatten)]
    measures: &'a Measures,
}

/// Runs all cases under all policies and prints what came of them.
///
/// # Errors
/// Standard output is closed.
pub fn report(cases: &[Case<'_>], policies: &[Named], common: &Common) -> io::Result<()> {
    let measures = measure("simulate", cases, policies, &common.slo);
    let mut out = io::stdout().lock();
    for (case, of_policies) in cases.iter().zip(&measures) {
        if common.json {
            write_lines(&mut out, case, policies, of_policies)?;
        } else {
            write_table(&mut out, case, policies, of_policies)?;
        }
    }
    Ok(())
}

/// Runs all cases under all policies, with a bar that says `what` they are.
pub fn measure(what: &str, cases: &[Case<'_>], policies: &[Named], slo: &Slo) -> Vec<Vec<Vec<Measures>>> {
    let runs: usize = cases.iter().map(|case| case.seeds.len() * policies.len()).sum();
    let bar = progress::bar(what, runs, "runs");
    let measured = study::measure(cases, policies, slo, || bar.inc(1));
    bar.finish_and_clear();
    measured
}

/// Writes a line of JSON for each policy and seed of a case.
///
/// # Errors
/// The output is closed.
pub fn write_lines(
    out: &mut impl Write,
    case: &Case<'_>,
    policies: &[Named],
    of_policies: &[Vec<Measures>],
) -> io::Result<()> {
    let (concurrency, rate) = match case.load {
        Load::Concurrency(clients) => (Some(clients), None),
        Load::Rate(rate) => (None, Some(rate)),
    };
    for (policy, of_seeds) in policies.iter().zip(of_policies) {
        for (&seed, measures) in case.seeds.iter().zip(of_seeds) {
            let (scenario, policy) = (&case.scenario.name, &policy.text);
            let line = Line { scenario, concurrency, rate, policy, seed, measures };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// The first policy in ms, the others in per cent against it.
fn write_table(
    out: &mut impl Write,
    case: &Case<'_>,
    policies: &[Named],
    of_policies: &[Vec<Measures>],
) -> io::Result<()> {
    let Some((base, others)) = of_policies.split_first() else { return Ok(()) };
    let header = TIMES.iter().map(|metric| metric.name);
    let load = match case.load {
        Load::Concurrency(clients) => format!("{clients} concurrent"),
        Load::Rate(rate) => format!("{rate} requests/s"),
    };
    let title = format!("{}, {load}", case.scenario.name);
    let mut table = table::new(std::iter::once(title.as_str()).chain(header).chain(["attained"]));
    let values = |of_seeds: &[Measures], metric: &Metric| of_seeds.iter().map(metric.of).collect::<Vec<_>>();
    let name = |at: usize| policies.get(at).map_or_else(String::new, |policy| policy.text.clone());

    let absolute = TIMES.iter().map(|metric| {
        let known: Vec<f64> = values(base, metric).into_iter().flatten().collect();
        table::number(Estimate::of(&known).map(|estimate| estimate.mean), 1)
    });
    table.add_row(std::iter::once(format!("{} (ms)", name(0))).chain(absolute).chain([attained(base)]));
    for (at, other) in others.iter().enumerate() {
        let relative = TIMES.iter().map(|metric| per_cent(&values(base, metric), &values(other, metric)));
        table.add_row(
            std::iter::once(format!("{} (%)", name(at + 1))).chain(relative).chain([attained(other)]),
        );
    }
    writeln!(out, "{table}")
}

fn per_cent(base: &[Option<f64>], other: &[Option<f64>]) -> String {
    match paired_per_cent(base, other) {
        Some(Estimate { mean, interval: Some(interval) }) => format!("{mean:+.1} ±{interval:.1}"),
        Some(Estimate { mean, interval: None }) => format!("{mean:+.1}"),
        None => table::number(None, 1),
    }
}

fn attained(of_seeds: &[Measures]) -> String {
    let shares: Vec<f64> = of_seeds.iter().filter_map(ATTAINED.of).collect();
    table::number(Estimate::of(&shares).map(|estimate| estimate.mean), 1) + " %"
}

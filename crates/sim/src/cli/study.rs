//! Runs of many policies, seeds and loads on all cores, as lines of JSON or as a table.

use std::io::{self, Write};

use rayon::prelude::*;
use serde::Serialize;
use tblb_sim::compare::{Estimate, paired_per_cent};
use tblb_sim::fleet::{self, Measures, Slo};
use tblb_sim::policy::Rule;
use tblb_sim::scenario::{Load, Scenario};
use tblb_sim::summary::Summary;

use super::run::Common;
use super::{progress, table};

/// A policy and the text that names it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The text.
    pub text: String,
    rule: Rule,
}

impl Named {
    /// Parses the text of `--policy`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), rule: Rule::parse(text)? })
    }
}

/// One scenario at one load over these seeds.
pub struct Case<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The load.
    pub load: Load,
    /// Requests in a run.
    pub requests: usize,
    /// The seeds, one run each.
    pub seeds: Vec<u64>,
}

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
    let measures = measure(cases, policies, &common.slo);
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

/// What each case came to under each policy at each seed.
pub fn measure(cases: &[Case<'_>], policies: &[Named], slo: &Slo) -> Vec<Vec<Vec<Measures>>> {
    let runs: usize = cases.iter().map(|case| case.seeds.len() * policies.len()).sum();
    let bar = progress::bar("simulate", runs, "runs");
    let measured = cases
        .par_iter()
        .map(|case| {
            let of_policy = |policy: &Named| {
                let of_seed = |&seed: &u64| {
                    let outcome = fleet::run(case.scenario, case.load, &policy.rule, seed, case.requests);
                    bar.inc(1);
                    outcome.measures(slo)
                };
                case.seeds.par_iter().map(of_seed).collect()
            };
            policies.par_iter().map(of_policy).collect()
        })
        .collect();
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

/// A column of the table: its header and the number it shows.
type Column = (&'static str, fn(&Measures) -> Option<f64>);

fn of(summary: Option<Summary>, part: fn(Summary) -> f64) -> Option<f64> {
    summary.map(part)
}

const COLUMNS: [Column; 10] = [
    ("TTFT mean", |m| of(m.ttft_ms, |s| s.mean)),
    ("median", |m| of(m.ttft_ms, |s| s.p50)),
    ("P99", |m| of(m.ttft_ms, |s| s.p99)),
    ("TPOT mean", |m| of(m.tpot_ms, |s| s.mean)),
    ("median", |m| of(m.tpot_ms, |s| s.p50)),
    ("P99", |m| of(m.tpot_ms, |s| s.p99)),
    ("E2E mean", |m| of(m.e2e_ms, |s| s.mean)),
    ("median", |m| of(m.e2e_ms, |s| s.p50)),
    ("P99", |m| of(m.e2e_ms, |s| s.p99)),
    ("longest TTFT", |m| of(m.ttft_longest_ms, |s| s.mean)),
];

/// The first policy in ms, the others in per cent against it.
fn write_table(
    out: &mut impl Write,
    case: &Case<'_>,
    policies: &[Named],
    of_policies: &[Vec<Measures>],
) -> io::Result<()> {
    let Some((base, others)) = of_policies.split_first() else { return Ok(()) };
    let header = COLUMNS.iter().map(|(name, _)| *name);
    let load = match case.load {
        Load::Concurrency(clients) => format!("{clients} concurrent"),
        Load::Rate(rate) => format!("{rate} requests/s"),
    };
    let title = format!("{}, {load}", case.scenario.name);
    let mut table = table::new(std::iter::once(title.as_str()).chain(header).chain(["attained"]));
    let values = |of_seeds: &[Measures], (_, value): &Column| of_seeds.iter().map(*value).collect::<Vec<_>>();
    let name = |at: usize| policies.get(at).map_or_else(String::new, |policy| policy.text.clone());

    let absolute = COLUMNS.iter().map(|column| {
        let known: Vec<f64> = values(base, column).into_iter().flatten().collect();
        table::number(Estimate::of(&known).map(|estimate| estimate.mean), 1)
    });
    table.add_row(std::iter::once(format!("{} (ms)", name(0))).chain(absolute).chain([attained(base)]));
    for (at, other) in others.iter().enumerate() {
        let relative = COLUMNS.iter().map(|column| per_cent(&values(base, column), &values(other, column)));
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
    let shares: Vec<f64> = of_seeds.iter().map(|measures| measures.attained * 100.0).collect();
    table::number(Estimate::of(&shares).map(|estimate| estimate.mean), 1) + " %"
}

//! `tblb-sim fleets`: random fleets under policies.

use std::io::{self, Write};
use std::process::ExitCode;

use tblb_sim::compare::paired_per_cent;
use tblb_sim::fleet::Measures;
use tblb_sim::metric::{E2E_MEAN, Metric, TPOT_MEAN, TTFT_MEAN, TTFT_P99};
use tblb_sim::scenario::{Class, Load, Scenario, random_fleet};
use tblb_sim::study::{Case, Named, fleet_seeds};
use tblb_sim::summary::quantile;

use super::run::{Common, count};
use super::{Ended, study, table};

/// Simulate random fleets under policies.
///
/// A seed fixes what a fleet is and its run. Seeds take turns among four classes: nodes that are all alike, alike with
/// requests that come directly to some, a mild mix of speeds, a wild mix of types and speeds. docs/simulator.md says what
/// is drawn.
#[derive(clap::Args)]
pub struct Args {
    /// Fleets
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = count)]
    count: usize,
    /// The first seed; the others follow
    #[arg(long, value_name = "S", default_value_t = 1)]
    first_seed: u64,
    /// Runs of each fleet
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    runs: usize,
    #[command(flatten)]
    common: Common,
}

/// Runs the fleets.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &Args) -> Ended {
    let seeds: Vec<u64> = (args.first_seed..).take(args.count).collect();
    let fleets: Vec<(Scenario, Load)> = seeds.iter().map(|&seed| random_fleet(seed)).collect();
    let cases: Vec<_> = seeds
        .iter()
        .zip(&fleets)
        .map(|(&seed, (scenario, load))| Case {
            scenario,
            load: *load,
            requests: scenario.requests,
            seeds: fleet_seeds(seed, args.runs),
        })
        .collect();
    let policies = args.common.policies(&[])?;
    if args.common.json {
        study::report(&cases, &policies, &args.common)?;
        return Ok(ExitCode::SUCCESS);
    }
    let measures = study::measure("fleets", &cases, &policies, &args.common.slo);
    for (class, name) in Class::ALL {
        let of_class = seeds.iter().zip(&measures).filter(|(seed, _)| Class::of(**seed) == class);
        let of_class: Vec<_> = of_class.map(|(_, measures)| measures).collect();
        if !of_class.is_empty() {
            write_class(name, &policies, &of_class)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is compared.
const COLUMNS: [Metric; 4] = [TTFT_MEAN, TTFT_P99, TPOT_MEAN, E2E_MEAN];

/// The fleets of one class: by how many per cent each policy differs from the first one, in the median fleet, and from the
/// best to the worst.
fn write_class(name: &str, policies: &[Named], fleets: &[&Vec<Vec<Measures>>]) -> io::Result<()> {
    let title = format!("{name}, {} fleets (% against {})", fleets.len(), policies[0].text);
    let header = COLUMNS.iter().map(|metric| metric.name);
    let mut table = table::new(std::iter::once(title.as_str()).chain(header));
    for (at, policy) in policies.iter().enumerate().skip(1) {
        let cells = COLUMNS.iter().map(|metric| {
            let of_policy =
                |fleet: &[Vec<Measures>], at: usize| fleet[at].iter().map(metric.of).collect::<Vec<_>>();
            let difference = |fleet: &&Vec<Vec<Measures>>| {
                paired_per_cent(&of_policy(fleet, 0), &of_policy(fleet, at)).map(|difference| difference.mean)
            };
            spread(fleets.iter().filter_map(difference).collect())
        });
        table.add_row(std::iter::once(policy.text.clone()).chain(cells));
    }
    writeln!(io::stdout(), "{table}")
}

fn spread(mut differences: Vec<f64>) -> String {
    differences.sort_unstable_by(f64::total_cmp);
    match (differences.first(), differences.last()) {
        (Some(least), Some(most)) => {
            format!("{:+.1} ({least:+.1} to {most:+.1})", quantile(&differences, 0.5))
        }
        _ => table::number(None, 1),
    }
}

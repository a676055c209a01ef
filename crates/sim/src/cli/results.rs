//! `tblb-sim results`: the pages and plots of the published results.

use std::path::PathBuf;
use std::process::ExitCode;

use tblb_sim::fleet::Measures;
use tblb_sim::results::{Plan, Results, SLO};
use tblb_sim::study::{Case, Named};

use super::{Ended, study};

/// Simulate all that is reported of the algorithms, and write it as pages and plots.
///
/// Both published pools, random fleets and the stress scenarios, under all policies; takes minutes.
#[derive(clap::Args)]
pub struct Args {
    /// The directory to write into
    #[arg(long, value_name = "DIRECTORY", default_value = "docs/results")]
    out: PathBuf,
    /// Another plan than crates/sim/results.toml
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Runs of each policy at each load, instead of the plan's number
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Runs of each policy before each fleet, instead of the plan's number
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
}

/// Simulates and writes.
///
/// # Errors
/// The plan is none, or the directory cannot be written.
pub fn run(args: &Args) -> Ended {
    let mut plan = match &args.plan {
        Some(path) => {
            let place = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| place(&error))?;
            Plan::parse(&text).map_err(|error| place(&error))?
        }
        None => Plan::published()?,
    };
    plan.seeds = args.seeds.unwrap_or(plan.seeds);
    plan.fleet_runs = args.runs.unwrap_or(plan.fleet_runs);
    let measure = |what: &str, cases: &[Case<'_>], policies: &[Named]| -> Vec<Vec<Vec<Measures>>> {
        study::measure(what, cases, policies, &SLO)
    };
    let results = Results::simulate(plan, &measure)?;
    std::fs::create_dir_all(&args.out)?;
    for (name, text) in results.files()? {
        let path = args.out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

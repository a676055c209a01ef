//! `tblb-sim run`: a scenario under policies.

use std::process::ExitCode;

use tblb_sim::fleet::Slo;
use tblb_sim::scenario::{Load, Scenario};
use tblb_sim::study::{Case, Named};

use super::{Ended, engine, study};

/// Simulate a pool in virtual time under policies, over the same seeds.
///
/// A policy is what an upstream block says ("tblb s2_enhanced waiting=0.5 cache=0.5; tblb_metrics interval=2s"), or a
/// word for what others balance by; docs/simulator.md lists them.
#[derive(clap::Args)]
pub struct Args {
    /// hetero, homogeneous, another scenario that comes with the command, or a file in TOML
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// Clients in a closed loop, instead of the scenario's loads
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with = "rate", value_parser = count)]
    concurrency: Vec<usize>,
    /// Requests a second in an open loop, instead of the scenario's loads
    #[arg(long, value_name = "R,…", value_delimiter = ',', value_parser = engine::positive)]
    rate: Vec<f64>,
    /// Requests in a run, instead of the scenario's number
    #[arg(long, value_name = "N", value_parser = count)]
    requests: Option<usize>,
    #[command(flatten)]
    seeds: Seeds,
    #[command(flatten)]
    common: Common,
}

/// Which seeds.
#[derive(clap::Args)]
struct Seeds {
    /// Runs of each policy at each load
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
    /// The first seed; the others follow
    #[arg(long, value_name = "S", default_value_t = 1)]
    first_seed: u64,
}

/// What all simulations take.
#[derive(clap::Args)]
pub struct Common {
    /// A policy; the first one is what the others are compared with. Without any, those that the scenario names, or
    /// nginx's least_conn and the default of tblb
    #[arg(long = "policy", value_name = "DIRECTIVE", value_parser = Named::parse)]
    policies: Vec<Named>,
    /// The TTFT and the TPOT in ms that are promised
    #[arg(long, value_name = "TTFT/TPOT", default_value = "500/50", value_parser = slo)]
    pub slo: Slo,
    /// Print a line of JSON for each run
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// The policies that are given, or those that the scenario names.
    ///
    /// # Errors
    /// The scenario names one that there is not.
    pub fn policies(&self, scenario: &[String]) -> Result<Vec<Named>, String> {
        if !self.policies.is_empty() {
            return Ok(self.policies.clone());
        }
        let texts = if scenario.is_empty() { &DEFAULT.map(str::to_owned)[..] } else { scenario };
        texts.iter().map(|text| Named::parse(text)).collect()
    }
}

/// The policies that are compared where none are named.
const DEFAULT: [&str; 2] = ["tblb least_conn", "tblb"];

/// A whole number above 0.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number above 0".to_owned())
}

fn slo(text: &str) -> Result<Slo, String> {
    let (ttft, tpot) = text.split_once('/').ok_or("expected two numbers as in 500/50")?;
    Ok(Slo { ttft: engine::positive(ttft)?, tpot: engine::positive(tpot)? })
}

/// Runs the scenario at its loads, or at those given.
///
/// # Errors
/// There is no such scenario, or it names no load and none is given.
pub fn run(args: &Args) -> Ended {
    let scenario = Scenario::load(&args.scenario)?;
    let mut loads: Vec<_> = args.concurrency.iter().map(|&clients| Load::Concurrency(clients)).collect();
    loads.extend(args.rate.iter().map(|&rate| Load::Rate(rate)));
    if loads.is_empty() {
        loads = scenario.loads();
    }
    if loads.is_empty() {
        return Err(format!("{} names no load: give --concurrency or --rate", args.scenario).into());
    }
    let requests = args.requests.unwrap_or(scenario.requests);
    let seeds = args.seeds.first_seed..args.seeds.first_seed.saturating_add(args.seeds.seeds);
    let case = |load| Case { scenario: &scenario, load, requests, seeds: seeds.clone().collect() };
    let cases: Vec<_> = loads.into_iter().map(case).collect();
    study::report(&cases, &args.common.policies(&scenario.policies)?, &args.common)?;
    Ok(ExitCode::SUCCESS)
}

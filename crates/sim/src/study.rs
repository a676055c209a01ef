//! Runs of many policies, loads and seeds on all cores.

use rayon::prelude::*;

use crate::fleet::{self, Measures, Slo};
use crate::policy::Rule;
use crate::scenario::{Load, Scenario};

/// A policy and the text that names it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The text.
    pub text: String,
    /// What it says.
    pub rule: Rule,
}

impl Named {
    /// Parses the text of `--policy`.
    ///
    /// # Errors
    /// Those of [`Rule::parse`].
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), rule: Rule::parse(text)? })
    }
}

/// One scenario at one load over these seeds.
#[derive(Debug)]
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

/// The seeds of a fleet's further runs lie so far apart that no other fleet has them.
const FURTHER: u64 = 1_000_000;

/// The seeds of the runs of the random fleet of this seed, which the first run has too.
pub fn fleet_seeds(fleet: u64, runs: usize) -> Vec<u64> {
    (0..runs as u64).map(|run| fleet + run * FURTHER).collect()
}

/// What each case came to under each policy at each seed, in their order; `done` is called after every run.
pub fn measure(
    cases: &[Case<'_>],
    policies: &[Named],
    slo: &Slo,
    done: impl Fn() + Sync,
) -> Vec<Vec<Vec<Measures>>> {
    let of_case = |case: &Case<'_>| {
        let of_policy = |policy: &Named| {
            let of_seed = |&seed: &u64| {
                let outcome = fleet::run(case.scenario, case.load, &policy.rule, seed, case.requests);
                done();
                outcome.measures(slo)
            };
            case.seeds.par_iter().map(of_seed).collect()
        };
        policies.par_iter().map(of_policy).collect()
    };
    cases.par_iter().map(of_case).collect()
}

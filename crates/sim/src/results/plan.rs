//! What is simulated for the results, as `crates/sim/results.toml` says it.

use serde::Deserialize;

use crate::scenario::{PRESETS, Scenario};
use crate::study::Named;

/// What is simulated for the results.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Runs of each policy at each load.
    pub seeds: u64,
    /// The first seed; the others follow.
    pub first_seed: u64,
    /// Requests in a run, instead of the number that a scenario names.
    pub requests: Option<usize>,
    /// Runs of each policy before each fleet.
    pub fleet_runs: usize,
    /// The seeds of the random fleets.
    pub fleets: Vec<u64>,
    /// The policies before pools and fleets.
    pub policies: Vec<String>,
    /// The policies in the stress scenarios.
    pub stress_policies: Vec<String>,
    /// The stress scenarios; else all that come with the command but the pools.
    pub stresses: Option<Vec<String>>,
    /// The two published pools.
    #[serde(rename = "pool")]
    pub pools: Vec<PoolPlan>,
}

/// What is simulated of a pool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPlan {
    /// The scenario; its concurrencies are those of the closed loop.
    pub scenario: String,
    /// Poisson rates in requests a second, ascending.
    pub rates: Vec<f64>,
}

impl Plan {
    /// The plan of the published results.
    ///
    /// # Errors
    /// Those of [`Plan::parse`].
    pub fn published() -> Result<Self, String> {
        Self::parse(include_str!("../../results.toml"))
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for policies in [&plan.policies, &plan.stress_policies] {
            if policies.len() < 2 {
                return Err("two policies at least are needed to compare".to_owned());
            }
            policies.iter().try_for_each(|text| Named::parse(text).map(|_| ()))?;
        }
        let pools = plan.pools.iter().map(|pool| &pool.scenario);
        let mut scenarios = pools.chain(plan.stresses.iter().flatten());
        scenarios.try_for_each(|name| Scenario::load(name).map(|_| ()))?;
        if !plan.pools.iter().all(|pool| pool.rates.is_sorted_by(|a, b| a < b)) {
            return Err("rates must ascend".to_owned());
        }
        Ok(plan)
    }

    /// What the others are compared with: the first policy.
    pub fn base(&self) -> &str {
        &self.policies[0]
    }

    /// What is reported on: the second policy.
    pub fn subject(&self) -> &str {
        &self.policies[1]
    }

    /// All but the policy that the others are compared with.
    pub fn compared(&self) -> &[String] {
        &self.policies[1..]
    }

    /// The names of the stress scenarios.
    pub fn stresses(&self) -> Vec<String> {
        let is_pool = |name: &str| self.pools.iter().any(|pool| pool.scenario == name);
        let all = || PRESETS.iter().map(|(name, _)| *name).filter(|name| !is_pool(name));
        self.stresses.clone().unwrap_or_else(|| all().map(str::to_owned).collect())
    }

    /// The seeds of a pool's or a stress scenario's runs.
    pub fn seeds(&self) -> Vec<u64> {
        (self.first_seed..self.first_seed + self.seeds).collect()
    }
}

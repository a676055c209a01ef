//! Simulating what the plan says.

use super::plan::{Plan, PoolPlan};
use super::point::Point;
use super::{Pool, Results};
use crate::fleet::Measures;
use crate::scenario::{Class, Load, Scenario, random_fleet};
use crate::study::{Case, Named, fleet_seeds};

/// Simulates cases under policies. The text says what they are, for a progress bar.
pub type Measure<'a> = dyn Fn(&str, &[Case<'_>], &[Named]) -> Vec<Vec<Vec<Measures>>> + 'a;

impl Results {
    /// Simulates what the plan says.
    ///
    /// # Errors
    /// The plan names a scenario or a policy that there is not.
    pub fn simulate(plan: Plan, measure: &Measure<'_>) -> Result<Self, String> {
        let simulation = Simulation { plan: &plan, measure };
        let pools = plan.pools.iter().map(|pool| simulation.pool(pool)).collect::<Result<_, _>>()?;
        let stress = simulation.stress()?;
        let fleets = simulation.fleets()?;
        Ok(Self { pools, fleets, stress, plan })
    }
}

/// A scenario at a load, and the seeds of its runs.
struct Loaded {
    scenario: Scenario,
    load: Load,
    seeds: Vec<u64>,
}

struct Simulation<'a> {
    plan: &'a Plan,
    measure: &'a Measure<'a>,
}

impl Simulation<'_> {
    fn pool(&self, pool: &PoolPlan) -> Result<Pool, String> {
        let scenario = Scenario::load(&pool.scenario)?;
        let name = scenario.name.clone();
        let seeds = self.plan.seeds();
        let at = |load| Loaded { scenario: scenario.clone(), load, seeds: seeds.clone() };
        let closed: Vec<_> =
            scenario.concurrency.iter().map(|&clients| at(Load::Concurrency(clients))).collect();
        let open: Vec<_> = pool.rates.iter().map(|&rate| at(Load::Rate(rate))).collect();
        Ok(Pool {
            closed: self.points(&format!("{name}, clients"), &closed, &self.plan.policies)?,
            open: self.points(&format!("{name}, rates"), &open, &self.plan.policies)?,
            name,
        })
    }

    fn stress(&self) -> Result<Vec<Point>, String> {
        let mut loaded = Vec::new();
        for name in self.plan.stresses() {
            let scenario = Scenario::load(&name)?;
            let at = |load| Loaded { scenario: scenario.clone(), load, seeds: self.plan.seeds() };
            loaded.extend(scenario.loads().into_iter().map(at));
        }
        self.points("stress", &loaded, &self.plan.stress_policies)
    }

    fn fleets(&self) -> Result<Vec<(Class, Point)>, String> {
        let drawn = |&seed: &u64| {
            let (scenario, load) = random_fleet(seed);
            Loaded { scenario, load, seeds: fleet_seeds(seed, self.plan.fleet_runs) }
        };
        let loaded: Vec<_> = self.plan.fleets.iter().map(drawn).collect();
        let points = self.points("fleets", &loaded, &self.plan.policies)?;
        Ok(self.plan.fleets.iter().map(|&seed| Class::of(seed)).zip(points).collect())
    }

    fn points(&self, what: &str, loaded: &[Loaded], policies: &[String]) -> Result<Vec<Point>, String> {
        let named = policies.iter().map(|text| Named::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let cases: Vec<_> = loaded
            .iter()
            .map(|Loaded { scenario, load, seeds }| Case {
                scenario,
                load: *load,
                requests: self.plan.requests.unwrap_or(scenario.requests),
                seeds: seeds.clone(),
            })
            .collect();
        let measured = (self.measure)(what, &cases, &named);
        let point = |(loaded, runs): (&Loaded, Vec<Vec<Measures>>)| Point {
            scenario: loaded.scenario.name.clone(),
            load: loaded.load,
            runs: policies.iter().cloned().zip(runs).collect(),
        };
        Ok(loaded.iter().zip(measured).map(point).collect())
    }
}

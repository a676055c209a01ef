//! The published results: what is simulated for them, and the pages and plots that are made of it.
//!
//! The pages depend on nothing but the plan and the simulator: no clock, no order of threads.

mod axis;
mod clip;
mod fleets;
mod goodput;
mod index;
pub mod markdown;
mod plan;
mod plot;
mod point;
mod policies;
mod pools;
mod publication;
mod rates;
mod simulate;
mod stress;
mod targets;
#[cfg(test)]
mod tests;

pub use plan::{Plan, PoolPlan};
pub use point::Point;
pub use simulate::Measure;

use crate::fleet::Slo;
use crate::scenario::Class;

/// What is promised in all results, in ms.
pub const SLO: Slo = Slo { ttft: 500.0, tpot: 50.0 };

/// All that was simulated.
#[derive(Debug)]
pub struct Results {
    /// What was to be simulated.
    pub plan: Plan,
    /// The pools, in the order of the plan.
    pub pools: Vec<Pool>,
    /// The random fleets.
    pub fleets: Vec<(Class, Point)>,
    /// The stress scenarios, each at all of its loads.
    pub stress: Vec<Point>,
}

/// A published pool.
#[derive(Debug)]
pub struct Pool {
    /// Its scenario's name.
    pub name: String,
    /// In a closed loop, at each concurrency.
    pub closed: Vec<Point>,
    /// At Poisson rates, ascending.
    pub open: Vec<Point>,
}

impl Results {
    /// The files of the results, each with its name.
    ///
    /// # Errors
    /// A plot cannot be drawn.
    pub fn files(&self) -> Result<Vec<(String, String)>, String> {
        let mut files = [
            ("simulator.md", index::page(self)),
            ("targets.md", targets::page(self)),
            ("pools.md", pools::page(self)),
            ("rates.md", rates::page(self)),
            ("fleets.md", fleets::page(self)),
            ("stress.md", stress::page(self)),
            ("policies.md", policies::page(self)),
            ("publication.md", publication::page(self)),
        ]
        .map(|(name, page)| (name.to_owned(), markdown::wrapped(&page)))
        .to_vec();
        files.extend(pools::plots(self)?);
        files.extend(rates::plots(self)?);
        files.extend(fleets::plots(self)?);
        Ok(files)
    }

    /// The pool of this scenario.
    fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == name)
    }
}

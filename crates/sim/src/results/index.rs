//! The page that leads to the others.

use super::Results;

/// The page.
pub fn page(results: &Results) -> String {
    let plan = &results.plan;
    let (first, last) = (plan.first_seed, plan.first_seed + plan.seeds.saturating_sub(1));
    format!(
        "# Results of the simulator\n\n\
         All pages named here, and the plots, are made by `make results`. They depend on the code and on \
         `crates/sim/results.toml` alone.\n\n\
         - [targets.md](targets.md): what `{subject}` was to show, and whether it does\n\
         - [pools.md](pools.md): both published pools in a closed loop, `{subject}` against `{base}`\n\
         - [rates.md](rates.md): both pools at Poisson rates; goodput of all policies\n\
         - [fleets.md](fleets.md): {fleets} random fleets of four classes\n\
         - [stress.md](stress.md): what fails or misleads\n\
         - [policies.md](policies.md): {policies} policies at every concurrency\n\
         - [publication.md](publication.md): the model beside the published field test\n\n\
         Seeds {first} to {last} in the pools and the stress scenarios. Seeds below 9001 are for tuning: no constant was \
         chosen by what is reported here. All policies of a seed have the same requests; a difference is the mean over the \
         seeds of each one's difference, and ± half the width of its 95 % interval by Student's t distribution. \
         [The simulator](../simulator.md) is described with its model, its scenarios and its policies. One line of a table is \
         had again by, for instance\n\n\
         ```sh\n\
         cargo run --release -p tblb-sim -- run hetero --concurrency 50 --first-seed {first} --seeds {seeds} \\\n    \
             --policy '{base}' --policy '{subject}'\n\
         ```\n",
        subject = plan.subject(),
        base = plan.base(),
        fleets = plan.fleets.len(),
        policies = plan.policies.len(),
        seeds = plan.seeds,
    )
}

//! The comparison as a table.

use tblb_sim::compare::{Agreement, Estimate, paired_per_cent};
use tblb_sim::live::{MEASURES, Times, change, values};
use tblb_sim::results::markdown;

use super::super::table;
use super::{Args, Played, Values};

/// What rows say of whether nginx and the simulator agree.
const AGREEMENTS: [(Agreement, &str); 3] =
    [(Agreement::Direction, "yes"), (Agreement::Noise, "within noise"), (Agreement::None, "no")];

/// The table's head.
pub fn head() -> Vec<&'static str> {
    ["pool, clients", ""].into_iter().chain(MEASURES.iter().map(|measure| measure.name)).collect()
}

/// What came of all points.
pub struct Report {
    /// For each point what the first policy came to, live and simulated, and how the others differ from it.
    pub rows: Vec<Vec<String>>,
    /// How many numbers agree in direction, only within noise, and not at all.
    pub tally: [usize; AGREEMENTS.len()],
}

impl Report {
    /// Compares the policies at each point.
    pub fn of(args: &Args, played: &[Played]) -> Self {
        let mut report = Self { rows: Vec::new(), tally: [0; AGREEMENTS.len()] };
        played.iter().for_each(|played| report.add(args, played));
        report
    }

    fn add(&mut self, args: &Args, played: &Played) {
        let base = played.times(0, args.speed);
        let name = |policy: usize| args.policies[policy].text.as_str();
        let title = format!("{} {}", played.point.pool.name, played.point.clients);
        let ms = |values: Values| values.map(|value| table::number(value, 1)).to_vec();
        self.rows.push(row(&title, &format!("{}, ms", name(0)), ms(values(&base))));
        self.rows.push(row("", "simulator, ms", ms(mean(&played.simulated[0]))));
        for policy in 1..args.policies.len() {
            let differences = differences(args, played, &base, policy);
            let live = differences.iter().map(|difference| markdown::difference(difference.live)).collect();
            let simulated =
                differences.iter().map(|difference| markdown::difference(difference.simulated)).collect();
            let agree = differences.iter().map(|difference| self.count(difference.agreement())).collect();
            self.rows.push(row("", &format!("{}, %", name(policy)), live));
            self.rows.push(row("", "simulator, %", simulated));
            self.rows.push(row("", "same direction", agree));
        }
    }

    /// Counts an agreement and returns its word.
    fn count(&mut self, agreement: Option<Agreement>) -> String {
        let known = AGREEMENTS.iter().position(|(known, _)| agreement == Some(*known));
        known.map_or_else(
            || markdown::UNKNOWN.to_owned(),
            |at| {
                self.tally[at] += 1;
                AGREEMENTS[at].1.to_owned()
            },
        )
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let mut table = table::new(head());
        table.add_rows(&self.rows);
        table.to_string()
    }
}

/// What went wrong, a line each.
pub fn failures(args: &Args, played: &[Played]) -> Vec<String> {
    let mut lines = Vec::new();
    for Played { point, live, .. } in played {
        for (policy, outcome) in args.policies.iter().zip(live) {
            for (error, count) in outcome.errors() {
                let (pool, clients) = (&point.pool.name, point.clients);
                lines.push(format!("failed at {pool} {clients} with {}, {error}: {count}", policy.text));
            }
        }
    }
    lines
}

/// By how much a policy differs from the first one in one measure.
struct Difference {
    live: Option<Estimate>,
    simulated: Option<Estimate>,
}

impl Difference {
    fn agreement(&self) -> Option<Agreement> {
        Some(self.live?.agreement(&self.simulated?))
    }
}

/// In the order of [`MEASURES`].
fn differences(args: &Args, played: &Played, base: &[Times], policy: usize) -> Vec<Difference> {
    let other = played.times(policy, args.speed);
    let of_seeds = |policy: usize, at: usize| -> Vec<Option<f64>> {
        played.simulated[policy].iter().map(|values| values[at]).collect()
    };
    let difference = |(at, measure)| Difference {
        live: change(measure, base, &other),
        simulated: paired_per_cent(&of_seeds(0, at), &of_seeds(policy, at)),
    };
    MEASURES.iter().enumerate().map(difference).collect()
}

fn row(title: &str, what: &str, cells: Vec<String>) -> Vec<String> {
    [title.to_owned(), what.to_owned()].into_iter().chain(cells).collect()
}

fn mean(of_seeds: &[Values]) -> Values {
    std::array::from_fn(|at| {
        let known: Vec<f64> = of_seeds.iter().filter_map(|values| values[at]).collect();
        Estimate::of(&known).map(|estimate| estimate.mean)
    })
}

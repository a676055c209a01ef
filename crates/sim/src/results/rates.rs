//! The page of both pools at Poisson rates: goodput, and what is attained.

use super::goodput::{self, SHARES};
use super::markdown::{self, Table};
use super::plot::{self, Axis, Line, Panel};
use super::pools::{self, PLOTTED};
use super::{Point, Pool, Results};
use crate::metric::ATTAINED;

/// The page.
pub fn page(results: &Results) -> String {
    let (base, subject) = (results.plan.base(), results.plan.subject());
    let mut text = format!(
        "# Both pools at Poisson rates\n\n\
         Goodput is the highest rate at which 90 % or 99 % of the requests have their first token within 500 ms and at most \
         50 ms a token after it. It is found for each of {} seeds, by a straight line between the last simulated rate that \
         reaches the share and the next one; \"%\" is its difference from that of `{base}`, with half the width of the 95 % \
         interval over paired seeds. {} stands where it lies outside of the simulated rates for a seed.\n",
        results.plan.seeds,
        markdown::UNKNOWN,
    );
    for pool in &results.pools {
        let name = &pool.name;
        text += &format!("\n## {name}\n\n![attained over rate, {name}](rates-{name}.svg)\n\n");
        text += &goodputs(results, pool);
        text += &format!("\nTimes at these rates, `{base}` in ms:\n\n{}", pools::absolute(&pool.open, base));
        text += &format!("\n`{subject}` against it, %:\n\n{}", pools::relative(&pool.open, subject, base));
    }
    text
}

/// A row for each policy, the highest goodput at 90 % first.
fn goodputs(results: &Results, pool: &Pool) -> String {
    let base = results.plan.base();
    let mean = |policy: &str, share| goodput::mean(&pool.open, policy, share);
    let mut policies: Vec<&String> = results.plan.policies.iter().collect();
    let rank = |policy: &str| mean(policy, SHARES[0]).map_or(0.0, |goodput| goodput.mean);
    policies.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    let mut table = Table::new(["policy", "90 %, requests/s", "%", "99 %, requests/s", "%"]);
    for policy in policies {
        let cells = SHARES.into_iter().flat_map(|share| {
            let difference = match policy == base {
                true => String::new(),
                false => markdown::difference(goodput::per_cent(&pool.open, policy, base, share)),
            };
            [markdown::number(mean(policy, share), 1), difference]
        });
        table.row([markdown::code(policy)].into_iter().chain(cells));
    }
    table.text()
}

/// A plot of each pool: what is attained over the rate.
pub fn plots(results: &Results) -> Result<Vec<(String, String)>, String> {
    let plot = |pool: &Pool| {
        let title = format!("{}: requests within TTFT 500 ms and TPOT 50 ms", pool.name);
        let panels = [panel(results, pool, 0.0, 20.0), panel(results, pool, 90.0, 2.0)];
        Ok((format!("rates-{}.svg", pool.name), plot::draw(&title, &panels)?))
    };
    results.pools.iter().map(plot).collect()
}

fn panel(results: &Results, pool: &Pool, from: f64, step: f64) -> Panel {
    let line = |(colour, policy): (usize, &str)| {
        let at = |point: &Point| Some((point.load_value(), point.mean(ATTAINED, policy)?));
        Line::through(policy, colour, pool.open.iter().filter_map(at).collect())
    };
    let others = [&PLOTTED[..], &[results.plan.base()]].concat();
    let shown = plot::shown(results.plan.subject(), &others);
    let ends = pool.open.first().zip(pool.open.last());
    let (least, most) = ends.map_or((0.0, 1.0), |(first, last)| (first.load_value(), last.load_value()));
    Panel {
        x: Axis::even("requests/s", least, most, 5.0),
        y: Axis::even("attained, %", from, 100.0, step),
        lines: shown.map(line).filter(|line| !line.points.is_empty()).collect(),
        levels: SHARES.map(|share| share * 100.0).to_vec(),
    }
}

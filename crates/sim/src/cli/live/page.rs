//! The page of results: the table, and how it was measured.

use std::io;
use std::process::Command;

use tblb_sim::demo::WORKERS;
use tblb_sim::results::markdown::{Table, wrapped};

use super::super::table;
use super::report::{self, Report};
use super::{Args, Played};

const TITLE: &str = "# Through nginx in real time

`make live` wrote this page: the two published pools as mock engines behind a real nginx, and the same in the simulator.
";

/// How it is measured; lines are broken when the page is.
const METHOD: &str = "\
## How it was measured

Engines are processes that imitate the pool's nodes, in real time where the speed is 1; else they run so \
many times as fast, and all times are given in theirs. Each policy has an nginx and engines of its own. \
All policies of a point play at the same time, so whatever else the machine does hits all alike, and one \
point of each pool plays at a time. Clients send the next request when their last one is done: the same \
requests under all policies, those of the simulator's seed, streamed, with ShareGPT's lengths. In the \
homogeneous pool 50 requests are kept at each of two engines directly.

The load begins 10 s after engines, direct requests and polls. The requests of the warm-up are not \
measured, so that queues and what a policy learns are in their stride. How many requests follow each other \
in these times is what the simulator expects under the first policy, and a point plays until the last one \
is answered. TTFT is the time to the first byte of the body, TPOT (last − first token)/(tokens − 1).

The first policy is given in ms, the others in per cent against it, with 95 % intervals: live by a \
jackknife over ten groups of requests that follow each other, paired between the policies; of the \
simulator by Student's t over its seeds, of runs as long as the live one. The same direction is \"yes\" \
where both differences have one sign, \"within noise\" where they do not but are no further apart than the \
root of the sum of their squared intervals, else \"no\". The P99 of one live run is a rough number, and so \
is its interval.

The simulator has no network, no nginx and no late timers in its times, so they are a little below those \
seen live. Only that a client's next request comes to an engine 1.6 ms after the last answer's end is in \
it, since that decides with which step it begins. Its prompts have about four bytes a token, scattering by \
20 %; those here have four.
";

/// What stands below the table on the machine.
const KEPT_UP: &str = "\
Points of the same round have the same load on the machine. How late the client woke is what a time may be too long by;
timers are as fine as 1 ms. No request failed.
";

/// The page in Markdown.
///
/// # Errors
/// nginx cannot be asked for its version.
pub fn text(args: &Args, played: &[Played], report: &Report) -> io::Result<String> {
    let [same, noise, other] = report.tally;
    let mut results = Table::new(report::head());
    report.rows.iter().for_each(|row| results.row(row));
    let page = format!(
        "{frame}\n{machine}\n## Results\n\nOf {all} differences, {same} have the simulator's direction, {noise} differ \
         from it within noise, {other} beyond.\n\n{results}",
        frame = frame(args, &version(args)?),
        machine = machine(args, played),
        all = same + noise + other,
        results = results.text(),
    );
    Ok(wrapped(&page))
}

/// What nginx calls itself.
fn version(args: &Args) -> io::Result<String> {
    let told = Command::new(&args.nginx.nginx).arg("-v").output()?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    Ok(told.trim().rsplit('/').next().unwrap_or_default().to_owned())
}

fn frame(args: &Args, nginx: &str) -> String {
    let policies: Vec<_> = args.policies.iter().map(|policy| format!("`{}`", policy.text)).collect();
    let Args { seconds, warmup, seed, seeds, speed, .. } = args;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = [
        ("policies", policies.join(", ")),
        ("nginx", format!("{nginx}, {WORKERS} workers")),
        ("tblb", env!("CARGO_PKG_VERSION").to_owned()),
        ("cores", cores.to_string()),
        ("measured", format!("{seconds} s after a warm-up of {warmup} s")),
        ("seed", format!("{seed}; of the simulator {seeds} seeds from there on")),
        ("speed", speed.to_string()),
    ];
    let mut table = Table::new(["what", ""]);
    rows.iter().for_each(|(what, value)| table.row([what, value.as_str()]));
    format!("{TITLE}\n{}\n{METHOD}", table.text())
}

/// Whether the machine kept up, point by point.
fn machine(args: &Args, played: &[Played]) -> String {
    let row = |played: &Played| {
        let point = &played.point;
        let answered = |policy: usize| played.live[policy].answered().count();
        let answered: Vec<_> = (0..args.policies.len()).map(|policy| answered(policy).to_string()).collect();
        [
            format!("{} {}", point.pool.name, point.clients),
            point.warmup.to_string(),
            answered.join(", "),
            table::number(played.busy.map(|(_, own)| own * 100.0), 0),
            table::number(played.busy.map(|(all, _)| all * 100.0), 0),
            table::number(played.late, 1),
        ]
    };
    let head = [
        "pool, clients",
        "warm-up",
        "measured",
        "CPUs busy with it, %",
        "with all, %",
        "client late, ms (P99)",
    ];
    let mut table = Table::new(head);
    played.iter().for_each(|played| table.row(row(played)));
    format!("## Whether the machine kept up\n\n{}\n{KEPT_UP}", table.text())
}

//! The demonstration's tables.

use tblb_sim::client::Outcome;
use tblb_sim::demo::PeerRow;

use super::super::table::{self, number};
use super::{Args, ENGINES, Run};

/// A time in ms of a run.
type Time = fn(&Outcome) -> Option<f64>;

/// What is compared.
const ROWS: &[(&str, Time)] = &[
    ("TTFT mean", |outcome| outcome.ttft_ms().map(|ms| ms.mean)),
    ("TTFT median", |outcome| outcome.ttft_ms().map(|ms| ms.p50)),
    ("TTFT P99", |outcome| outcome.ttft_ms().map(|ms| ms.p99)),
    ("TPOT mean", |outcome| outcome.tpot_ms().map(|ms| ms.mean)),
    ("E2E mean", |outcome| outcome.e2e_ms().map(|ms| ms.mean)),
];

/// All tables, one after another.
pub fn all(args: &Args, runs: &[Run]) -> String {
    let mut parts = Vec::new();
    let measured: Vec<(&Run, &Outcome)> =
        runs.iter().filter_map(|run| Some((run, run.outcome.as_ref()?))).collect();
    if !measured.is_empty() {
        parts.push(comparison(args, &measured));
        parts.push(note(args));
    }
    for run in runs {
        if let Some(rows) = &run.status {
            parts.push(format!(
                "Status with `{}` while it was busy:\n{}",
                run.policy,
                status(args, run, rows)
            ));
        }
    }
    parts.join("\n")
}

fn note(args: &Args) -> String {
    let of = format!("{} requests, {} at a time, the same in every run", args.requests, args.concurrency);
    if args.engines.is_empty() {
        format!("Times in ms of mock engines that run {} times as fast as real ones; {of}.", args.speed)
    } else {
        format!("Times in ms; {of}.")
    }
}

fn comparison(args: &Args, runs: &[(&Run, &Outcome)]) -> String {
    let mut header = vec![String::new()];
    for (at, (run, _)) in runs.iter().enumerate() {
        header.push(run.policy.clone());
        if at > 0 {
            header.push("difference".to_owned());
        }
    }
    let mut table = table::new(header.iter().map(String::as_str));
    for (name, of) in ROWS {
        let values: Vec<Option<f64>> = runs.iter().map(|(_, outcome)| of(outcome)).collect();
        let mut row = vec![(*name).to_owned()];
        for (at, value) in values.iter().enumerate() {
            row.push(number(*value, 1));
            if at > 0 {
                row.push(difference(values[0], *value));
            }
        }
        table.add_row(row);
    }
    let counted = |name: String, value: &dyn Fn(&Run, &Outcome) -> String| {
        let mut row = vec![name];
        for (at, (run, outcome)) in runs.iter().enumerate() {
            row.push(value(run, outcome));
            row.extend((at > 0).then(String::new));
        }
        row
    };
    table.add_row(counted("failed requests".to_owned(), &|_, outcome| {
        outcome.errors().values().sum::<usize>().to_string()
    }));
    for at in 0..runs[0].0.servers.len() {
        table.add_row(counted(format!("share of {}", engine_name(args, at)), &|run, outcome| {
            let share = outcome.shares().get(run.servers[at].as_str()).copied().unwrap_or(0.0);
            format!("{:.1} %", share * 100.0)
        }));
    }
    table.to_string()
}

fn engine_name(args: &Args, at: usize) -> String {
    match args.engines.get(at) {
        Some(url) => url.clone(),
        None => {
            let (preset, relative, kv_blocks) = ENGINES[at];
            let speed = if relative == 1.0 { String::new() } else { format!(" × {relative}") };
            let memory = kv_blocks.map_or(String::new(), |blocks| format!(", {blocks} KV blocks"));
            format!("{preset}{speed}{memory}")
        }
    }
}

fn status(args: &Args, run: &Run, rows: &[PeerRow]) -> String {
    let mut table = table::new([
        "node",
        "server",
        "engine",
        "state",
        "waiting",
        "running",
        "cache",
        "in flight",
        "picks",
        "score",
    ]);
    for row in rows {
        let at = run.servers.iter().position(|server| *server == row.server);
        table.add_row([
            at.map_or_else(String::new, |at| engine_name(args, at)),
            row.server.clone(),
            row.engine.clone().unwrap_or_else(|| "–".to_owned()),
            row.state.clone(),
            number(row.waiting, 0),
            number(row.running, 0),
            number(row.cache, 3),
            row.in_flight.to_string(),
            row.picks.to_string(),
            number(row.score, 3),
        ]);
    }
    table.to_string()
}

fn difference(of: Option<f64>, value: Option<f64>) -> String {
    match (of, value) {
        (Some(of), Some(value)) if of > 0.0 => format!("{:+.1} %", (value / of - 1.0) * 100.0),
        _ => "–".to_owned(),
    }
}

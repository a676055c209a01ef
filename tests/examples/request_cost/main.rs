//! What a request costs nginx: instructions for each request, counted by valgrind's callgrind, under nginx's own
//! `least_conn` and under the methods of the module. `scripts/bench-requests.sh` runs it.
//!
//! One client sends one request after the other on one connection. The engines are in this process, and answer a stream
//! in step with the client, so that nginx reads and sends each event by itself and a count can be repeated. Each case
//! runs twice, with few and with many requests; the difference of the counts is free of what a start costs.
//!
//! | arguments | what happens |
//! | --- | --- |
//! | none | all cases are counted, and a table of them is printed |
//! | `--write` | the same, and the counts go to docs/results/requests.json, of which the documentation is made |
//! | `--keep FILE ANSWER METHOD SERVERS` | one case runs, and FILE is what `callgrind_annotate` reads |

mod case;
mod client;
mod engines;
mod nginx;

use case::{Case, all};
use std::error::Error;
use std::path::Path;
use std::thread;

/// Any failure, shown and no more.
type Failure = Box<dyn Error + Send + Sync>;

/// Where the counts go.
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results/requests.json");

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => count_all().map(drop),
        ["--write"] => write(&count_all()?),
        ["--keep", file, answer, method, servers] => {
            let case = Case::named(answer, method, servers)?;
            nginx::run(&case, case.answer.requests()[1], Some(Path::new(file))).map(drop)
        }
        _ => Err("arguments: none, --write, or --keep FILE whole|streamed METHOD 2|64".into()),
    }
}

/// Counts all cases and prints them as they come.
fn count_all() -> Result<Vec<(Case, u64)>, Failure> {
    println!("answer   servers method             instructions  ratio target");
    let mut counts = Vec::new();
    let mut yardstick = 0;
    for case in all() {
        let count = count(&case)?;
        if case.is_yardstick() {
            yardstick = count;
        }
        let target = case.target().map_or_else(String::new, |target| format!("{target:.2}"));
        let (answer, name, ratio) = (case.answer.name(), case.method.name, count as f64 / yardstick as f64);
        println!("{answer:8} {:7} {name:18} {count:12} {ratio:6.3} {target:>6}", case.servers);
        counts.push((case, count));
    }
    Ok(counts)
}

/// The instructions of one request of a case.
fn count(case: &Case) -> Result<u64, Failure> {
    let [few, many] = case.answer.requests();
    let run = |requests| nginx::run(case, requests, None);
    let [with_few, with_many] = thread::scope(|scope| {
        [few, many]
            .map(|requests| scope.spawn(move || run(requests)))
            .map(|run| run.join().expect("no panic"))
    });
    Ok((with_many? - with_few?) / (many - few) as u64)
}

/// A line for each case.
fn write(counts: &[(Case, u64)]) -> Result<(), Failure> {
    let line = |(case, instructions): &(Case, u64)| {
        let (answer, method, servers) = (case.answer.name(), case.method.name, case.servers);
        let target = case.target().map_or("null".into(), |target| target.to_string());
        format!(
            r#"{{"answer":"{answer}","method":"{method}","servers":{servers},"instructions":{instructions},"target":{target}}}"#
        )
    };
    let lines: Vec<_> = counts.iter().map(line).collect();
    Ok(std::fs::write(COUNTS, format!("[\n{}\n]\n", lines.join(",\n")))?)
}

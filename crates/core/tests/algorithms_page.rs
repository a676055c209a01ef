//! docs/algorithms.md is made of the table of algorithms and of what `make bench` measured. `TBLB_REWRITE=yes` writes it
//! anew.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

use serde::Deserialize;
use std::fmt::Write;
use tblb_core::algorithm::{ALL, Algorithm, DEFAULT, Rule};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/algorithms.md");
const COSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results/bench.json");

const REQUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results/requests.json");

/// Nodes for which costs are told.
const SIZES: [usize; 4] = [8, 64, 256, 1024];

/// A line of docs/results/bench.json.
#[derive(Deserialize)]
struct Cost {
    group: String,
    name: String,
    size: usize,
    ns: f64,
    instructions: u64,
}

/// A line of docs/results/requests.json.
#[derive(Deserialize)]
struct RequestCost {
    answer: String,
    method: String,
    servers: usize,
    instructions: u64,
    /// What was set out to reach, as a ratio to nginx's own least_conn; `None` for that one.
    target: Option<f64>,
}

/// What is told of a cost.
type Unit = fn(&Cost) -> String;

#[test]
fn the_page_is_made_of_the_table_and_of_what_was_measured() {
    let costs = std::fs::read_to_string(COSTS).expect("what `make bench` measured");
    let costs: Vec<Cost> = serde_json::from_str(&costs).expect("what `make bench` wrote");
    let requests = std::fs::read_to_string(REQUESTS).expect("what scripts/bench-requests.sh measured");
    let requests: Vec<RequestCost> = serde_json::from_str(&requests).expect("what it wrote");
    let page = page(&costs, &requests);
    if std::env::var_os("TBLB_REWRITE").is_some() {
        std::fs::write(PAGE, page).expect("a page that can be written");
        return;
    }
    let there = std::fs::read_to_string(PAGE).expect("the page");
    assert!(there == page, "docs/algorithms.md is out of date: TBLB_REWRITE=yes cargo test -p tblb-core");
}

fn page(costs: &[Cost], requests: &[RequestCost]) -> String {
    let mut page = format!(
        "# Algorithms\n\nThe algorithms that [tblb](directives/tblb.md) takes. The default is `{}`.\n\n\
         | algorithm | formula | weights (waiting, cache, running) | when to choose it |\n\
         | --- | --- | --- | --- |\n",
        DEFAULT.name
    );
    ALL.iter().for_each(|algorithm| page += &row(algorithm));
    page += EXPLAINED;
    page += REQUEST;
    requests.iter().for_each(|cost| page += &request_row(cost, requests));
    page += COST;
    page += &table(costs, "time of a pick in ns", "pick", |cost| thousands(cost.ns.round() as u64));
    page += &table(costs, "instructions of a pick", "pick", |cost| thousands(cost.instructions));
    page += RESCORING;
    page += &table(costs, "time of a rescoring in µs", "rescore", |cost| format!("{:.2}", cost.ns / 1e3));
    page += &table(costs, "instructions of a rescoring", "rescore", |cost| thousands(cost.instructions));
    page += READING;
    for cost in costs.iter().filter(|cost| cost.group == "page") {
        let Cost { name, ns, instructions, .. } = cost;
        let (size, instructions) = (thousands(cost.size as u64), thousands(*instructions));
        let _ = writeln!(page, "| {name} | {size} | {:.1} | {instructions} |", ns / 1e3);
    }
    page
}

fn row(algorithm: &Algorithm) -> String {
    let Algorithm { name, formula, purpose, weights, rule } = algorithm;
    let weights = match rule {
        Rule::Score(_) => format!("{}, {}, {}", weights.waiting, weights.cache, weights.running),
        Rule::LeastConn | Rule::LeastWork => "–".into(),
    };
    format!("| `{name}` | {formula} | {weights} | {purpose} |\n")
}

fn request_row(cost: &RequestCost, all: &[RequestCost]) -> String {
    let RequestCost { answer, method, servers, instructions, target } = cost;
    let method = match method.as_str() {
        "nginx_least_conn" => "`least_conn`, without the module".into(),
        name => format!("`tblb {name}`"),
    };
    let same = |other: &&RequestCost| other.answer == *answer && other.servers == *servers;
    let yardstick = all.iter().filter(same).find(|other| other.target.is_none()).expect("a yardstick");
    let ratio = *instructions as f64 / yardstick.instructions as f64;
    let target = target.map_or_else(|| "–".into(), |target| format!("{target:.2}"));
    format!("| {answer} | {servers} | {method} | {} | {ratio:.2} | {target} |\n", thousands(*instructions))
}

/// What one group of costs comes to, a line for each name and a column for each size.
fn table(costs: &[Cost], title: &str, group: &str, unit: Unit) -> String {
    let sizes = SIZES.map(|size| format!(" {} nodes |", thousands(size as u64))).concat();
    let mut table = format!("\n| {title} |{sizes}\n| --- |{}\n", " ---: |".repeat(SIZES.len()));
    let mut names: Vec<&str> =
        costs.iter().filter(|cost| cost.group == group).map(|cost| cost.name.as_str()).collect();
    names.dedup();
    for name in names {
        let cost =
            |size| costs.iter().find(|cost| cost.group == group && cost.name == name && cost.size == size);
        let cells = SIZES.map(|size| format!(" {} |", cost(size).map_or_else(|| "–".into(), unit))).concat();
        let _ = writeln!(table, "| {} |{cells}", what(name));
    }
    table
}

/// The name of a cost, as the page has it.
fn what(name: &str) -> String {
    match name {
        "random" => "any score, `pick=random`".into(),
        "least_work_8" => "`least_work`, 8 workers".into(),
        "best" => "any score, `pick=best`".into(),
        name => format!("`{name}`"),
    }
}

/// A number with commas between its thousands.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (left, digit) in (0..digits.len()).rev().zip(digits.chars()) {
        text.push(digit);
        if left > 0 && left % 3 == 0 {
            text.push(',');
        }
    }
    text
}

const EXPLAINED: &str = "
w_a, w_b and w_g are the weights of waiting, cache and running. minmax, precise_cache, precise_running, ratio, smooth and
distribution turn a signal into a value between 0 for the best and 1 for the worst of the servers. The formulas are those of
F5 DevCentral's LLM inference scheduler, and `crates/core/src/algorithm/normalise.rs` explains each. \"By variation\" means that
a signal counts the more, the more the servers differ in it.

A score is at most 1, higher for a better server, and made anew when metrics change, not for each request. What given
metrics come to under every algorithm is shown by `tblb-sim analyze`.
";

const REQUEST: &str = "
## Cost

`make bench` measures what follows. Times are the median by criterion, and instructions are counted by callgrind. Times depend
on the machine and on what else it does; instructions do not.

A request costs nginx the instructions of this table, from the first byte of the request to the last byte of the answer. The
ratio compares them with nginx's own `least_conn`, without the module, in the same run. One client sends one small POST after
the other, all connections are kept, and metrics are off. An answer is either whole, in 0.3 KB with its length, or streamed, in
50 events that nginx reads one by one. The last column is what the project set out to reach; a ratio above it is not reached
yet. `scripts/bench-requests.sh` prints the table in half a minute.

| answer | servers | method | instructions of a request | ratio | set out to reach |
| --- | ---: | --- | ---: | ---: | ---: |
";

const COST: &str = "
A pick is the part of a request in which the core looks up what is known of each server, and chooses one. What the module does
beside the pick is in the table above only: it gathers the servers from nginx, counts what is in flight, and reads the answer.
The scores are there already, so that a pick costs the same with each of the sixteen.
";

const RESCORING: &str = "
A rescoring is what a worker pays for its next request when metrics have changed: it reads the samples and scores all
servers.
";

const READING: &str = "
Reading a page of metrics is what the poller's thread pays for an answer. It stops reading where every signal has been
read.

| page of | bytes | time in µs | instructions |
| --- | ---: | ---: | ---: |
";

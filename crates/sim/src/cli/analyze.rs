//! `tblb-sim analyze`: what each algorithm makes of given metrics.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use tblb_core::config::Block;
use tblb_core::engine::{Choice, Scrape};
use tblb_core::load::{Load, Signal};
use tblb_sim::analysis::{self, Analysis};

use super::{Ended, table};

/// Show each algorithm's scores of given nodes, and the shares of the requests that follow from them.
///
/// Nodes come as JSON on standard input: [{"waiting": 0, "cache": 0.2, "running": 5, "name": "at will"}, …]; a number
/// may be left out as unknown. Or name files, each a page of metrics as an engine answers it.
#[derive(clap::Args)]
pub struct Args {
    /// Pages of metrics in Prometheus text, one a node.
    pages: Vec<PathBuf>,
    /// Directives of an upstream, as in "tblb s2 waiting=0.5 cache=0.5 running=0"; may be repeated. Without it, every
    /// algorithm that scores, with its defaults.
    #[arg(long = "policy", value_parser = Block::parse)]
    policies: Vec<Block>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A node as it is given, and shown again.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: Option<String>,
    waiting: Option<f64>,
    cache: Option<f64>,
    running: Option<f64>,
}

impl Node {
    fn load(&self) -> Load {
        let mut load = Load::default();
        load.set(Signal::Waiting, self.waiting);
        load.set(Signal::Cache, self.cache);
        load.set(Signal::Running, self.running);
        load
    }

    /// Reads a page as the poller does.
    fn from_page(path: &Path) -> Result<Node, String> {
        let place = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let page = std::fs::read(path).map_err(|error| place(&error))?;
        let mut scrape = Scrape::new(Choice::Auto { remembered: None });
        let read = scrape.feed(&page).and_then(|_| scrape.finish());
        let load = read.map_err(|fault| place(&format!("no metrics: {}", fault.name())))?.load;
        let name = Some(path.display().to_string());
        Ok(Node { name, waiting: load.waiting, cache: load.cache, running: load.running })
    }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    nodes: &'a [Node],
    algorithms: &'a [Analysis],
}

/// Analyzes the nodes that are given.
///
/// # Errors
/// Input that is no list of nodes, or a page that no engine answers so.
pub fn run(args: &Args) -> Ended {
    let nodes = if args.pages.is_empty() {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        serde_json::from_str(&text).map_err(|error| format!("standard input: {error}"))?
    } else {
        args.pages.iter().map(|page| Node::from_page(page)).collect::<Result<Vec<_>, _>>()?
    };
    let loads: Vec<Load> = nodes.iter().map(Node::load).collect();
    let blocks: Vec<Block> =
        if args.policies.is_empty() { analysis::algorithms().collect() } else { args.policies.clone() };
    let analyses: Option<Vec<_>> = blocks.iter().map(|block| analysis::analyze(block, &loads)).collect();
    let analyses = analyses.ok_or("too many nodes")?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Answer { nodes: &nodes, algorithms: &analyses })?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", shown(&nodes, &analyses))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A line an algorithm: the score of each node and its share.
fn shown(nodes: &[Node], analyses: &[Analysis]) -> comfy_table::Table {
    let names: Vec<String> = (1..).zip(nodes).map(|(number, node)| node_name(number, node)).collect();
    let mut table = table::new(std::iter::once("score, share").chain(names.iter().map(String::as_str)));
    for analysis in analyses {
        let cells = analysis.scores.iter().zip(&analysis.shares);
        let cells =
            cells.map(|(score, share)| format!("{}, {:.1} %", table::number(*score, 3), share * 100.0));
        table.add_row(std::iter::once(analysis.algorithm.to_owned()).chain(cells));
    }
    table
}

fn node_name(number: usize, node: &Node) -> String {
    node.name.clone().unwrap_or_else(|| format!("node {number}"))
}

//! `tblb-sim score`: scores cases.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tblb_core::algorithm::{Algorithm, Nodes, Params, Weights};

use super::Ended;

/// Read cases as JSON lines on standard input and print each with its scores.
///
/// A case: {"algorithm": "s1", "nodes": [{"waiting": 0, "cache": 0.2, "running": 5}, …]}, and at will "w_a", "w_b",
/// "w_g", "transition_point", "steepness" and "power" (else the algorithm's defaults). The weights are taken as
/// they are.
#[derive(clap::Args)]
pub struct Args {}

/// What a case says. All that it says beside goes into the answer as it is.
#[derive(Deserialize, Serialize)]
struct Case {
    algorithm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    w_a: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    w_b: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    w_g: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transition_point: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steepness: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    power: Option<f64>,
    nodes: Vec<Node>,
    #[serde(default)]
    scores: Option<Vec<f64>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize, Serialize)]
struct Node {
    waiting: f64,
    cache: f64,
    running: f64,
}

impl Case {
    fn score(&mut self) -> Result<(), String> {
        let named = Algorithm::by_name(&self.algorithm);
        let algorithm = named.ok_or_else(|| format!("unknown algorithm \"{}\"", self.algorithm))?;
        let default = Params::new(algorithm.weights);
        let params = Params {
            weights: Weights {
                waiting: self.w_a.unwrap_or(default.weights.waiting),
                cache: self.w_b.unwrap_or(default.weights.cache),
                running: self.w_g.unwrap_or(default.weights.running),
            },
            transition_point: self.transition_point.unwrap_or(default.transition_point),
            steepness: self.steepness.unwrap_or(default.steepness),
            power: self.power.unwrap_or(default.power),
        };
        let mut nodes = Nodes::with_capacity(self.nodes.len());
        self.nodes.iter().for_each(|node| nodes.push(node.waiting, node.cache, node.running));
        let mut scores = vec![0.0; nodes.len()];
        self.scores = algorithm.score(&params, &mut nodes, &mut scores).then_some(scores);
        Ok(())
    }
}

/// Scores the cases on standard input.
///
/// # Errors
/// The first line that is no case, or names no algorithm.
pub fn run(_: &Args) -> Ended {
    let mut out = io::stdout().lock();
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let place = |error: String| format!("line {}: {error}", number + 1);
        let mut case: Case = serde_json::from_str(&line).map_err(|error| place(error.to_string()))?;
        case.score().map_err(place)?;
        serde_json::to_writer(&mut out, &case)?;
        out.write_all(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

//! Counts the instructions of what core.rs has timed, under valgrind's callgrind, and puts both into
//! docs/results/bench.json, of which the documentation is made.

mod cases;

use cases::Case;
use serde::Serialize;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the costs go.
const COSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results/bench.json");

/// How often a case is repeated while instructions are counted.
const ROUNDS: u32 = 20;

/// What a case costs.
#[derive(Serialize)]
struct Cost {
    group: &'static str,
    name: &'static str,
    size: usize,
    /// The median time.
    ns: f64,
    instructions: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    // With an argument this is the process under callgrind.
    let arguments: Vec<String> = std::env::args().collect();
    let cases = cases::all();
    if let Some([_, number]) = arguments.windows(2).find(|words| words[0] == "--count") {
        let case = cases.get(number.parse::<usize>()?).ok_or("no such case")?;
        let mut step = (case.step)(case);
        step();
        count_these_rounds(&mut *step);
        return Ok(());
    }
    let costs: Result<Vec<_>, _> =
        cases.iter().enumerate().map(|(number, case)| cost(number, case)).collect();
    let lines: Result<Vec<_>, _> = costs?.iter().map(serde_json::to_string).collect();
    std::fs::write(COSTS, format!("[\n{}\n]\n", lines?.join(",\n")))?;
    Ok(())
}

/// Callgrind counts from where this is entered to where it is left.
#[inline(never)]
fn count_these_rounds(step: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        step();
    }
}

fn cost(number: usize, case: &Case) -> Result<Cost, Box<dyn Error>> {
    let Case { group, name, size, .. } = *case;
    let (ns, instructions) = (median(case)?, instructions(number)?);
    println!("{group} {name} {size}: {ns:.1} ns, {instructions} instructions");
    Ok(Cost { group, name, size, ns, instructions })
}

/// Where criterion keeps what it measured: beside the directory of the profile.
fn criterion() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("not in cargo's target directory")?;
    Ok(target.join("criterion"))
}

fn median(case: &Case) -> Result<f64, Box<dyn Error>> {
    let directory = criterion()?.join(case.group).join(case.name).join(case.size.to_string());
    let file = directory.join("new").join("estimates.json");
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("{}: {error}: run the benchmark \"core\" before", file.display()))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    estimates["median"]["point_estimate"].as_f64().ok_or_else(|| "criterion gives no median".into())
}

fn instructions(number: usize) -> Result<u64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*count_these_rounds*"])
        .arg(Path::new(&std::env::current_exe()?))
        .args(["--count", &number.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(collected) if output.status.success() => Ok(collected / u64::from(ROUNDS)),
        _ => Err(said.into()),
    }
}

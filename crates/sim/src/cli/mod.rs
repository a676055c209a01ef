//! The command line: one file a subcommand.

mod analyze;
mod demo;
mod engine;
mod fleets;
mod live;
mod load;
mod nginx;
mod progress;
mod replay;
mod results;
mod run;
mod score;
mod signals;
mod soak;
mod study;
mod table;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a subcommand ends with.
type Ended = Result<ExitCode, Box<dyn Error>>;

/// A simulator, mock inference engines, a load client and a demonstration for tblb.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Fleets(fleets::Args),
    Results(results::Args),
    Engine(engine::Args),
    Score(score::Args),
    Analyze(analyze::Args),
    Load(load::Args),
    Demo(demo::Args),
    Live(live::Args),
    Soak(soak::Args),
    Replay(replay::Args),
}

/// Reads the arguments and runs the subcommand.
pub fn run() -> Ended {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Fleets(args) => fleets::run(&args),
        Command::Results(args) => results::run(&args),
        Command::Engine(args) => engine::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Live(args) => live::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Replay(args) => replay::run(&args),
    }
}

//! `tblb-sim`: the simulator, the mock engine, a load client and a demonstration.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tblb-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

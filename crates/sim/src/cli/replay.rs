//! `tblb-sim replay`: makes picks of nginx again.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tblb_core::picker::Picked;
use tblb_sim::replay::{Difference, replay};

use super::Ended;

/// Make the picks again that nginx wrote down by `tblb_record`, and show those that come out otherwise.
///
/// Ends with 1 if there is any.
#[derive(clap::Args)]
pub struct Args {
    /// Files that nginx wrote.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Replays the files.
///
/// # Errors
/// A file that cannot be read, or a line that is no record.
pub fn run(args: &Args) -> Ended {
    let mut out = io::stdout().lock();
    let mut all_same = true;
    for file in &args.files {
        let place = |error: io::Error| format!("{}: {error}", file.display());
        let replayed = replay(BufReader::new(File::open(file).map_err(place)?)).map_err(place)?;
        for difference in &replayed.differences {
            writeln!(out, "{}:{}", file.display(), shown(difference))?;
        }
        let (picks, differ) = (replayed.records.len(), replayed.differences.len());
        writeln!(out, "{}: {picks} picks, {differ} come out otherwise", file.display())?;
        all_same &= differ == 0;
    }
    Ok(if all_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(difference: &Difference) -> String {
    let pick = |picked: Picked| format!("{} ({})", picked.index, picked.reason.name());
    let Difference { line, record, here } = difference;
    let here = here.map_or("none".to_owned(), pick);
    format!("{line}: upstream {}: nginx picked {}, here {here}", record.upstream, pick(record.picked))
}

//! `tblb-sim soak`: nginx under load and random faults for a long time.

mod report;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tblb_sim::soak::{House, Room, Sample, Setting, Tally, Usage, files, grave};
use tokio::time::{Instant, sleep};

use super::nginx::NginxArgs;
use super::{Ended, engine, progress, signals};

/// How often it is looked at what nginx holds in a storm.
const PEAKS: Duration = Duration::from_millis(500);

/// Put two nginx under load and random faults, and see whether memory, descriptors or threads grow.
///
/// The workers of the first live as long as the soak; the second is reloaded and its workers are killed. Both are before
/// the same three mock engines, which break, hang, die and come back. Each storm is followed by a rest, in which nginx
/// must become as it was, and only then it is measured. Fails if a slope is beyond its bound, if a request failed that no
/// fault of its storm explains, if nginx logged at crit, alert or emerg, or if a checker found something.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    nginx: NginxArgs,
    /// How long
    #[arg(long, value_name = "M", default_value = "30", value_parser = engine::positive)]
    minutes: f64,
    /// Requests a second to each nginx, beside those of bursts and those that are aborted
    #[arg(long, value_name = "R", default_value = "100", value_parser = engine::positive)]
    rate: f64,
    /// Fixes the faults, their times and the requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write what each process held at each rest to this file, as CSV
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a checker that nginx runs under writes what it finds. Its memory is not nginx's, so no memory is judged
    #[arg(long, value_name = "DIRECTORY")]
    findings: Option<PathBuf>,
}

/// What was seen of one nginx.
#[derive(Default)]
struct Seen {
    samples: Vec<Sample>,
    /// The most that all of its processes held together, each for itself.
    peak: Usage,
    /// When it did not become as it was, and why.
    unrest: Vec<String>,
    /// What it logged that it should not.
    grave: Vec<String>,
}

/// All that came of a soak.
struct Soaked {
    seen: [Seen; 2],
    tallies: [Tally; 2],
    /// What a checker wrote.
    findings: Vec<String>,
    took: Duration,
}

/// Soaks and prints what came of it.
///
/// # Errors
/// A process does not start, an engine does not come back, or a file cannot be read or written.
pub fn run(args: &Args) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let soaked = runtime.block_on(async {
        let signal = signals::ended()?;
        tokio::select! {
            soaked = soak(args) => soaked,
            // Dropping the house ends its processes.
            () = signal => Err(io::Error::other("ended by a signal")),
        }
    })?;
    if let Some(path) = &args.out {
        std::fs::write(path, csv(&soaked))?;
    }
    let failures = report::failures(&soaked, args.findings.is_none());
    writeln!(io::stdout(), "{}", report::text(&soaked))?;
    for failure in &failures {
        writeln!(io::stdout(), "FAILED: {failure}")?;
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn soak(args: &Args) -> io::Result<Soaked> {
    let NginxArgs { nginx, module, .. } = &args.nginx;
    let setting = Setting { nginx: nginx.clone(), module: module.clone(), rate: args.rate };
    let house = House::start(&setting, args.seed)?;
    let span = Duration::from_secs_f64(args.minutes * 60.0);
    let bar = progress::bar("soak", span.as_secs() as usize, "seconds");
    let (mut seen, mut tallies) = (<[Seen; 2]>::default(), <[Tally; 2]>::default());
    let since = Instant::now();
    futures_util::future::join_all(house.rooms.iter().map(Room::let_each_poll)).await;
    rest(&house, &mut seen, since).await;
    for round in 0.. {
        if since.elapsed() >= span {
            break;
        }
        tokio::select! {
            stormed = house.storm(round, &mut tallies) => stormed?,
            () = watch_peaks(&house, &mut seen) => {}
        }
        rest(&house, &mut seen, since).await;
        bar.set_position(since.elapsed().as_secs().min(span.as_secs()));
    }
    let took = since.elapsed();
    for (room, seen) in house.rooms.iter().zip(&mut seen) {
        let log = room.nginx().error_log();
        seen.grave = grave(&log, &room.killed()).into_iter().map(str::to_owned).collect();
    }
    // Checkers report what was not freed when a process ends.
    drop(house);
    bar.finish();
    let findings = args.findings.as_deref().map_or(Ok(Vec::new()), files)?;
    Ok(Soaked { seen, tallies, findings, took })
}

/// Waits until both rest, and measures them.
async fn rest(house: &House, seen: &mut [Seen; 2], since: Instant) {
    let rested = futures_util::future::join_all(house.rooms.iter().map(|room| room.rest(since))).await;
    for (rested, seen) in rested.into_iter().zip(seen) {
        match rested {
            Ok(sample) => seen.samples.push(sample),
            Err(why) => seen.unrest.push(format!("{why}, {} s after the start", since.elapsed().as_secs())),
        }
    }
}

async fn watch_peaks(house: &House, seen: &mut [Seen; 2]) {
    loop {
        for (room, seen) in house.rooms.iter().zip(seen.iter_mut()) {
            see_peak(room, &mut seen.peak);
        }
        sleep(PEAKS).await;
    }
}

fn see_peak(room: &Room, peak: &mut Usage) {
    let Some(now) = room.sample(Duration::ZERO).map(|sample| sample.all()) else { return };
    *peak = Usage {
        rss: peak.rss.max(now.rss),
        descriptors: peak.descriptors.max(now.descriptors),
        threads: peak.threads.max(now.threads),
        pollers: peak.pollers.max(now.pollers),
    };
}

fn csv(soaked: &Soaked) -> String {
    let mut text = "seconds,nginx,process,pid,rss_kib,descriptors,threads\n".to_owned();
    for (seen, name) in soaked.seen.iter().zip(report::NAMES) {
        for sample in &seen.samples {
            let mut row = |process: &str, pid: u32, usage: &Usage| {
                let Usage { rss, descriptors, threads, .. } = usage;
                let at = sample.at.as_secs_f64();
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{at:.1},{name},{process},{pid},{rss},{descriptors},{threads}");
            };
            row("master", sample.pid, &sample.master);
            sample.workers.iter().for_each(|(pid, usage)| row("worker", *pid, usage));
        }
    }
    text
}

//! `tblb-sim live`: pools of mock engines behind nginx in real time, policies side by side, against the simulator.

mod page;
mod report;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::future::try_join_all;
use rayon::prelude::*;
use tblb_sim::client::Outcome;
use tblb_sim::live::{Cpu, Lateness, MEASURES, Point, Room, Setting, Times, values};
use tblb_sim::scenario::Scenario;
use tblb_sim::study::Named;

use super::nginx::NginxArgs;
use super::run::count;
use super::{Ended, engine, progress, signals};
use report::Report;

/// The published pools, each at five of its published concurrencies, from where nothing waits to where all wait.
const POOLS: [&str; 2] = ["hetero:10,50,100,200,400", "homogeneous:40,80,120,160,200"];

/// Play pools of mock engines behind nginx in real time under policies, side by side, and compare with the simulator.
///
/// Each policy has an nginx and engines of its own; all policies of a point play at the same time, so what else the
/// machine does hits them alike, and one point of each pool at a time. The requests are those of the simulator's seed.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    nginx: NginxArgs,
    /// Pools and the numbers of clients to play them at
    #[arg(value_name = "SCENARIO:N,…", value_parser = Pool::parse, default_values = POOLS)]
    pools: Vec<Pool>,
    /// A policy, as `run` takes it, if nginx knows it too; the first one is what the others are compared with
    #[arg(long = "policy", value_name = "DIRECTIVE", value_parser = Named::parse,
        default_values = ["tblb least_conn", "tblb least_work"])]
    policies: Vec<Named>,
    /// For how long requests are measured, in seconds; their number follows from the simulator
    #[arg(long, value_name = "S", default_value = "100", value_parser = engine::positive)]
    seconds: f64,
    /// For how long requests come before those, not measured
    #[arg(long, value_name = "S", default_value = "25", value_parser = engine::positive)]
    warmup: f64,
    /// How many times as fast as real ones the mock engines run; all seconds and times are theirs
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = engine::positive)]
    speed: f64,
    /// Fixes the requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Runs of the simulator at each point, from that seed on
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    seeds: usize,
    /// Write the page of results to this file; the last one that is given counts
    #[arg(long, value_name = "FILE", overrides_with = "out")]
    out: Option<PathBuf>,
}

/// A pool and the numbers of clients to play it at.
#[derive(Debug, Clone)]
struct Pool {
    scenario: Scenario,
    clients: Vec<usize>,
}

impl Pool {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, clients) =
            text.rsplit_once(':').ok_or("expected a scenario and clients as in hetero:10,50")?;
        let clients = clients.split(',').map(count).collect::<Result<_, _>>()?;
        Ok(Self { scenario: Scenario::load(name)?, clients })
    }
}

/// The values of [`MEASURES`].
type Values = [Option<f64>; MEASURES.len()];

/// A point and what came of it.
struct Played {
    point: Point,
    /// What the simulator says: for each policy, at each seed.
    simulated: Vec<Vec<Values>>,
    /// What the clients saw under each policy.
    live: Vec<Outcome>,
    /// The shares of the CPUs' time, 0 to 1, that were busy meanwhile: in all, and with clients, nginx and engines.
    busy: Option<(f64, f64)>,
    /// How late the load client woke, in ms: the 99th percentile.
    late: Option<f64>,
}

impl Played {
    /// What the requests took that were measured under this policy.
    fn times(&self, policy: usize, speed: f64) -> Vec<Times> {
        let answered = self.live[policy].answered();
        answered.map(|record| Times::live(record, self.point.warmup, speed)).collect()
    }
}

/// Plays all points and prints what came of them. A failed request makes it a failure, and then no page is written.
///
/// # Errors
/// A pool cannot be played, a process does not start, or nginx refuses a policy.
pub fn run(args: &Args) -> Ended {
    let mut rounds = args.rounds()?;
    simulate(args, &mut rounds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signal = signals::ended()?;
        tokio::select! {
            played = play_all(args, &mut rounds) => played,
            // Dropping the rooms ends their processes.
            () = signal => Err("ended by a signal".into()),
        }
    })?;
    let mut played: Vec<Played> = rounds.into_iter().flatten().collect();
    let place = |played: &Played| {
        (
            args.pools.iter().position(|pool| pool.scenario.name == played.point.pool.name),
            played.point.clients,
        )
    };
    played.sort_by_key(place);
    let report = Report::of(args, &played);
    writeln!(io::stdout(), "{}", report.text())?;
    let failures = report::failures(args, &played);
    if !failures.is_empty() {
        writeln!(io::stdout(), "{}", failures.join("\n"))?;
        return Ok(ExitCode::FAILURE);
    }
    if let Some(path) = &args.out {
        std::fs::write(path, page::text(args, &played, &report)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The points that are played at the same time, one of each pool. The clients of every other pool are taken from the
    /// last to the first, so that rounds are about equally heavy where pools name them in ascending order.
    fn rounds(&self) -> Result<Vec<Vec<Played>>, String> {
        let count = self.pools.iter().map(|pool| pool.clients.len()).max().unwrap_or(0);
        let mut rounds: Vec<Vec<Played>> = (0..count).map(|_| Vec::new()).collect();
        for (index, Pool { scenario, clients }) in self.pools.iter().enumerate() {
            let mut clients = clients.clone();
            if index % 2 == 1 {
                clients.reverse();
            }
            for (round, clients) in rounds.iter_mut().zip(clients) {
                let spans = (self.warmup, self.seconds);
                let point = Point::lasting(scenario, clients, &self.policies[0].rule, spans, self.speed)?;
                round.push(Played { point, simulated: Vec::new(), live: Vec::new(), busy: None, late: None });
            }
        }
        Ok(rounds)
    }

    fn setting(&self) -> Setting {
        let NginxArgs { nginx, module, .. } = &self.nginx;
        Setting { nginx: nginx.clone(), module: module.clone(), speed: self.speed, seed: self.seed }
    }
}

/// Runs the simulator at all points; before they are played, so that it takes nothing away from them.
fn simulate(args: &Args, rounds: &mut [Vec<Played>]) {
    let runs = rounds.iter().map(Vec::len).sum::<usize>() * args.policies.len() * args.seeds;
    let bar = progress::bar("simulate", runs, "runs");
    rounds.iter_mut().flatten().collect::<Vec<_>>().into_par_iter().for_each(|played| {
        let of_policy = |policy: &Named| {
            let seeds = (args.seed..).take(args.seeds).collect::<Vec<_>>();
            let of_seed = |&seed: &u64| {
                let values = values(&played.point.simulate(&policy.rule, seed));
                bar.inc(1);
                values
            };
            seeds.par_iter().map(of_seed).collect()
        };
        played.simulated = args.policies.par_iter().map(of_policy).collect();
    });
    bar.finish_and_clear();
}

async fn play_all(args: &Args, rounds: &mut [Vec<Played>]) -> Result<(), Box<dyn std::error::Error>> {
    let setting = args.setting();
    for round in rounds {
        play(args, &setting, round).await?;
    }
    Ok(())
}

/// Plays one round: its points under all policies at the same time.
async fn play(args: &Args, setting: &Setting, round: &mut [Played]) -> io::Result<()> {
    let what = round.iter().map(|Played { point, .. }| format!("{} {}", point.pool.name, point.clients));
    let requests: usize = round.iter().map(|Played { point, .. }| point.warmup + point.requests).sum();
    let bar = progress::bar(&what.collect::<Vec<_>>().join(", "), requests * args.policies.len(), "requests");
    let mut rooms = Vec::new();
    for Played { point, .. } in &*round {
        for policy in &args.policies {
            rooms.push((point, Room::start(setting, point, &policy.text)?));
        }
    }
    let before = Cpu::now();
    let mut lateness = Lateness::default();
    let all =
        rooms.iter().map(|(point, room)| room.play(setting, point, |record| progress::count(&bar, record)));
    let mut outcomes = tokio::select! {
        outcomes = try_join_all(all) => outcomes?.into_iter(),
        never = lateness.watch() => match never {},
    };
    drop(rooms);
    bar.finish();
    let busy = Option::zip(before, Cpu::now()).map(|(before, now)| now.busy_since(&before));
    for played in round {
        played.live = outcomes.by_ref().take(args.policies.len()).collect();
        played.busy = busy;
        played.late = lateness.ms().map(|ms| ms.p99);
    }
    Ok(())
}

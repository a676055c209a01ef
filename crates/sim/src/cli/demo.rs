//! `tblb-sim demo`: the same load through nginx with one policy after another, in front of unequal engines.

mod report;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use tblb_sim::client::{self, Load, Options, Outcome};
use tblb_sim::demo::{self, EngineProcess, Nginx, PeerRow, Site, peers};
use tokio::sync::Notify;

use super::nginx::NginxArgs;
use super::{Ended, engine, progress, signals};

/// What the demonstration's engines are: unequal as real fleets are. A 4-GPU node, a 1-GPU node, and an older 1-GPU
/// node with little memory left for its KV cache (6,400 tokens), which queues before the others do; least_conn sends
/// it as many concurrent requests as any other.
const ENGINES: &[(&str, f64, Option<u32>)] =
    &[("4gpu-tp", 1.0, None), ("1gpu", 1.0, None), ("1gpu", 0.6, Some(400))];

/// The policies that are compared: the first is what the others are measured against.
const POLICIES: &[&str] = &["tblb least_conn;", "tblb;"];

/// What stands in for them where nginx has no module: the machinery without its subject.
const PLAIN_POLICIES: &[&str] = &["least_conn;", "random;"];

/// An answer of the status page is a matter of milliseconds.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// Show what tblb does: unequal mock engines behind nginx, the same streamed load with least_conn and with tblb
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    nginx: NginxArgs,
    /// The upstream's directives of one run, instead of `tblb least_conn;` and `tblb;`; the first is the yardstick
    #[arg(long = "policy", value_name = "DIRECTIVES")]
    policies: Vec<String>,
    /// How often the engines are polled [default: 1s divided by the speed]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// How many times as fast as real ones the mock engines run
    #[arg(long, value_name = "FACTOR", default_value = "4", value_parser = engine::positive)]
    speed: f64,
    /// Clients that each send their next request when their last one is done
    #[arg(long, value_name = "N", default_value_t = 40)]
    concurrency: usize,
    /// Requests of a run
    #[arg(long, value_name = "N", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Requests before those, not measured
    #[arg(long, value_name = "N", default_value_t = 40)]
    warmup: usize,
    /// Fixes the requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The base URL of a running engine, instead of the mock engines
    #[arg(long = "engine", value_name = "URL")]
    engines: Vec<String>,
    /// The model that the engines serve
    #[arg(long, value_name = "NAME", default_value = "mock")]
    model: String,
    /// Another load client to run instead of the built-in one; {url} stands for nginx's URL
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// One run with one policy.
struct Run {
    policy: String,
    /// What the built-in client measured; `None` if another one was run.
    outcome: Option<Outcome>,
    /// The status at about three quarters of the run, while everybody is busy.
    status: Option<Vec<PeerRow>>,
    /// The engines' addresses, in their order.
    servers: Vec<String>,
}

/// Runs every policy and prints the comparison. A failed request makes it a failure.
pub fn run(args: &Args) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signal = signals::ended()?;
        tokio::select! {
            ended = all_runs(args) => ended,
            // Dropping the runs ends their processes.
            () = signal => Err("ended by a signal".into()),
        }
    })
}

async fn all_runs(args: &Args) -> Ended {
    let mut runs = Vec::new();
    for policy in args.policies() {
        runs.push(one_run(args, policy).await?);
    }
    writeln!(io::stdout(), "{}", report::all(args, &runs))?;
    let failed =
        runs.iter().filter_map(|run| run.outcome.as_ref()).any(|outcome| !outcome.errors().is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Args {
    fn policies(&self) -> Vec<String> {
        let default = if self.nginx.plain { PLAIN_POLICIES } else { POLICIES };
        if self.policies.is_empty() {
            default.iter().map(|&policy| policy.to_owned()).collect()
        } else {
            self.policies.clone()
        }
    }

    fn site(&self, policy: &str, servers: &[String]) -> Site {
        let interval =
            self.interval.clone().unwrap_or_else(|| format!("{:.0}ms", 1000.0 / self.mock_speed()));
        let polled =
            if self.nginx.plain { String::new() } else { format!(" tblb_metrics interval={interval};") };
        Site {
            nginx: self.nginx.nginx.clone(),
            module: self.nginx.module.clone(),
            method: format!("{policy}{polled}"),
            servers: servers.to_vec(),
            keepalive: self.concurrency,
            status: !self.nginx.plain,
        }
    }

    /// Real engines run at their own speed.
    fn mock_speed(&self) -> f64 {
        if self.engines.is_empty() { self.speed } else { 1.0 }
    }

    fn options(&self, url: String) -> Options {
        Options {
            model: self.model.clone(),
            load: Load::Closed { concurrency: self.concurrency },
            requests: self.requests as usize,
            warmup: self.warmup,
            seed: self.seed,
            ..Options::new(url)
        }
    }

    /// Fresh engines for one run.
    fn start_engines(&self) -> io::Result<Vec<EngineProcess>> {
        let binary = std::env::current_exe()?;
        let start = |(seed, &(preset, relative, kv_blocks)): (usize, &(&str, f64, Option<u32>))| {
            let speed = (self.speed * relative).to_string();
            let seed = (self.seed + seed as u64).to_string();
            let mut args: Vec<String> =
                ["--preset", preset, "--speed", &speed, "--seed", &seed, "--model", &self.model]
                    .map(str::to_owned)
                    .into();
            if let Some(blocks) = kv_blocks {
                args.extend(["--kv-blocks".to_owned(), blocks.to_string()]);
            }
            EngineProcess::start(&binary, &args)
        };
        ENGINES.iter().enumerate().map(start).collect()
    }
}

async fn one_run(args: &Args, policy: String) -> Result<Run, Box<dyn Error>> {
    let mocks = if args.engines.is_empty() { args.start_engines()? } else { Vec::new() };
    let urls = mocks.iter().map(EngineProcess::url).chain(args.engines.iter().map(String::as_str));
    let servers = urls.map(demo::server).collect::<Result<Vec<_>, _>>()?;
    let nginx = Nginx::start(&args.site(&policy, &servers))?;
    let (outcome, status) = if args.command.is_empty() {
        let (outcome, status) = with_client(args, &policy, &nginx).await?;
        (Some(outcome), status)
    } else {
        (None, with_command(args, &nginx).await?)
    };
    Ok(Run { policy, outcome, status, servers })
}

async fn with_client(
    args: &Args,
    policy: &str,
    nginx: &Nginx,
) -> Result<(Outcome, Option<Vec<PeerRow>>), Box<dyn Error>> {
    let options = args.options(nginx.url());
    let all = options.requests + options.warmup;
    let bar = progress::bar(policy, all, "requests");
    let three_quarters = Notify::new();
    let mut ended = 0;
    let load = client::run(&options, |record| {
        progress::count(&bar, record);
        ended += 1;
        if ended * 4 >= all * 3 {
            three_quarters.notify_one();
        }
    });
    let look = async {
        three_quarters.notified().await;
        status(args, nginx).await
    };
    let measured = tokio::try_join!(async { load.await.map_err(Box::<dyn Error>::from) }, look)?;
    bar.finish();
    Ok(measured)
}

/// Runs another client, and keeps the busiest status that was seen meanwhile.
async fn with_command(args: &Args, nginx: &Nginx) -> Result<Option<Vec<PeerRow>>, Box<dyn Error>> {
    let mut words = args.command.iter().map(|word| word.replace("{url}", &nginx.url()));
    let program = words.next().unwrap_or_default();
    let mut client = tokio::process::Command::new(&program).args(words).kill_on_drop(true).spawn()?;
    let mut busiest = None;
    let mut most = 0;
    loop {
        tokio::select! {
            ended = client.wait() => {
                let ended = ended?;
                return if ended.success() { Ok(busiest) } else { Err(format!("{program} failed: {ended}").into()) };
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                let status = status(args, nginx).await?;
                let in_flight = status.iter().flatten().map(|row| row.in_flight).sum();
                if in_flight >= most {
                    (most, busiest) = (in_flight, status);
                }
            }
        }
    }
}

async fn status(args: &Args, nginx: &Nginx) -> Result<Option<Vec<PeerRow>>, Box<dyn Error>> {
    if args.nginx.plain {
        return Ok(None);
    }
    let (status, body) = client::get(&format!("{}/tblb?format=json", nginx.url()), STATUS_TIMEOUT).await?;
    match status {
        200 => Ok(Some(peers(&body)?)),
        _ => Err(format!("the status page answered {status}").into()),
    }
}

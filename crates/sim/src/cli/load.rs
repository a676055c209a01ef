//! `tblb-sim load`: a load client.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use tblb_sim::client::{self, Endpoint, Load, Options, Outcome};
use tblb_sim::summary::Summary;

use super::{Ended, engine, progress, signals, table};

/// Send streaming completions to an engine or a balancer and measure TTFT, TPOT and the whole time
#[derive(clap::Args)]
pub struct Args {
    /// The base URL, before /v1
    #[arg(value_name = "URL")]
    url: String,
    /// Clients that each send their next request when their last one is done
    #[arg(long, value_name = "N", default_value_t = 16, conflicts_with = "rate")]
    concurrency: usize,
    /// Requests a second at random times (Poisson), whatever becomes of those before
    #[arg(long, value_name = "R", value_parser = engine::positive)]
    rate: Option<f64>,
    /// Requests to measure; their lengths are those of ShareGPT
    #[arg(long, value_name = "N", default_value_t = 200)]
    requests: usize,
    /// Requests to send before those, not measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    warmup: usize,
    /// Fixes the lengths and times of the requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Ask /v1/chat/completions instead of /v1/completions
    #[arg(long)]
    chat: bool,
    /// The name of the model
    #[arg(long, value_name = "NAME", default_value = "mock")]
    model: String,
    /// The longest that a request may take, in seconds
    #[arg(long, value_name = "S", default_value = "120", value_parser = engine::positive)]
    timeout: f64,
    /// The response header that names the upstream server
    #[arg(long, value_name = "NAME", default_value = "X-Upstream")]
    upstream_header: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn options(&self) -> Options {
        let load = match self.rate {
            Some(rate) => Load::Open { rate },
            None => Load::Closed { concurrency: self.concurrency },
        };
        Options {
            endpoint: if self.chat { Endpoint::Chat } else { Endpoint::Completions },
            model: self.model.clone(),
            load,
            requests: self.requests,
            warmup: self.warmup,
            seed: self.seed,
            timeout: Duration::from_secs_f64(self.timeout),
            upstream_header: self.upstream_header.clone(),
            ..Options::new(&self.url)
        }
    }
}

/// Runs the load. A request that failed makes it a failure.
pub fn run(args: &Args) -> Ended {
    let options = args.options();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let signal = signals::ended()?;
        let bar = progress::bar("load", options.requests + options.warmup, "requests");
        tokio::select! {
            outcome = client::run(&options, |record| progress::count(&bar, record)) => Ok(outcome?),
            () = signal => Err(Box::<dyn std::error::Error>::from("ended before all requests were sent")),
        }
    })?;
    let text = if args.json { outcome.json().to_string() } else { report(&outcome) };
    writeln!(io::stdout(), "{text}")?;
    Ok(if outcome.errors().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(outcome: &Outcome) -> String {
    let mut times = table::new(["ms", "mean", "median", "P99"]);
    let row = |name: &str, summary: Option<Summary>| {
        let of = |part: fn(Summary) -> f64| table::number(summary.map(part), 1);
        [name.to_owned(), of(|ms| ms.mean), of(|ms| ms.p50), of(|ms| ms.p99)]
    };
    times.add_row(row("TTFT", outcome.ttft_ms()));
    times.add_row(row("TPOT", outcome.tpot_ms()));
    times.add_row(row("E2E", outcome.e2e_ms()));
    let mut lines = vec![times.to_string()];
    lines.push(format!("{} answered in {:.1} s", outcome.answered().count(), outcome.took.as_secs_f64()));
    lines.extend(
        outcome.shares().iter().map(|(upstream, share)| format!("{upstream}: {:.1} %", share * 100.0)),
    );
    lines.extend(outcome.errors().iter().map(|(error, count)| format!("failed, {error}: {count}")));
    lines.join("\n")
}

//! A policy with an nginx and engines of its own, and the load on it.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;

use super::Point;
use crate::client::{self, Load, Options, Outcome, Record};
use crate::demo::{EngineProcess, Nginx, Site, server};
use crate::random::{Purpose, derive};

/// The load begins so many seconds of the engines' time after them, their direct requests and the polls, as it does in
/// the simulator.
const LEAD: f64 = 10.0;

/// Direct requests to a node that follow each other without a break: more than a run has time for.
const DIRECT: usize = 20_000;

/// Requests take seconds; one that takes this long, in seconds of the engines' time, is lost.
const TIMEOUT: f64 = 600.0;

/// What is the same in all rooms.
#[derive(Debug, Clone)]
pub struct Setting {
    /// nginx's binary.
    pub nginx: PathBuf,
    /// The module to load, if any.
    pub module: Option<PathBuf>,
    /// How many times as fast as the model the engines run.
    pub speed: f64,
    /// Fixes the requests and the noise of the engines, to the same as in the simulator.
    pub seed: u64,
}

/// A policy with an nginx and engines of its own, all of which end when this is dropped.
#[derive(Debug)]
pub struct Room {
    engines: Vec<EngineProcess>,
    nginx: Nginx,
}

impl Room {
    /// Starts the pool's engines, and nginx before them. `policy` is what stands in the upstream block, as
    /// `tblb-sim run --policy` takes it.
    ///
    /// # Errors
    /// A process does not start, or nginx refuses the policy.
    pub fn start(setting: &Setting, point: &Point, policy: &str) -> io::Result<Self> {
        let binary = std::env::current_exe()?;
        let engine = |(index, group): (u64, &crate::scenario::NodeGroup)| {
            let speed = (group.speed * setting.speed).to_string();
            let seed = derive(setting.seed, Purpose::Node, index).to_string();
            EngineProcess::start(&binary, ["--preset", &group.node_type, "--speed", &speed, "--seed", &seed])
        };
        let engines = (0..).zip(point.pool.each_node()).map(engine).collect::<io::Result<Vec<_>>>()?;
        let servers = engines.iter().map(|engine| server(engine.url())).collect::<Result<_, _>>();
        let nginx = Nginx::start(&Site {
            nginx: setting.nginx.clone(),
            module: setting.module.clone(),
            method: setting.method(policy, point.pool.proxy.interval),
            servers: servers.map_err(io::Error::other)?,
            keepalive: point.clients,
            status: false,
        })?;
        Ok(Self { engines, nginx })
    }

    /// Plays the point: the lead, the warm-up, what is measured. Calls `on_record` at each end of a request.
    ///
    /// # Errors
    /// A request that went to an engine directly failed. Those through nginx are counted in the outcome.
    pub async fn play(
        &self,
        setting: &Setting,
        point: &Point,
        on_record: impl FnMut(&Record),
    ) -> io::Result<Outcome> {
        let lead = Duration::from_secs_f64(LEAD / setting.speed);
        let options = Options {
            requests: point.requests,
            warmup: point.warmup,
            seed: derive(setting.seed, Purpose::Lengths, 0),
            ..setting.options(&self.nginx.url(), point.clients)
        };
        let load = async {
            tokio::time::sleep(lead).await;
            client::run(&options, on_record).await
        };
        let failed = Cell::new(0);
        let nodes = (0..).zip(&self.engines).zip(point.pool.each_node());
        let with_direct = nodes.filter(|(_, group)| group.background > 0);
        let direct = with_direct.map(|((index, engine), group)| {
            let seed = derive(setting.seed, Purpose::Background, index);
            let options =
                Options { requests: DIRECT, seed, ..setting.options(engine.url(), group.background) };
            keep_busy(options, &failed)
        });
        let direct = async {
            join_all(direct).await;
            std::future::pending::<Infallible>().await
        };
        let outcome = tokio::select! {
            outcome = load => outcome.map_err(io::Error::other)?,
            never = direct => match never {},
        };
        match failed.get() {
            0 => Ok(outcome),
            failed => {
                Err(io::Error::other(format!("{failed} requests failed that went to engines directly")))
            }
        }
    }
}

/// Sends an engine one request after another, for ever.
async fn keep_busy(mut options: Options, failed: &Cell<usize>) -> io::Result<Infallible> {
    loop {
        let count = |record: &Record| failed.set(failed.get() + usize::from(record.error.is_some()));
        client::run(&options, count).await.map_err(io::Error::other)?;
        options.seed = options.seed.wrapping_add(1);
    }
}

impl Setting {
    fn options(&self, url: &str, concurrency: usize) -> Options {
        let timeout = Duration::from_secs_f64(TIMEOUT / self.speed);
        Options { load: Load::Closed { concurrency }, timeout, ..Options::new(url) }
    }

    /// The upstream's directives: the policy, and how often to poll where the policy does not say it. `interval` is
    /// the pool's, in seconds of the engines' time.
    fn method(&self, policy: &str, interval: f64) -> String {
        let policy = policy.trim_end().trim_end_matches(';');
        let polls = if !policy.starts_with("tblb") || policy.contains("tblb_metrics") {
            String::new()
        } else if interval > 0.0 {
            format!(" tblb_metrics interval={:.0}ms;", interval / self.speed * 1e3)
        } else {
            " tblb_metrics off;".to_owned()
        };
        format!("{policy};{polls}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_as_frequent_in_the_time_of_the_engines() {
        let setting = Setting { nginx: "nginx".into(), module: None, speed: 4.0, seed: 1 };
        let method = |policy, interval| setting.method(policy, interval);
        assert_eq!(method("tblb least_work", 1.0), "tblb least_work; tblb_metrics interval=250ms;");
        assert_eq!(method("tblb;", 0.0), "tblb; tblb_metrics off;");
        assert_eq!(method("tblb; tblb_metrics interval=2s", 1.0), "tblb; tblb_metrics interval=2s;");
        assert_eq!(method("least_conn", 1.0), "least_conn;");
    }
}

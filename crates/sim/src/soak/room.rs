//! An nginx that is struck, and how it is when it rests.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::usage::{Usage, children};
use crate::client;
use crate::demo::{Nginx, Site, WORKERS, peers};

/// How long nginx may take from the end of a storm until all is as it was, and how long it stays so before it is
/// measured: longer than the second for which it keeps connections to engines.
const PATIENCE: Duration = Duration::from_secs(60);
const STILL: Duration = Duration::from_millis(1500);

/// How long a worker is stopped so that another polls in its place: longer than its lease lasts.
const SUCCESSION: Duration = Duration::from_secs(3);

/// The threads of one poller.
const POLLERS: u64 = 8;

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The upstream of each nginx. Connections to engines are kept for a second, so that none is open at rest.
const METHOD: &str = "tblb least_work; tblb_metrics interval=250ms; keepalive_timeout 1s;";

/// What strikes nginx itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its workers live as long as the soak, so what they leak by request or by poll adds up.
    Kept,
    /// Its workers are killed and it is reloaded, so what is leaked by that adds up.
    Renewed,
}

/// What is the same for each nginx.
#[derive(Debug, Clone)]
pub struct Setting {
    /// nginx's binary.
    pub nginx: PathBuf,
    /// The module to load, if any.
    pub module: Option<PathBuf>,
    /// Requests a second.
    pub rate: f64,
}

/// What an nginx held at rest.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When, since the soak began.
    pub at: Duration,
    /// The master's process id.
    pub pid: u32,
    /// The master.
    pub master: Usage,
    /// Each worker with its process id.
    pub workers: Vec<(u32, Usage)>,
}

impl Sample {
    /// All workers together.
    pub fn all_workers(&self) -> Usage {
        self.workers.iter().fold(Usage::default(), |sum, (_, usage)| sum + *usage)
    }

    /// All processes together.
    pub fn all(&self) -> Usage {
        self.master + self.all_workers()
    }
}

/// An nginx. It ends when this is dropped.
#[derive(Debug)]
pub struct Room {
    /// What strikes it.
    pub kind: Kind,
    nginx: Nginx,
    killed: RefCell<Vec<u32>>,
}

impl Room {
    /// Starts nginx before these servers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(setting: &Setting, kind: Kind, servers: &[String]) -> io::Result<Self> {
        let site = Site {
            nginx: setting.nginx.clone(),
            module: setting.module.clone(),
            method: METHOD.to_owned(),
            servers: servers.iter().map(|server| format!("{server} fail_timeout=1s")).collect(),
            keepalive: 32,
            status: true,
        };
        Ok(Self { kind, nginx: Nginx::start(&site)?, killed: RefCell::default() })
    }

    /// The nginx in it.
    pub fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// The workers that were killed.
    pub fn killed(&self) -> Vec<u32> {
        self.killed.borrow().clone()
    }

    /// Lets each worker poll for a while, as it will in storms: what it takes for that, it keeps ever after.
    pub async fn let_each_poll(&self) {
        for index in 0..WORKERS {
            let _stopped = self.stop(index);
            sleep(SUCCESSION).await;
        }
    }

    /// What it holds now, workers that are about to end included; None if its master is gone.
    pub fn sample(&self, at: Duration) -> Option<Sample> {
        let workers = children(self.nginx.id());
        let workers = workers.into_iter().filter_map(|pid| Some((pid, Usage::of(pid)?))).collect();
        let pid = self.nginx.id();
        Some(Sample { at, pid, master: Usage::of(pid)?, workers })
    }

    /// Waits until all is as it was before the storm, and gives what nginx then holds.
    ///
    /// # Errors
    /// What is not as it was.
    pub async fn rest(&self, since: Instant) -> Result<Sample, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut rests = None;
        loop {
            match self.unrest().await {
                Ok(()) => {
                    if rests.get_or_insert_with(Instant::now).elapsed() >= STILL {
                        return self.sample(since.elapsed()).ok_or_else(|| "nginx is gone".to_owned());
                    }
                }
                Err(why) if Instant::now() > deadline => return Err(why),
                Err(_) => rests = None,
            }
            sleep(LOOK).await;
        }
    }

    /// What is not as it should be at rest.
    async fn unrest(&self) -> Result<(), String> {
        let url = format!("{}/tblb?format=json", self.nginx.url());
        let answer = client::get(&url, PATIENCE).await.map_err(|error| format!("the status: {error}"))?;
        let rows = peers(&answer.1).map_err(|error| format!("the status: {error}"))?;
        if let Some(row) = rows.iter().find(|row| row.state != "fresh" || row.in_flight > 0) {
            return Err(format!("{} is {} with {} in flight", row.server, row.state, row.in_flight));
        }
        let sample = self.sample(Duration::ZERO).ok_or("nginx is gone")?;
        let pollers: Vec<u64> = sample.workers.iter().map(|(_, usage)| usage.pollers).collect();
        let polling: Vec<u64> = pollers.iter().copied().filter(|threads| *threads > 0).collect();
        if pollers.len() == WORKERS && polling == [POLLERS] {
            return Ok(());
        }
        Err(format!("{} workers, whose threads that poll are {pollers:?}", pollers.len()))
    }

    /// Makes nginx read its configuration again.
    pub fn reload(&self) {
        signal(self.nginx.id(), Signal::HUP);
    }

    /// Kills a worker.
    pub fn kill(&self, index: usize) {
        if let Some(pid) = self.worker(index) {
            self.killed.borrow_mut().push(pid);
            signal(pid, Signal::KILL);
        }
    }

    /// Stops a worker until what is returned is dropped.
    pub fn stop(&self, index: usize) -> Option<Stopped> {
        let pid = self.worker(index)?;
        signal(pid, Signal::STOP);
        Some(Stopped(pid))
    }

    fn worker(&self, index: usize) -> Option<u32> {
        let workers = children(self.nginx.id());
        workers.get(index % workers.len().max(1)).copied()
    }
}

/// A worker that is stopped.
#[derive(Debug)]
pub struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

/// Sends a signal; that the process is gone already is no matter.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

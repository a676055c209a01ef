//! An nginx that runs, from its start to its end.

use crate::client::{Answer, Connection, Stream};
use crate::config::{Config, Ports, command, directory};
use crate::process::{self, Process};
use crate::status::Status;
use crate::{PATIENCE, wait_for};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running nginx. Dropping it ends it and fails the test if a process of it is left, or if its log tells of a
/// crash.
pub struct Nginx {
    config: Config,
    directory: TempDir,
    ports: Ports,
    /// What was started; with `daemon on` that has gone.
    child: Child,
    master: u32,
    expected: Vec<&'static str>,
}

/// Words in the log of something that must not happen.
const GRAVE: [&str; 4] = ["[emerg]", "[alert]", "panicked", "exited on signal"];

/// How often it is tried to start nginx where another process takes its port.
const STARTS: usize = 10;

impl Config {
    /// Starts nginx and waits until it serves.
    pub fn start(&self) -> Nginx {
        (0..STARTS).find_map(|_| Nginx::start(self)).expect("nginx finds its port taken again and again")
    }
}

impl Nginx {
    /// None if its port was taken meanwhile.
    fn start(config: &Config) -> Option<Nginx> {
        let directory = directory();
        let ports = Ports::free();
        config.write(directory.path(), ports);
        let errors = fs::File::create(directory.path().join("stderr")).expect("a file");
        let mut command = command(directory.path());
        command.envs(config.variables()).stdout(Stdio::null()).stderr(errors);
        let child = command.spawn().expect("nginx runs");
        let master = child.id();
        let mut nginx =
            Nginx { config: config.clone(), directory, ports, child, master, expected: Vec::new() };
        let taken = wait_for("nginx serves", || nginx.has_begun());
        (!taken).then_some(nginx)
    }

    /// Some(false) if it serves, Some(true) if its port is taken; fails the test if it did not start for another
    /// reason.
    fn has_begun(&mut self) -> Option<bool> {
        let ended = self.child.try_wait().expect("a child");
        if let Some(status) = ended.filter(|status| !status.success() || !self.config.is_daemon()) {
            let said = format!("{}{}", self.read("stderr"), self.read("error.log"));
            let taken = said.contains("Address already in use");
            assert!(taken, "nginx did not start ({status}):\n{said}");
            self.expected.push("Address already in use");
            self.expected.push("still could not bind");
            return Some(true);
        }
        if self.config.is_daemon() {
            self.master = self.read("nginx.pid").trim().parse().ok()?;
        }
        let serves = self.workers().len() == self.config.worker_number()
            && self.try_get("/tblb?format=json").is_ok_and(|answer| answer.status == 200);
        serves.then_some(false)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.ports.http
    }

    /// Where it listens for HTTP/2.
    pub fn http2_address(&self) -> SocketAddr {
        self.ports.http2
    }

    /// Asks it on a new connection.
    ///
    /// # Errors
    /// There is no whole answer.
    pub fn try_get(&self, path: &str) -> Result<Answer, String> {
        Connection::open(self.address())?.get(path)
    }

    /// Asks it on a new connection.
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Connects to it.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("a connection")
    }

    /// Asks it for an answer in pieces.
    pub fn stream(&self, path: &str) -> Stream {
        self.connect().stream("GET", path, "").unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Its status.
    pub fn status(&self) -> Status {
        Status::parse(&self.get("/tblb?format=json").body)
    }

    /// Its status, None where the worker that was asked for it has just died.
    pub fn status_if_any(&self) -> Option<Status> {
        self.try_get("/tblb?format=json").ok().map(|answer| Status::parse(&answer.body))
    }

    /// Waits until something can be said of its status.
    pub fn wait_for<T>(&self, what: &str, mut f: impl FnMut(&Status) -> Option<T>) -> T {
        wait_for(what, || f(&self.status()))
    }

    /// Waits until the metrics of all servers of `llm` are in this state.
    pub fn wait_until_all(&self, state: &str) {
        self.wait_until_all_of("llm", state);
    }

    /// Waits until the metrics of all servers of an upstream are in this state.
    pub fn wait_until_all_of(&self, upstream: &str, state: &str) {
        self.wait_for(&format!("all servers of {upstream} are {state}"), |status| {
            status.peers(upstream).all(|peer| peer.text("state") == state).then_some(())
        });
    }

    /// The first process: the master, if there is one.
    pub fn master(&self) -> u32 {
        self.master
    }

    /// The process that its pid file names is its master from now on: an upgrade is over.
    pub fn master_is_another(&mut self) {
        self.master = self.read("nginx.pid").trim().parse().expect("a process id");
    }

    /// All of its processes.
    pub fn processes(&self) -> Vec<Process> {
        process::of_directory(&self.directory.path().canonicalize().expect("the directory"))
    }

    /// The processes that handle new requests.
    pub fn workers(&self) -> Vec<u32> {
        let is_worker = |process: &Process| {
            if self.config.has_master() {
                process.parent == self.master && process.title == "nginx: worker process"
            } else {
                process.pid == self.master
            }
        };
        self.processes().into_iter().filter(is_worker).map(|process| process.pid).collect()
    }

    /// Makes it read its configuration again, and waits until new workers serve (a single process may still be at it).
    pub fn reload(&self) {
        let old = self.workers();
        let reloads = self.log_with("reconfiguring").len();
        process::signal(self.master, Signal::HUP);
        wait_for("it reads its configuration", || {
            (self.log_with("reconfiguring").len() > reloads).then_some(())
        });
        if self.config.has_master() {
            wait_for("new workers", || {
                let now = self.workers();
                let new = now.iter().all(|pid| !old.contains(pid));
                (new && now.len() == self.config.worker_number()).then_some(())
            });
        }
    }

    /// Gives it another configuration, and waits until new workers serve.
    pub fn reload_with(&mut self, config: &Config) {
        config.write(self.directory.path(), self.ports);
        self.config = config.clone();
        self.reload();
    }

    /// Its log of errors.
    pub fn log(&self) -> String {
        self.read("error.log")
    }

    /// The lines of its log of errors that hold a text.
    pub fn log_with(&self, text: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Waits for the line of its access log of a request for a path (without arguments), and gives what is said of
    /// that request.
    pub fn logged(&self, path: &str) -> Logged {
        wait_for(&format!("{path} in the access log"), || {
            self.all_logged().into_iter().find(|logged| logged.path == path)
        })
    }

    /// What its access log says so far.
    pub fn all_logged(&self) -> Vec<Logged> {
        self.read("access.log").lines().map(Logged::parse).collect()
    }

    /// Where a file in its directory is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file in its directory, empty if it is not there.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Says that lines with this text in the log are what the test wants.
    pub fn expect_in_log(&mut self, text: &'static str) {
        self.expected.push(text);
    }

    /// Ends it when its requests have ended, and fails the test where it does not end by itself.
    pub fn quit(mut self) {
        self.end(Signal::QUIT);
    }

    /// Ends it at once; dropping does the same.
    pub fn terminate(mut self) {
        self.end(Signal::TERM);
    }

    fn end(&mut self, how: Signal) {
        process::signal(self.master, how);
        let deadline = Instant::now() + PATIENCE;
        let mut left = self.processes();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            left = self.processes();
        }
        left.iter().for_each(|process| process::signal(process.pid, Signal::KILL));
        let status = self.child.wait().expect("a child");
        if std::thread::panicking() {
            eprintln!("the log of that nginx ends:\n{}", last_lines(&self.log(), 40));
            return;
        }
        assert!(left.is_empty(), "left behind after {how:?}: {left:?}\n{}", last_lines(&self.log(), 40));
        assert!(status.success(), "{how:?} ends in {status}\n{}", last_lines(&self.log(), 40));
        let log = self.log();
        let grave = log.lines().filter(|line| GRAVE.iter().any(|word| line.contains(word)));
        let unexpected: Vec<_> =
            grave.filter(|line| !self.expected.iter().any(|text| line.contains(text))).collect();
        assert!(unexpected.is_empty(), "in the log: {unexpected:#?}");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if process::of_pid(self.master).is_some() || !self.processes().is_empty() {
            self.end(Signal::TERM);
        }
    }
}

/// What the access log says of a request.
#[derive(Debug, Clone, Default)]
pub struct Logged {
    /// Its path.
    pub path: String,
    /// The status of its answer.
    pub status: String,
    /// `$upstream_addr`.
    pub upstream: String,
    /// `$upstream_header_time`.
    pub header_time: String,
    /// `$request_time`.
    pub request_time: String,
    /// `$tblb_algorithm`.
    pub algorithm: String,
    /// `$tblb_reason`.
    pub reason: String,
    /// `$tblb_score`.
    pub score: String,
    /// `$tblb_ttft`.
    pub ttft: String,
}

impl Logged {
    fn parse(line: &str) -> Logged {
        let mut fields = line.split('|').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        Logged {
            path: next(),
            status: next(),
            upstream: next(),
            header_time: next(),
            request_time: next(),
            algorithm: next(),
            reason: next(),
            score: next(),
            ttft: next(),
        }
    }
}

fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

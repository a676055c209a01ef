//! What the poller's tests share: engines made of sockets, and a sink that writes down what it is told.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tblb_core::engine::Reading;
use tblb_core::fault::Fault;
use tblb_poller::{Failure, MAX_THREADS, Poller, Settings, Sink, State, Target, When};

/// A page of a vLLM that has requests: 4 waiting, 4 running.
pub const PAGE: &str = include_str!("../../../core/corpus/vllm-0.32-loaded.prom");

/// Longer than anything takes, also on a machine that is busy: what is waited for so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server that hands each connection to a function, in a thread of its own.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One on a port that is free, with a function that serves a connection.
    pub fn start(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Server {
        Server::at(([127, 0, 0, 1], 0).into(), serve)
    }

    /// One at that address.
    pub fn at(
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ended, serve) = (Arc::clone(&connections), Arc::clone(&over), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(SeqCst) {
                    return;
                }
                counted.fetch_add(1, SeqCst);
                let serve = Arc::clone(&serve);
                // Ends when the poller closes the connection; an error is the poller's doing as well.
                std::thread::spawn(move || stream.map(|stream| serve(stream)));
            }
        });
        Server { address, connections, requests: Arc::default(), over, thread: Some(thread) }
    }

    /// One that gives every request of a connection the same answer, in full.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Server {
        let (answer, requests) = (answer.into(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&requests);
        let mut server = Server::start(move |mut stream| {
            while request(&mut stream)?.is_some() {
                counted.fetch_add(1, SeqCst);
                stream.write_all(&answer)?;
            }
            Ok(())
        });
        server.requests = requests;
        server
    }

    /// One that reads a request, gives an answer, and closes the connection.
    pub fn closing(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(move |mut stream| {
            request(&mut stream)?;
            stream.write_all(&answer)
        })
    }

    /// Counted by [`Server::answering`] only.
    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    /// Connections that it accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Reads the head of a request; None if the connection was closed instead.
pub fn request(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8(head).unwrap()))
}

/// The answer 200 with that body.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An address where nothing listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What a sink was told of a poll.
#[derive(Debug, Clone)]
pub struct Poll {
    /// The target's key.
    pub key: u64,
    /// What the poll brought.
    pub outcome: Result<Reading, Fault>,
    /// How long it took.
    pub took: Duration,
    /// When the sink was told.
    pub at: Instant,
}

/// A sink that writes down what it is told, and does what the test wants of it.
#[derive(Default)]
pub struct Recorder {
    /// The polls, in order.
    pub polls: Mutex<Vec<Poll>>,
    /// The changes of state: the target's key, from which state, to which.
    pub changes: Mutex<Vec<(u64, Option<State>, State)>>,
    /// What was known of polls that failed, where a change of state was told.
    pub failures: Mutex<Vec<Failure>>,
    arrived: Condvar,
    /// Makes it refuse the lease.
    pub let_go: AtomicBool,
    /// How often it was asked for the lease.
    pub holds: AtomicUsize,
    /// Makes it panic when it is told of a poll.
    pub panics: AtomicBool,
    /// Makes it hold up the thread that tells it of a poll.
    pub parks: AtomicBool,
    /// Whether it has held up one.
    pub parked: AtomicBool,
}

impl Sink for Recorder {
    fn hold(&self) -> bool {
        self.holds.fetch_add(1, SeqCst);
        !self.let_go.load(SeqCst)
    }

    fn publish(&self, target: &Target, outcome: &Result<Reading, Fault>, when: When) {
        self.polls.lock().unwrap().push(Poll {
            key: target.key,
            outcome: outcome.clone(),
            took: when.took,
            at: Instant::now(),
        });
        self.arrived.notify_all();
        while self.parks.load(SeqCst) {
            self.parked.store(true, SeqCst);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!self.panics.load(SeqCst), "the sink panics, as the test wants");
    }

    fn changed(&self, target: &Target, from: Option<State>, to: State, failure: Option<&Failure>) {
        self.failures.lock().unwrap().extend(failure.cloned());
        self.changes.lock().unwrap().push((target.key, from, to));
    }
}

impl Recorder {
    /// The polls of target `key` so far.
    pub fn of(&self, key: u64) -> Vec<Poll> {
        self.polls.lock().unwrap().iter().filter(|poll| poll.key == key).cloned().collect()
    }

    /// Waits until target `key` was polled `count` times, and gives the last of these polls.
    pub fn wait(&self, key: u64, count: usize) -> Poll {
        let end = Instant::now() + PATIENCE;
        let mut polls = self.polls.lock().unwrap();
        loop {
            if let Some(poll) = polls.iter().filter(|poll| poll.key == key).nth(count - 1) {
                return poll.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "target {key} was not polled {count} times: {polls:?}");
            polls = self.arrived.wait_timeout(polls, left).unwrap().0;
        }
    }
}

/// Settings for a test: much faster than the defaults.
pub fn settings() -> Settings {
    Settings { interval: Duration::from_millis(50), timeout: Duration::from_secs(20), ..Settings::default() }
}

/// A target at that address, whose slot is its key.
pub fn target(key: u64, address: SocketAddr, settings: &Settings) -> Target {
    Target {
        key,
        slots: vec![key as u32],
        address,
        host: address.to_string(),
        settings: Arc::new(settings.clone()),
    }
}

/// A poller that polls these targets, and its sink.
pub fn start(targets: Vec<Target>) -> (Poller, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let poller = Poller::start(Arc::<Recorder>::clone(&recorder), MAX_THREADS).unwrap();
    poller.set_targets(targets);
    (poller, recorder)
}

/// Waits until that is so, and fails the test where it does not come.
pub fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An engine that takes requests and never answers.
pub fn hung() -> Server {
    Server::start(|mut stream| {
        while request(&mut stream)?.is_some() {}
        Ok(())
    })
}

/// One target for each server, with keys from that one on.
pub fn targets(from: u64, servers: &[Server], settings: &Settings) -> Vec<Target> {
    (from..).zip(servers).map(|(key, server)| target(key, server.address, settings)).collect()
}

/// What the first poll of one target gives.
pub fn poll_once(target: Target) -> Poll {
    let key = target.key;
    let (poller, recorder) = start(vec![target]);
    let poll = recorder.wait(key, 1);
    poller.join();
    poll
}

/// What polling that server gives.
pub fn outcome(server: &Server) -> Result<Reading, Fault> {
    poll_once(target(1, server.address, &settings())).outcome
}

/// Something to keep until a child process has ended.
pub type Kept = Box<dyn std::any::Any>;

/// Runs the test of that name once more, in a process of its own, with an environment and a word that `prepare`
/// makes. In that process it gives the word, and the test goes on; in this one it gives None, once the other ended
/// well.
pub fn in_child(
    test: &str,
    prepare: impl FnOnce() -> (Vec<(&'static str, String)>, String, Kept),
) -> Option<String> {
    const WORD: &str = "TBLB_TEST_WORD";
    if let Ok(word) = std::env::var(WORD) {
        return Some(word);
    }
    let (environment, word, kept) = prepare();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).envs(environment).env(WORD, word);
    let output = child.output().unwrap();
    drop(kept);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    None
}

/// Whether target 1 is polled over a connection that is kept. On a machine that is very busy a poll may overrun the
/// budget of its lane now and then, and is done again over a new connection.
pub fn kept(server: &Server, recorder: &Recorder) -> bool {
    server.connections() <= 1 + recorder.of(1).len() / 5
}

//! An engine under the test's control: what it reports of its load, and how it answers requests.
//!
//! | path | answer |
//! | --- | --- |
//! | `/metrics` (or what [`Node::report_at`] said) | what [`Node::report`] or [`Node::answer_metrics`] said last |
//! | `/hold/NAME` | header and a piece at once, the end when [`Node::release`] says so |
//! | `/tokens?first=MS&rest=MS` | header at once, the first piece `first` ms later, the end `rest` ms after that |
//! | `/counted?first=MS&rest=MS` | the same with a Content-Length |
//! | `/break` | header and a piece, then the connection is closed |
//! | `/short` | the same with a Content-Length that promises more |
//! | `/reset` | header and a piece, then the connection is reset |
//! | `/upgrade` | another protocol, in which whatever comes goes back, until the connection is closed |
//! | `/flood` | a piece after the other until the connection is closed |
//! | `/elsewhere` | an X-Accel-Redirect to `/plain` |
//! | `/v1/completions` | a completion in events, as fast as [`Node::set_speed`] said, or as the path's arguments say ([`Speed`]) |
//! | any other | `ok` at once |
//!
//! Who asks in FastCGI, uwsgi, SCGI or gRPC, which the first bytes tell, is answered in that as `/tokens` says, whatever the
//! path.

mod completions;
mod gateway;
pub mod grpc;
mod serve;

use crate::listen;
pub use completions::{Failure, Speed};
use std::collections::HashSet;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How a node answers requests, those for its metrics aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As the path says.
    Well,
    /// With this status.
    Status(u16),
    /// By closing the connection.
    Close,
    /// By failing in this way.
    Fails(Failure),
    /// By failing in this way each second time.
    FailsEachSecond(Failure),
    /// By closing the connection where none came on it for 4.5 s, as where an engine closes idle connections just then.
    ClosesIdle,
}

/// What a node has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Requests, those for its metrics aside.
    pub requests: u64,
    /// Requests for its metrics.
    pub polls: u64,
    /// Connections on which requests came that were not for its metrics.
    pub connections: u64,
    /// Connections of any kind.
    pub accepted: u64,
}

/// A node. Dropping it closes all of its connections.
pub struct Node {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The whole answer to `/metrics`, header included.
    metrics: Vec<u8>,
    /// Whether its metrics say instead how many requests it has.
    reports_itself: bool,
    /// Requests that it answers now.
    running: usize,
    speed: Speed,
    /// The path of its metrics.
    metrics_path: &'static str,
    /// The Authorization that a request for its metrics must have, empty for none.
    key: String,
    mood: Mood,
    released: HashSet<String>,
    stopped: bool,
    sockets: Vec<TcpStream>,
    seen: Seen,
}

impl Node {
    /// Starts an idle node.
    pub fn start() -> Node {
        Node::start_at(([127, 0, 0, 1], 0).into())
    }

    /// Starts an idle node at an address.
    pub fn start_at(address: SocketAddr) -> Node {
        let listener = listen(address);
        let address = listener.local_addr().expect("an address");
        let state = State {
            metrics: page(0.0, 0.0, 0.0),
            reports_itself: false,
            running: 0,
            speed: Speed::default(),
            metrics_path: "/metrics",
            key: String::new(),
            mood: Mood::Well,
            released: HashSet::new(),
            stopped: false,
            sockets: Vec::new(),
            seen: Seen::default(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        let listening = Some(thread::spawn(move || serve::listen(&listener, &serving)));
        Node { address, shared, listening }
    }

    /// Starts `n` idle nodes.
    pub fn several(n: usize) -> Vec<Node> {
        (0..n).map(|_| Node::start()).collect()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as `$upstream_addr` and the status have it.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Reports a load in vLLM's form.
    pub fn report(&self, waiting: f64, running: f64, cache: f64) {
        self.shared.lock().metrics = page(waiting, running, cache);
    }

    /// Reports from now on how many requests it has, in vLLM's form.
    pub fn report_itself(&self) {
        self.shared.lock().reports_itself = true;
    }

    /// Sets how fast it generates.
    pub fn set_speed(&self, speed: Speed) {
        self.shared.lock().speed = speed;
    }

    /// Answers `/metrics` with these bytes, header included.
    pub fn answer_metrics(&self, answer: &[u8]) {
        self.shared.lock().metrics = answer.to_vec();
    }

    /// Has its metrics at another path.
    pub fn report_at(&self, path: &'static str) {
        self.shared.lock().metrics_path = path;
    }

    /// Answers requests for its metrics with 401 unless this is their Authorization; empty for none.
    pub fn lock_metrics(&self, key: &str) {
        self.shared.lock().key = key.to_owned();
    }

    /// Has no metrics.
    pub fn report_nothing(&self) {
        self.answer_metrics(&whole(404, "no metrics here\n"));
    }

    /// Sets how it answers requests.
    pub fn set_mood(&self, mood: Mood) {
        self.shared.lock().mood = mood;
    }

    /// Ends the answers to `/hold/NAME`.
    pub fn release(&self, name: &str) {
        self.shared.lock().released.insert(name.to_owned());
        self.shared.changed.notify_all();
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.lock().seen
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        for socket in state.sockets.drain(..) {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl State {
    /// Counts a request, on a connection that was counted before or is now, and says how it is to be answered.
    fn ask(&mut self, counted: &mut bool) -> Mood {
        self.seen.requests += 1;
        self.seen.connections += u64::from(!std::mem::replace(counted, true));
        match self.mood {
            Mood::FailsEachSecond(failure) if self.seen.requests % 2 == 0 => Mood::Fails(failure),
            Mood::FailsEachSecond(_) => Mood::Well,
            mood => mood,
        }
    }

    /// Its metrics, header included.
    fn page(&self) -> Vec<u8> {
        if self.reports_itself { page(0.0, self.running as f64, 0.1) } else { self.metrics.clone() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a name is released; false if the node ends before.
    fn wait_for_release(&self, name: &str) -> bool {
        let wait = |state: &mut State| !state.stopped && !state.released.contains(name);
        let state = self.changed.wait_while(self.lock(), wait).unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }
}

/// An answer with a Content-Length, header included.
pub fn whole(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A number in the arguments of a path.
fn argument(path: &str, name: &str) -> Option<u64> {
    let arguments = path.split_once('?').map_or("", |(_, arguments)| arguments);
    let value = arguments.split('&').find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok())
}

/// The metrics of a load as vLLM shows them, header included.
pub fn page(waiting: f64, running: f64, cache: f64) -> Vec<u8> {
    let labels = "{engine=\"0\",model_name=\"m\"}";
    whole(
        200,
        &format!(
            "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{labels} {running}\n\
             # TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{labels} {waiting}\n\
             # TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{labels} {cache}\n"
        ),
    )
}

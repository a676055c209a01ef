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
//! | any other | `ok` at once |

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a node answers requests, those for its metrics aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As the path says.
    Well,
    /// With this status.
    Status(u16),
    /// By closing the connection.
    Close,
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
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = State {
            metrics: page(0.0, 0.0, 0.0),
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
        let listening = Some(thread::spawn(move || listen(&listener, &serving)));
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

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut serving = Vec::new();
    for socket in listener.incoming().flatten() {
        let mut state = shared.lock();
        if state.stopped {
            break;
        }
        state.seen.accepted += 1;
        state.sockets.push(socket.try_clone().expect("a descriptor"));
        drop(state);
        let shared = Arc::clone(shared);
        // A client that goes away is none of the node's business.
        serving.push(thread::spawn(move || drop(serve(socket, &shared))));
    }
    serving.into_iter().for_each(|thread| drop(thread.join()));
}

fn serve(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut writer = socket;
    let mut counted = false;
    while let Some((path, key)) = read_request(&mut reader)? {
        let mut state = shared.lock();
        if path == state.metrics_path {
            state.seen.polls += 1;
            let metrics = if key == state.key { state.metrics.clone() } else { whole(401, "who are you?\n") };
            drop(state);
            writer.write_all(&metrics)?;
            continue;
        }
        state.seen.requests += 1;
        state.seen.connections += u64::from(!std::mem::replace(&mut counted, true));
        let mood = state.mood;
        drop(state);
        match mood {
            Mood::Well => answer(&path, &mut writer, shared)?,
            Mood::Status(status) => writer.write_all(&whole(status, "so the test wants it\n"))?,
            Mood::Close => return writer.shutdown(Shutdown::Both),
        }
    }
    Ok(())
}

/// Reads a request and gives its path and its Authorization (empty if it has none), None at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, String)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut key) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => value.clone_into(&mut key),
            Some(_) => {}
            None => break,
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some((path, key)))
}

const STREAMED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const REDIRECTED: &[u8] = b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /plain\r\nContent-Length: 0\r\n\r\n";
const COUNTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n";

fn answer(path: &str, writer: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    if let Some(name) = path.strip_prefix("/hold/") {
        writer.write_all(&[STREAMED, b"6\r\nheld.\n\r\n"].concat())?;
        return if shared.wait_for_release(name) { writer.write_all(b"0\r\n\r\n") } else { Ok(()) };
    }
    let pause = |name| thread::sleep(Duration::from_millis(argument(path, name)));
    match path.split('?').next().unwrap_or_default() {
        "/tokens" => {
            writer.write_all(STREAMED)?;
            pause("first");
            writer.write_all(b"6\r\nfirst\n\r\n")?;
            pause("rest");
            writer.write_all(b"6\r\nrest.\n\r\n0\r\n\r\n")
        }
        "/counted" => {
            writer.write_all(COUNTED)?;
            pause("first");
            writer.write_all(b"first\n")?;
            pause("rest");
            writer.write_all(b"rest.\n")
        }
        "/break" => {
            writer.write_all(&[STREAMED, b"6\r\nfirst\n\r\n"].concat())?;
            writer.shutdown(Shutdown::Both)
        }
        "/short" => {
            writer.write_all(&[COUNTED, b"first\n"].concat())?;
            writer.shutdown(Shutdown::Both)
        }
        "/reset" => {
            writer.write_all(&[STREAMED, b"6\r\nfirst\n\r\n"].concat())?;
            // Closing would not do: what is shared of this socket keeps it open.
            Ok(rustix::net::connect_unspec(&*writer)?)
        }
        "/upgrade" => {
            writer.write_all(UPGRADED)?;
            io::copy(&mut writer.try_clone()?, writer).map(drop)
        }
        "/flood" => {
            writer.write_all(STREAMED)?;
            let piece = [b"1000\r\n".as_slice(), &[b'.'; 0x1000], b"\r\n"].concat();
            loop {
                writer.write_all(&piece)?;
            }
        }
        "/elsewhere" => writer.write_all(REDIRECTED),
        _ => writer.write_all(&whole(200, "ok\n")),
    }
}

/// A number in the arguments of a path, 0 if it is not there.
fn argument(path: &str, name: &str) -> u64 {
    let arguments = path.split_once('?').map_or("", |(_, arguments)| arguments);
    let value = arguments.split('&').find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// An answer with a Content-Length, header included.
pub fn whole(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
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

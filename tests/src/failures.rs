//! The table of ways in which an engine fails, and a pool of four engines of which one does.

use crate::config::{Config, upstream};
use crate::listen;
use crate::nginx::Nginx;
use crate::node::{Failure, Mood, Node, Speed};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How long a client waits for the next byte before it gives up.
const GIVES_UP: Duration = Duration::from_secs(1);

/// An engine that is faster than the others, which are as [`Speed::default`].
const FAST: Speed = Speed { first: 5, gap: 2, tokens: 8 };

/// A way in which an engine fails.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// How the engine answers; `None` where nothing listens at its address.
    pub mood: Option<Mood>,
    /// Whether a request that fails so takes a second or more.
    pub holds: bool,
    /// Whether the status means that the client is to blame.
    pub blames_client: bool,
}

const fn case(name: &'static str, failure: Failure) -> Case {
    Case { name, mood: Some(Mood::Fails(failure)), holds: false, blames_client: false }
}

const fn holding(name: &'static str, failure: Failure) -> Case {
    Case { holds: true, ..case(name, failure) }
}

const fn blaming(name: &'static str, status: u16) -> Case {
    Case { blames_client: true, ..case(name, Failure::Refuses(status, 0)) }
}

/// All ways.
pub const CASES: [Case; 18] = [
    Case { name: "refuses connections", mood: None, holds: false, blames_client: false },
    case("resets connections", Failure::Resets),
    holding("never answers", Failure::NeverAnswers),
    case("500 at once", Failure::Refuses(500, 0)),
    case("502 at once", Failure::Refuses(502, 0)),
    case("503 at once", Failure::Refuses(503, 0)),
    case("429 at once", Failure::Refuses(429, 0)),
    case("408 at once", Failure::Refuses(408, 0)),
    blaming("401 at once", 401),
    blaming("404 at once", 404),
    blaming("422 at once", 422),
    case("200 with an error", Failure::ErrorObject("{\"error\":{\"message\":\"internal\",\"code\":500}}")),
    case("200 with an error in the old form", Failure::ErrorObject("{\"object\":\"error\",\"code\":500}")),
    case("200 with an error event", Failure::ErrorEvent),
    holding("hangs in a stream", Failure::Hangs),
    case("breaks streams off", Failure::BreaksOff),
    holding("503 after a second", Failure::Refuses(503, 1000)),
    Case {
        mood: Some(Mood::FailsEachSecond(Failure::Refuses(503, 0))),
        ..case("each second fails", Failure::Resets)
    },
];

/// What became of requests.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The share of all tries that went to the bad engine.
    pub bad: f64,
    /// Good answers.
    pub good: usize,
}

/// An nginx before three good engines and one that can be bad, which is faster than the others while it is well.
pub struct Pool {
    case: Case,
    nginx: Nginx,
    address: SocketAddr,
    bad: Option<Node>,
    _good: Vec<Node>,
}

impl Pool {
    /// Starts a pool in which all are well.
    pub fn start(method: &str, case: &Case) -> Pool {
        let good: Vec<_> = (0..3).map(|_| node(([127, 0, 0, 1], 0).into(), Speed::default())).collect();
        // At an address of its own, so that nobody else gets the port while nothing listens there.
        let free = listen(([127, 0, 0, 2], 0).into());
        let address = free.local_addr().expect("an address");
        drop(free);
        let servers = good.iter().map(Node::name).chain([address.to_string()]);
        let polled = if method.starts_with("tblb") { "tblb_metrics interval=500ms timeout=5s;" } else { "" };
        let first = format!("zone llm 512k; {method}; {polled} keepalive 16;");
        let bad = Some(node(address, FAST));
        let nginx = Config::new(upstream("llm", &first, servers)).start();
        if !polled.is_empty() {
            nginx.wait_until_all("fresh");
        }
        Pool { case: *case, nginx, address, bad, _good: good }
    }

    /// Lets the bad engine fail.
    pub fn fall_ill(&mut self) {
        match (self.case.mood, &self.bad) {
            (Some(mood), Some(bad)) => bad.set_mood(mood),
            _ => self.bad = None,
        }
    }

    /// Lets it be well again.
    pub fn recover(&mut self) {
        self.bad.get_or_insert_with(|| node(self.address, FAST)).set_mood(Mood::Well);
    }

    /// Sends so many requests, so many at a time; under a method of the module, which counts picks.
    pub fn ask(&self, requests: usize, clients: usize) -> Outcome {
        let picks = || {
            let status = self.nginx.status();
            (status.peer("llm", &self.address.to_string()).count("picks"), status.sum("llm", "picks"))
        };
        let before = picks();
        let good = self.good_of(requests, clients);
        let after = picks();
        let bad = (after.0 - before.0) as f64 / (after.1 - before.1) as f64;
        Outcome { bad, good }
    }

    /// Sends so many requests, so many at a time, and counts the good answers; under any method.
    pub fn good_of(&self, requests: usize, clients: usize) -> usize {
        complete_all(self.nginx.address(), "/v1/completions", requests, clients)
    }
}

fn node(address: SocketAddr, speed: Speed) -> Node {
    let node = Node::start_at(address);
    node.set_speed(speed);
    node.report_itself();
    node
}

/// Asks nginx for completions, one for each client at a time, and counts the good ones.
pub fn complete_all(nginx: SocketAddr, path: &str, requests: usize, clients: usize) -> usize {
    let (sent, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let client = || {
        while sent.fetch_add(1, Relaxed) < requests {
            good.fetch_add(usize::from(complete(nginx, path)), Relaxed);
        }
    };
    thread::scope(|scope| (0..clients).for_each(|_| drop(scope.spawn(client))));
    good.into_inner()
}

/// Asks for a completion on a connection of its own, and gives up where nothing comes. Whether the answer is good.
pub fn complete(nginx: SocketAddr, path: &str) -> bool {
    let body = "{\"model\":\"m\",\"prompt\":\"hello\",\"stream\":true}";
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    let read = TcpStream::connect(nginx).and_then(|mut socket| {
        socket.set_read_timeout(Some(GIVES_UP))?;
        socket.write_all(request.as_bytes())?;
        socket.read_to_end(&mut answer)
    });
    let answer = String::from_utf8_lossy(&answer);
    let whole = answer.contains("data: [DONE]\n\n") && !answer.contains("\"error\"");
    read.is_ok() && answer.starts_with("HTTP/1.1 200 ") && whole
}

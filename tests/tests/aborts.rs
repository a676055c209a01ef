//! Clients that give up: whatever they were waiting for, nothing of theirs stays in flight, and no engine is blamed.

use std::io::{Read, Write};
use std::net::TcpStream;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines::{self, COMPLETIONS, Fault, completion};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Mood, Node};
use tblb_tests::status::Status;
use tblb_tests::{PATIENCE, wait_for};

const CLIENTS: usize = 40;

/// In a zone and outside of one (where the status shows the requests of all workers too), and what nginx does with
/// answers.
const VARIANTS: [(&str, &str); 3] =
    [("zone llm 64k;", "proxy_buffering off;"), ("zone llm 64k;", "proxy_buffering on;"), ("", "")];

fn start(zone: &str, proxying: &str, servers: &[String]) -> Nginx {
    let first = format!("{zone} tblb; tblb_metrics interval=50ms timeout=5s; keepalive 8;");
    let nginx = Config::new(upstream("llm", &first, servers)).server(proxying).start();
    nginx.wait_until_all("fresh");
    nginx
}

/// Clients with a bare socket each, which have sent a request and got so much of the answer.
fn clients(nginx: &Nginx, request: &str, answer: usize) -> Vec<TcpStream> {
    let client = |_| {
        let mut socket = TcpStream::connect(nginx.address()).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.write_all(request.as_bytes()).expect("a request");
        socket.read_exact(&mut vec![0; answer]).expect("the beginning of an answer");
        socket
    };
    (0..CLIENTS).map(client).collect()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Completions, failures and aborts.
fn endings(status: &Status) -> [u64; 3] {
    ["completions", "failures", "aborts"].map(|name| status.sum("llm", name))
}

fn wait_for_in_flight(nginx: &Nginx, n: usize) {
    nginx.wait_for(&format!("{n} requests in flight"), |status| {
        (status.sum("llm", "in_flight") == n as u64).then_some(())
    });
}

/// The module, client aborts: clients that go away in the middle of a stream.
/// Promise 4.
#[test]
fn in_the_middle_of_a_stream() {
    for (zone, proxying) in VARIANTS {
        let nodes = Node::several(2);
        let nginx = start(zone, proxying, &[nodes[0].name(), nodes[1].name()]);
        let clients = clients(&nginx, &get("/hold/stream"), 200);
        wait_for_in_flight(&nginx, CLIENTS);
        assert_eq!(endings(&nginx.status()), [0; 3]);
        drop(clients);
        wait_for_in_flight(&nginx, 0);
        assert_eq!(endings(&nginx.status()), [0, 0, CLIENTS as u64], "{zone} {proxying}");
        assert_eq!(nginx.get("/").status, 200);
    }
}

/// The module, client aborts: clients that go away before the first byte of the header, which engines see as well.
/// Promise 4.
#[test]
fn before_the_first_byte() {
    for (zone, proxying) in VARIANTS {
        let engines = engines::several(2);
        engines.iter().for_each(|engine| engine.set_fault(Fault::HangInference));
        let servers = engines::names(&engines);
        let nginx = start(zone, proxying, &servers);
        let clients = clients(&nginx, &post(&completion(10)), 0);
        wait_for_in_flight(&nginx, CLIENTS);
        drop(clients);
        wait_for_in_flight(&nginx, 0);
        assert_eq!(endings(&nginx.status()), [0, 0, CLIENTS as u64], "{zone} {proxying}");
        wait_for("the engines are free", || {
            engines.iter().all(|engine| engine.stats().open_requests == 0).then_some(())
        });
    }
}

/// The module, client aborts: at the only server of an upstream too.
/// Promise 4.
#[test]
fn at_a_single_server() {
    let node = Node::start();
    let nginx = start("", "", &[node.name()]);
    let clients = clients(&nginx, &get("/hold/stream"), 200);
    wait_for_in_flight(&nginx, CLIENTS);
    drop(clients);
    wait_for_in_flight(&nginx, 0);
    assert_eq!(endings(&nginx.status()), [0, 0, CLIENTS as u64]);
}

/// The module, client aborts: clients that stay and read nothing any more, until `send_timeout` is over.
/// Promise 4.
#[test]
fn by_reading_no_more() {
    for proxying in ["proxy_buffering off;", "proxy_buffering on; proxy_max_temp_file_size 0;"] {
        let nodes = Node::several(2);
        let proxying = format!("{proxying} send_timeout 300ms;");
        let nginx = start("", &proxying, &[nodes[0].name(), nodes[1].name()]);
        let clients = clients(&nginx, &get("/flood"), 200);
        wait_for_in_flight(&nginx, 0);
        assert_eq!(endings(&nginx.status()), [0, 0, CLIENTS as u64], "{proxying}");
        drop(clients);
    }
}

/// The module, client aborts: with `proxy_ignore_client_abort` the answer is read to its end all the same, and one
/// that breaks then is the engine's failure.
/// Promise 4.
#[test]
fn that_nginx_ignores() {
    let nodes = Node::several(2);
    let servers: Vec<_> = nodes.iter().map(|node| format!("{} max_fails=0", node.name())).collect();
    let nginx = start("", "proxy_buffering on; proxy_ignore_client_abort on;", &servers);
    drop(clients(&nginx, &get("/tokens?first=1000"), 0));
    wait_for_in_flight(&nginx, CLIENTS);
    wait_for_in_flight(&nginx, 0);
    assert_eq!(endings(&nginx.status()), [CLIENTS as u64, 0, 0]);
    nodes.iter().for_each(|node| node.set_mood(Mood::Close));
    drop(clients(&nginx, &get("/"), 0));
    // Both servers fail each request.
    let failures = 2 * CLIENTS as u64;
    nginx.wait_for("failures", |status| (status.sum("llm", "failures") == failures).then_some(()));
    wait_for_in_flight(&nginx, 0);
}

//! The ways of requests through nginx that are not straight: whatever becomes of a thousand of them, each is in flight
//! while it lasts, and none of them afterwards.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;
use tblb_tests::client::{Connection, Stream};
use tblb_tests::config::{Config, upstream};
use tblb_tests::meanwhile::Meanwhile;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Mood, Node};
use tblb_tests::status::Status;
use tblb_tests::{PATIENCE, wait_for, wait_within};

const CLIENTS: usize = 20;
const REQUESTS: usize = 1000;

/// So long what is in flight may take to be right again.
const SOON: Duration = Duration::from_secs(3);

/// Both upstreams: `llm`, and `second` for what a request brings about beside itself or after a failure.
const UPSTREAMS: [&str; 2] = ["llm", "second"];

/// One request of those for the same brings the answer, the others wait for it.
const CACHE: &str = "proxy_buffering on; proxy_cache cache; proxy_cache_methods POST; proxy_cache_valid 200 1m; \
     proxy_cache_key $uri?$arg_key; proxy_cache_lock on;";

/// Each request is allowed by another, and its body is not sent along.
const ALLOWED: &str = "location /tokens { auth_request /allowed; proxy_pass http://llm; } \
     location = /allowed { internal; proxy_pass http://second/tokens?first=5; proxy_pass_request_body off; \
     proxy_set_header Content-Length \"\"; }";

/// Another takes longer than the request that it copies.
const MIRRORED: &str = "location /tokens { mirror /mirrored; proxy_pass http://llm; } \
     location = /mirrored { internal; proxy_pass http://second/tokens?rest=30; }";

/// A way.
struct Way {
    name: &'static str,
    /// Of the server block.
    server: &'static str,
    path: &'static str,
    /// Of the two servers of `llm`; those of `second` are well.
    moods: [Mood; 2],
    /// Every so many-th client goes away before the end; 0 for none.
    leaves: usize,
    /// So many completions, failures and aborts there are at least.
    at_least: [u64; 3],
}

/// A way on which all is well and nobody goes away.
const WELL: Way = Way {
    name: "",
    server: "",
    path: "/tokens?first=5&rest=10",
    moods: [Mood::Well, Mood::Well],
    leaves: 0,
    at_least: [0, 0, 0],
};

const WAYS: [Way; 12] = [
    Way {
        name: "clients go away",
        path: "/tokens?first=5&rest=20",
        leaves: 1,
        at_least: [0, 0, 250],
        ..WELL
    },
    Way { name: "resets", path: "/reset", at_least: [0, 1000, 0], ..WELL },
    Way {
        name: "retries",
        server: "proxy_next_upstream error non_idempotent;",
        moods: [Mood::Close, Mood::Well],
        at_least: [1000, 250, 0],
        ..WELL
    },
    Way {
        name: "retries, and clients go away",
        server: "proxy_next_upstream error http_503 non_idempotent;",
        moods: [Mood::Status(503), Mood::Well],
        leaves: 2,
        at_least: [500, 250, 50],
        ..WELL
    },
    Way {
        name: "error_page",
        server: "proxy_next_upstream error http_503 non_idempotent; proxy_intercept_errors on; \
            error_page 503 = @second; location @second { proxy_pass http://second; }",
        moods: [Mood::Status(503), Mood::Status(503)],
        at_least: [1000, 2000, 0],
        ..WELL
    },
    Way { name: "auth_request", server: ALLOWED, at_least: [2000, 0, 0], ..WELL },
    Way {
        name: "auth_request, and clients go away",
        server: ALLOWED,
        leaves: 2,
        at_least: [1000, 0, 50],
        ..WELL
    },
    Way { name: "mirror", server: MIRRORED, at_least: [2000, 0, 0], ..WELL },
    Way { name: "mirror, and clients go away", server: MIRRORED, leaves: 2, at_least: [1000, 0, 50], ..WELL },
    Way {
        name: "cache locks",
        server: CACHE,
        path: "/tokens?first=5&rest=20&key=",
        at_least: [50, 0, 0],
        ..WELL
    },
    Way {
        name: "cache locks, and clients go away",
        server: CACHE,
        path: "/tokens?first=5&rest=20&key=",
        leaves: 2,
        at_least: [50, 0, 0],
        ..WELL
    },
    Way {
        name: "upgrades",
        server: "proxy_set_header Connection upgrade; proxy_set_header Upgrade websocket;",
        path: "/upgrade",
        at_least: [900, 0, 0],
        ..WELL
    },
];

/// An nginx with both upstreams.
fn start(server: &str, main: &str, nodes: [&[Node]; 2]) -> Nginx {
    let first = "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s; keepalive 8;";
    let mut http = "proxy_cache_path cache keys_zone=cache:1m;\n".to_owned();
    for (name, nodes) in UPSTREAMS.iter().zip(nodes) {
        let servers = nodes.iter().map(|node| format!("{} max_fails=0", node.name()));
        http += &upstream(name, &first.replace("llm", name), servers);
    }
    let nginx = Config::new(http).main(main).server(server).start();
    nginx.wait_until_all("fresh");
    nginx
}

/// What is in flight, and the tokens of prompts that nothing has come of yet.
fn in_flight(status: &Status) -> [u64; 2] {
    ["in_flight", "prefill"].map(|name| UPSTREAMS.iter().map(|upstream| status.sum(upstream, name)).sum())
}

/// Waits until nothing is in flight, and gives completions, failures and aborts; each pick has ended in one way.
fn endings(nginx: &Nginx, of: &str) -> [u64; 3] {
    let status = wait_within(SOON, &format!("{of}: nothing in flight"), || {
        Some(nginx.status()).filter(|status| in_flight(status) == [0, 0])
    });
    let sum = |name| UPSTREAMS.iter().map(|upstream| status.sum(upstream, name)).sum::<u64>();
    let ended = ["completions", "failures", "aborts"].map(sum);
    assert_eq!(sum("picks"), ended.iter().sum::<u64>(), "{of}: {ended:?}");
    ended
}

/// One client of a way: it sends a request, and reads to the end of the answer or goes away.
fn ask(to: SocketAddr, way: &Way, n: usize) -> Option<()> {
    let mut socket = TcpStream::connect(to).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let path =
        if way.path.ends_with("key=") { format!("{}{}", way.path, n / CLIENTS) } else { way.path.into() };
    let upgrades = way.path == "/upgrade";
    let connection = if upgrades { "upgrade\r\nUpgrade: websocket" } else { "close" };
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: 5\r\n\r\nhello"
    );
    socket.write_all(request.as_bytes()).ok()?;
    if upgrades {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).ok()?;
            answer.extend(byte);
        }
        socket.write_all(b"ping\n").ok()?;
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).ok()?;
        return (answer.starts_with(b"HTTP/1.1 101") && echo == *b"ping\n").then_some(());
    }
    if way.leaves > 0 && n % way.leaves == 0 {
        // Before anything has come, in the middle, or near the end.
        thread::sleep(Duration::from_millis(n as u64 / 2 % 4 * 6));
        return Some(());
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let whole = answer.ends_with("0\r\n\r\n") || way.path == "/reset";
    (answer.starts_with("HTTP/1.1 200") && whole).then_some(())
}

/// The module, in-flight: a thousand requests on each way that nginx has for them, by twenty clients at once, are counted
/// while they last, and are not 3 s after the last of them.
/// Promise 4.
#[test]
#[ignore = "make faults"]
fn a_thousand_requests_on_each_way() {
    for way in &WAYS {
        let nodes = [Node::several(2), Node::several(2)];
        nodes[0].iter().zip(way.moods).for_each(|(node, mood)| node.set_mood(mood));
        let nginx = start(way.server, "", [&nodes[0], &nodes[1]]);
        let to = nginx.address();
        let seen = watch(to);
        let client = |client| (0..REQUESTS / CLIENTS).map(move |n| ask(to, way, n * CLIENTS + client));
        let answered: usize = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|of| scope.spawn(move || client(of).flatten().count())).collect();
            clients.into_iter().map(|client| client.join().expect("a client")).sum()
        });
        assert_eq!(answered, REQUESTS, "{}: requests that went as they should", way.name);
        let ended = endings(&nginx, way.name);
        let enough = ended.iter().zip(way.at_least).all(|(ended, least)| *ended >= least);
        assert!(enough, "{}: {ended:?} of completions, failures and aborts", way.name);
        let seen = seen.end();
        for of in 0..2 {
            assert!(seen.iter().any(|seen| seen[of] > 0), "{}: {seen:?}", way.name);
        }
    }
}

/// What is in flight meanwhile.
fn watch(to: SocketAddr) -> Meanwhile<[u64; 2]> {
    Meanwhile::start(1, move || {
        thread::sleep(Duration::from_millis(3));
        let answer = Connection::open(to).and_then(|mut to| to.get("/tblb?format=json"));
        in_flight(&Status::parse(&answer.expect("the status").body))
    })
}

/// The module, in-flight: a thousand streams that `worker_shutdown_timeout` cuts off, 250 after each of four reloads, are in
/// flight at the workers that have them; those who follow count their own 250 meanwhile, neither more nor fewer when the
/// others are cut off, and at last nothing.
/// Promises 4 and 9.
#[test]
#[ignore = "make faults"]
fn a_thousand_streams_that_are_shut_down() {
    const HELD: usize = REQUESTS / 4;
    let nodes = [Node::several(2), Node::several(2)];
    let nginx = start("", "worker_shutdown_timeout 1s;", [&nodes[0], &nodes[1]]);
    let processes = nginx.processes().len();
    let hold = |n: usize| -> Vec<Stream> {
        let held = (0..n).map(|_| nginx.stream("/hold/stream")).collect();
        assert_eq!(in_flight(&nginx.status()), [n as u64, 0]);
        held
    };
    let mut held = hold(HELD);
    for next in [HELD, HELD, HELD, 0] {
        nginx.reload();
        let cut = std::mem::replace(&mut held, hold(next));
        wait_for("the workers of before have ended", || (nginx.processes().len() <= processes).then_some(()));
        assert!(cut.into_iter().all(|mut stream| stream.piece().is_ok() && stream.rest().is_err()));
        assert_eq!(in_flight(&nginx.status()), [next as u64, 0]);
    }
    nginx.quit();
}

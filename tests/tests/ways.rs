//! The ways of requests through nginx that are not straight: whatever becomes of a thousand of them, each is in flight
//! while it lasts, and none of them afterwards.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use tblb_tests::client::{Connection, Stream};
use tblb_tests::config::{Config, upstream};
use tblb_tests::meanwhile::Meanwhile;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::Node;
use tblb_tests::status::Status;
use tblb_tests::ways::{Speaks, WAYS, Way};
use tblb_tests::{wait_for, wait_within};

const CLIENTS: usize = 20;
const REQUESTS: usize = 1000;

/// So long what is in flight may take to be right again.
const SOON: Duration = Duration::from_secs(3);

/// Both upstreams: `llm`, and `second` for what a request brings about beside itself or after a failure.
const UPSTREAMS: [&str; 2] = ["llm", "second"];

/// A configuration with both upstreams, and these parameters of the servers of `llm`.
fn config(parameters: &str, nodes: [&[Node]; 2]) -> Config {
    let first = "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s; keepalive 8;";
    let mut http = "proxy_cache_path cache keys_zone=cache:1m;\n".to_owned();
    for ((name, nodes), parameters) in UPSTREAMS.iter().zip(nodes).zip([parameters, "max_fails=0"]) {
        let servers = nodes.iter().map(|node| format!("{} {parameters}", node.name()));
        http += &upstream(name, &first.replace("llm", name), servers);
    }
    Config::new(http)
}

fn start(config: &Config) -> Nginx {
    let nginx = config.start();
    nginx.wait_until_all("fresh");
    nginx
}

/// The sum of a number over all servers.
fn sum(status: &Status, name: &str) -> u64 {
    UPSTREAMS.iter().map(|upstream| status.sum(upstream, name)).sum()
}

/// What is in flight, and the tokens of prompts that nothing has come of yet.
fn in_flight(status: &Status) -> [u64; 2] {
    ["in_flight", "prefill"].map(|name| sum(status, name))
}

/// Waits until nothing is in flight, and what nginx itself counts for `max_conns` is 0 too, and gives completions, failures
/// and aborts; each pick has ended in one way.
fn endings(nginx: &Nginx, of: &str) -> [u64; 3] {
    let status = wait_within(SOON, &format!("{of}: nothing in flight"), || {
        Some(nginx.status()).filter(|status| in_flight(status) == [0, 0] && sum(status, "conns") == 0)
    });
    let ended = ["completions", "failures", "aborts"].map(|name| sum(&status, name));
    assert_eq!(sum(&status, "picks"), ended.iter().sum::<u64>(), "{of}: {ended:?}");
    ended
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
        let config = config(way.parameters, [&nodes[0], &nodes[1]]).server(way.server);
        let nginx = start(&if way.speaks == Speaks::Http1 { config } else { config.http2() });
        let seen = watch(nginx.address());
        let answered = go(way, &nginx);
        assert_eq!(answered, REQUESTS, "{}: requests that went as they should", way.name);
        let ended = endings(&nginx, way.name);
        let enough = ended.iter().zip(way.at_least).all(|(ended, least)| *ended >= least);
        assert!(enough, "{}: {ended:?} of completions, failures and aborts", way.name);
        let seen = seen.end();
        for of in 0..2 {
            assert!(seen.iter().any(|seen| seen[of] > 0), "{}: {seen:?}", way.name);
        }
        if way.parameters.contains("max_conns=1") {
            each_has_room_for_one(&nginx, &nodes[0]);
        }
    }
}

/// Has all clients of a way send their requests, and says how many went as they should.
fn go(way: &Way, nginx: &Nginx) -> usize {
    let clients = way.clients(nginx, CLIENTS);
    let one = |(of, client)| (0..REQUESTS / CLIENTS).filter_map(move |n| way.ask(client, n * CLIENTS + of));
    thread::scope(|scope| {
        let clients: Vec<_> =
            clients.iter().enumerate().map(|client| scope.spawn(move || one(client).count())).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).sum()
    })
}

/// With `max_conns=1` each server takes one request, and no other while it has that.
fn each_has_room_for_one(nginx: &Nginx, nodes: &[Node]) {
    let held: Vec<_> = nodes.iter().map(|_| nginx.stream("/hold/stream")).collect();
    for node in nodes {
        let here = held.iter().filter(|stream| stream.header("x-upstream") == node.name());
        assert_eq!(here.count(), 1, "{}", node.name());
    }
    assert_eq!(nginx.get("/").status, 502);
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
    let config = config("max_fails=0", [&nodes[0], &nodes[1]]).main("worker_shutdown_timeout 1s;");
    let nginx = start(&config);
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

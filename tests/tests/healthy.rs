//! Who is well is not mistaken for who fails, nor an equal for a better one.

use std::thread;
use std::time::Duration;
use tblb_tests::client::Stream;
use tblb_tests::config::{Config, upstream};
use tblb_tests::failures::complete_all;
use tblb_tests::http2::Http2;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, Speed};

/// Clients that ask at a time while an engine seems not to answer.
const CLIENTS: usize = 12;

/// Requests that they send.
const REQUESTS: usize = 300;

/// Silence of a stream after which an engine is looked at.
const SILENCE: Duration = Duration::from_secs(4);

fn nodes(n: usize, speed: Speed) -> Vec<Node> {
    let nodes = Node::several(n);
    nodes.iter().for_each(|node| {
        node.report_itself();
        node.set_speed(speed);
    });
    nodes
}

fn before(nodes: &[Node], metrics: &str) -> Nginx {
    let first = format!("zone llm 512k; tblb; tblb_metrics {metrics}; keepalive 16;");
    Config::new(upstream("llm", &first, nodes.iter().map(Node::name))).http2().start()
}

/// Sends requests, and gives the share of each node.
fn shares(nginx: &Nginx, nodes: &[Node], requests: usize, clients: usize) -> Vec<f64> {
    let seen = || nodes.iter().map(|node| node.seen().requests).collect::<Vec<_>>();
    let before = seen();
    assert_eq!(complete_all(nginx.address(), "/v1/completions", requests, clients), requests, "all are well");
    seen().iter().zip(before).map(|(after, before)| (after - before) as f64 / requests as f64).collect()
}

/// Promise 11: of ten equal engines each gets 5 to 15 % of 500 requests, sent one after another or by four clients, with
/// metrics and without.
#[test]
fn equal_engines_have_equal_shares() {
    let cases = ["off", "interval=500ms timeout=5s"].map(|metrics| [1, 4].map(|clients| (metrics, clients)));
    let share = |(metrics, clients): (&str, usize)| {
        let nodes = nodes(10, Speed { first: 8, gap: 4, tokens: 6 });
        let nginx = before(&nodes, metrics);
        let shares = shares(&nginx, &nodes, 500, clients);
        println!("metrics {metrics}, {clients} clients: {shares:?}");
        shares
    };
    let shares: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            cases.into_iter().flatten().map(|case| scope.spawn(move || share(case))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(shares.iter().flatten().all(|share| (0.05..=0.15).contains(share)), "{shares:?}");
}

/// A stream that pauses, at each of `n` nodes.
fn pausing(nginx: &Nginx, n: usize, pause: Duration) -> Vec<Stream> {
    let path = format!("/v1/completions?tokens=10&pause={}", pause.as_millis());
    let mut streams: Vec<Stream> = Vec::new();
    for _ in 0..20 {
        let stream = nginx.connect().stream("POST", &path, "{\"model\":\"m\"}").expect("a stream");
        if streams.iter().all(|other| other.header("x-upstream") != stream.header("x-upstream")) {
            streams.push(stream);
        }
        if streams.len() == n {
            return streams;
        }
    }
    panic!("20 streams reach {} of {n} nodes", streams.len());
}

/// Promise 11: an engine whose stream pauses, as where a tool call is generated in one piece, still gets requests of 12
/// clients: at least a fifth of its fair share, whether one engine does so or three of four. The stream goes on to its end.
#[test]
fn a_pause_is_no_failure() {
    let measure = |pausing_nodes: usize| {
        let nodes = nodes(4, Speed::default());
        let nginx = before(&nodes, "interval=500ms timeout=5s");
        shares(&nginx, &nodes, 120, 8);
        let streams = pausing(&nginx, pausing_nodes, SILENCE + Duration::from_secs(4));
        thread::sleep(SILENCE);
        let shares = shares(&nginx, &nodes, REQUESTS, CLIENTS);
        let of = |stream: &Stream| nodes.iter().position(|node| node.name() == stream.header("x-upstream"));
        let paused: Vec<_> = streams.iter().map(|stream| shares[of(stream).expect("a node")]).collect();
        println!("{pausing_nodes} of four pause: {paused:?} of {shares:?}");
        for mut stream in streams {
            assert!(stream.rest().expect("the rest").ends_with("data: [DONE]\n\n"));
        }
        paused
    };
    let paused =
        thread::scope(|scope| [1, 3].map(|n| scope.spawn(move || measure(n))).map(|thread| thread.join()));
    let paused = paused.map(|paused| paused.expect("no panic"));
    assert!(paused.iter().flatten().all(|share| *share >= 0.05), "{paused:?}");
}

/// Four nodes, of which three answer clients that do not read, and the shares that they get of 300 requests after some time.
fn shares_beside<T>(name: &str, unread: impl Fn(&Nginx) -> T) -> Vec<f64> {
    let nodes = nodes(4, Speed::default());
    let nginx = before(&nodes, "interval=500ms timeout=5s");
    shares(&nginx, &nodes, 120, 8);
    let busy = || nginx.status().peers("llm").filter(|peer| peer.count("in_flight") > 0).count();
    let mut held = Vec::new();
    while busy() < 3 {
        assert!(held.len() < 20, "20 answers reach {} nodes", busy());
        held.push(unread(&nginx));
    }
    thread::sleep(SILENCE + Duration::from_secs(2));
    let shares = shares(&nginx, &nodes, REQUESTS, CLIENTS);
    println!("{name}, {} answers are held: {shares:?}", held.len());
    shares
}

/// Promise 11: three clients that do not read what comes, by an HTTP/2 window that they leave shut or by a socket that is
/// full, do not turn all requests to the fourth engine: each gets at least 15 % of 300.
#[test]
fn clients_that_do_not_read_are_no_failure() {
    let by_window = |nginx: &Nginx| {
        let client = Http2::open_with_window(nginx.http2_address(), 300).expect("a connection");
        let path = "/v1/completions?tokens=4000&gap=15";
        let answer = client.hold(path, "application/json", b"{\"model\":\"m\"}").expect("an answer");
        (client, answer)
    };
    let by_socket = |nginx: &Nginx| nginx.stream("/flood");
    let [window, socket] = thread::scope(|scope| {
        let window = scope.spawn(|| shares_beside("HTTP/2 window", by_window));
        let socket = scope.spawn(|| shares_beside("full socket", by_socket));
        [window, socket].map(|thread| thread.join().expect("no panic"))
    });
    for shares in [&window, &socket] {
        assert!(
            shares.iter().all(|share| *share >= 0.15),
            "HTTP/2 window {window:?}, full socket {socket:?}"
        );
    }
}

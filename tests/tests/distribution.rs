//! Where requests go: as least_conn sends them where nothing is known, and where the scores say.

use fastrand::Rng;
use std::collections::HashMap;
use tblb_tests::client::{Answer, Stream};
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, whole};

/// Polled so often that a test does not wait for long, and given time to answer on a busy machine.
const POLLED: &str = "tblb_metrics interval=50ms timeout=5s stale=30s;";

fn names(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(Node::name).collect()
}

/// nginx before nodes of these cache uses, which it knows.
fn before_nodes(method: &str, caches: &[f64]) -> (Nginx, Vec<Node>) {
    let nodes = Node::several(caches.len());
    for (node, cache) in nodes.iter().zip(caches) {
        node.report(0.0, 0.0, *cache);
    }
    let first = format!("zone llm 64k; {method} {POLLED}");
    let nginx = Config::new(upstream("llm", &first, names(&nodes))).start();
    nginx.wait_until_all("fresh");
    (nginx, nodes)
}

/// Sends requests one after the other and gives the answers.
fn ask(nginx: &Nginx, requests: usize) -> Vec<Answer> {
    let mut connection = nginx.connect();
    (0..requests)
        .map(|_| {
            let answer = connection.get("/").expect("an answer");
            assert_eq!(answer.status, 200);
            answer
        })
        .collect()
}

/// How many answers came from each node.
fn counts(answers: &[Answer], nodes: &[Node]) -> Vec<usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.header("x-upstream")).or_insert(0) += 1;
    }
    nodes.iter().map(|node| counts.get(node.name().as_str()).copied().unwrap_or(0)).collect()
}

fn assert_reason(answers: &[Answer], reason: &str) {
    assert!(answers.iter().all(|answer| answer.header("x-reason") == reason), "{answers:?}");
}

/// Fails unless the counts are such as these shares give, but once in 1.7 million times: each is binomial, and five
/// standard deviations are allowed.
fn assert_shares(counts: &[usize], shares: &[f64]) {
    let total = counts.iter().sum::<usize>() as f64;
    for (count, share) in counts.iter().zip(shares) {
        let deviation = (share * (1.0 - share) * total).sqrt();
        let off = (*count as f64 - share * total).abs();
        assert!(off <= 5.0 * deviation, "{counts:?} is not {shares:?}");
    }
}

/// Requests that are held at nodes by way of several upstreams at once, the same of each.
struct Held<'a> {
    nginx: &'a Nginx,
    upstreams: &'a [&'a str],
    nodes: &'a [Node],
    streams: Vec<(String, Vec<Stream>)>,
    number: usize,
}

impl Held<'_> {
    /// One more by each upstream; the nodes that they went to.
    fn begin(&mut self) -> Vec<String> {
        self.number += 1;
        // A name that the nodes have not released yet, for another nginx either.
        let name = format!("{}-{}", self.nginx.address().port(), self.number);
        let path = |upstream| format!("/of/{upstream}/hold/{name}");
        let streams: Vec<_> =
            self.upstreams.iter().map(|upstream| self.nginx.stream(&path(upstream))).collect();
        let nodes = streams.iter().map(|stream| stream.header("x-upstream").to_owned()).collect();
        self.streams.push((name, streams));
        nodes
    }

    /// Ends one of them by each upstream.
    fn end(&mut self, index: usize) {
        let (name, streams) = self.streams.swap_remove(index);
        self.nodes.iter().for_each(|node| node.release(&name));
        for mut stream in streams {
            // nginx has freed the peer when it has sent the last chunk.
            assert_eq!(stream.rest(), Ok("held.\n".to_owned()));
        }
    }
}

/// Promise 1: without metrics it is least_conn to the letter: the same requests go to the same servers, those
/// with weights too, ties included, in a zone and outside of one.
#[test]
fn without_metrics_it_is_least_conn_to_the_letter() {
    let nodes = Node::several(4);
    nodes.iter().for_each(Node::report_nothing);
    let upstreams = ["theirs", "off", "nothing", "shown", "best"];
    let methods = [
        "least_conn;",
        "tblb s1_enhanced; tblb_metrics off;",
        "tblb s1;",
        "tblb least_conn;",
        "tblb s2_enhanced pick=best;",
    ];
    for zone in [false, true] {
        let servers =
            nodes.iter().zip([1, 3, 1, 2]).map(|(node, weight)| format!("{} weight={weight}", node.name()));
        let servers: Vec<_> = servers.collect();
        let mut http = upstream("llm", "tblb;", &servers);
        let mut locations = String::new();
        for (name, method) in upstreams.iter().zip(methods) {
            let zone = if zone { format!("zone {name} 64k;") } else { String::new() };
            http += &upstream(name, &format!("{zone} {method}"), &servers);
            locations += &format!("location /of/{name}/ {{ proxy_pass http://{name}/; }}\n");
        }
        // With several workers and no zone, each has counts of its own.
        let nginx = Config::new(http).server(&locations).workers(1).start();
        let mut rng = Rng::with_seed(4711);
        let mut held =
            Held { nginx: &nginx, upstreams: &upstreams, nodes: &nodes, streams: Vec::new(), number: 0 };
        for step in 0..120 {
            // First more and more, then fewer.
            let more = if step < 60 { 0.7 } else { 0.4 };
            if held.streams.is_empty() || rng.f64() < more {
                let went = held.begin();
                assert!(went.iter().all(|node| *node == went[0]), "zone {zone}, step {step}: {went:?}");
            } else {
                held.end(rng.usize(..held.streams.len()));
            }
        }
        while !held.streams.is_empty() {
            held.end(0);
        }
    }
}

/// Promise 1: ties rotate, by one count for all workers where there is a zone.
#[test]
fn ties_rotate_over_all_workers() {
    let nodes = Node::several(3);
    let nginx =
        Config::new(upstream("llm", "zone llm 64k; tblb s1; tblb_metrics off;", names(&nodes))).start();
    // nginx sends the last chunk when it has freed the peer; a body with a Content-Length ends before.
    let answers: Vec<_> = (0..30).map(|_| nginx.get("/tokens")).collect();
    let order = names(&nodes);
    for (turn, answer) in answers.iter().enumerate() {
        assert_eq!(answer.header("x-upstream"), order[turn % 3], "turn {turn}");
    }
    assert_reason(&answers, "least_conn");
    assert_eq!(answers[0].header("x-score"), "-");
}

/// The module: servers are chosen at random, each as often as its score says.
#[test]
fn shares_follow_the_scores() {
    let (nginx, nodes) = before_nodes("tblb s1 waiting=0 cache=1;", &[0.1, 0.5, 0.9]);
    let answers = ask(&nginx, 2000);
    assert_shares(&counts(&answers, &nodes), &[0.9 / 1.5, 0.5 / 1.5, 0.1 / 1.5]);
    assert_reason(&answers, "score");
    let scores = HashMap::from([
        (nodes[0].name(), "0.900000"),
        (nodes[1].name(), "0.500000"),
        (nodes[2].name(), "0.100000"),
    ]);
    for answer in &answers {
        assert_eq!(answer.header("x-score"), scores[answer.header("x-upstream")]);
        assert_eq!(answer.header("x-algorithm"), "s1");
    }
}

/// The module: s1_enhanced goes by queue and cache use.
#[test]
fn s1_enhanced_goes_by_queue_and_cache() {
    let nodes = Node::several(2);
    nodes[0].report(0.0, 5.0, 0.2);
    nodes[1].report(4.0, 5.0, 0.4);
    let nginx = Config::new(upstream("llm", &format!("tblb s1_enhanced; {POLLED}"), names(&nodes)))
        .workers(1)
        .start();
    nginx.wait_until_all("fresh");
    let answers = ask(&nginx, 600);
    // The first has no queue and the least cache use: 0.1·(1 − 0) + 0.9·(1 − 0.2). The second: 0.9·(1 − 1) + 0.
    assert_eq!(counts(&answers, &nodes), [600, 0]);
    assert_eq!(answers[0].header("x-score"), "0.820000");
    assert_eq!(answers[0].header("x-algorithm"), "s1_enhanced");
    assert_eq!(nginx.status().peer("llm", &nodes[1].name()).number("score"), Some(0.0));
}

/// The module: a server's weight multiplies its score.
#[test]
fn weights_of_servers_multiply_scores() {
    let nodes = Node::several(2);
    nodes[0].report(0.0, 0.0, 0.6);
    nodes[1].report(0.0, 0.0, 0.2);
    let servers = [format!("{} weight=4", nodes[0].name()), nodes[1].name()];
    let http = upstream("llm", &format!("zone llm 64k; tblb s1 waiting=0 cache=1; {POLLED}"), servers);
    let nginx = Config::new(http).start();
    nginx.wait_until_all("fresh");
    assert_shares(&counts(&ask(&nginx, 1000), &nodes), &[1.6 / 2.4, 0.8 / 2.4]);
}

/// The module: with `pick=best` the best takes all, and equally good ones take turns.
#[test]
fn the_best_takes_all() {
    let (nginx, nodes) = before_nodes("tblb s1 waiting=0 cache=1 pick=best;", &[0.3, 0.2, 0.2]);
    let answers = ask(&nginx, 200);
    assert_eq!(counts(&answers, &nodes), [0, 100, 100]);
    assert_reason(&answers, "score");
    nodes[0].report(0.0, 0.0, 0.1);
    nginx.wait_for("the new cache use", |status| {
        (status.peer("llm", &nodes[0].name()).number("cache") == Some(0.1)).then_some(())
    });
    assert_eq!(counts(&ask(&nginx, 100), &nodes), [100, 0, 0]);
}

/// The module: `tblb least_conn` shows metrics and does not use them.
#[test]
fn least_conn_shows_metrics_and_does_not_use_them() {
    let (nginx, nodes) = before_nodes("tblb least_conn;", &[0.1, 0.9]);
    let answers = ask(&nginx, 100);
    assert_eq!(counts(&answers, &nodes), [50, 50]);
    assert_reason(&answers, "least_conn");
    let status = nginx.status();
    let peer = status.peer("llm", &nodes[1].name());
    assert_eq!((peer.number("cache"), peer.number("score")), (Some(0.9), None));
}

/// Promise 2: metrics that say that all servers are full still pick.
#[test]
fn full_servers_still_pick() {
    let (nginx, nodes) = before_nodes("tblb s1 waiting=0 cache=1;", &[1.0, 1.0]);
    let answers = ask(&nginx, 100);
    assert_eq!(counts(&answers, &nodes), [50, 50]);
    assert_reason(&answers, "least_conn");
}

/// Promise 6: a server whose metrics grow stale is scored as the median of the others; where all are stale it is
/// least_conn, and when they are fresh again, scores decide again. The status says so all the while.
#[test]
fn stale_metrics_count_no_more() {
    let nodes = Node::several(3);
    for (node, cache) in nodes.iter().zip([0.2, 0.4, 0.8]) {
        node.report(0.0, 0.0, cache);
    }
    // Even when an engine that failed is polled less often, it is polled before its metrics grow stale.
    let method =
        "zone llm 64k; tblb s1 waiting=0 cache=1; tblb_metrics interval=50ms timeout=1s stale=1200ms;";
    let nginx = Config::new(upstream("llm", method, names(&nodes))).start();
    nginx.wait_until_all("fresh");
    let state_of = |node: &Node, state: &str| {
        nginx.wait_for(state, |status| {
            (status.peer("llm", &node.name()).text("state") == state).then_some(())
        });
    };

    nodes[2].answer_metrics(&whole(500, "no"));
    state_of(&nodes[2], "stale");
    let status = nginx.status();
    let peer = status.peer("llm", &nodes[2].name());
    assert_eq!(peer.number("score"), Some(0.6), "by the median, the larger one of two loads");
    assert!(peer.number("age_ms").is_some_and(|age| age > 1200.0), "{peer:?}");
    assert_eq!(peer.number("cache"), Some(0.8), "what was known last is shown");
    let answers = ask(&nginx, 300);
    assert!(counts(&answers, &nodes).iter().all(|count| *count > 0));
    for answer in &answers {
        let stale = answer.header("x-upstream") == nodes[2].name();
        assert_eq!(answer.header("x-reason"), if stale { "stale" } else { "score" });
    }

    nodes.iter().for_each(|node| node.answer_metrics(&whole(500, "no")));
    nginx.wait_until_all("stale");
    let answers = ask(&nginx, 60);
    assert_eq!(counts(&answers, &nodes), [20, 20, 20]);
    assert_reason(&answers, "least_conn");
    assert!(nginx.status().peers("llm").all(|peer| peer.number("score").is_none()));

    nodes.iter().for_each(|node| node.report(0.0, 0.0, 0.5));
    nginx.wait_until_all("fresh");
    assert_reason(&ask(&nginx, 20), "score");
}

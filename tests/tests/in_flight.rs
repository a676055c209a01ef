//! What is in flight at each server, and how it ends: whole, broken, tried elsewhere or passed on.

use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Mood, Node};

/// The method with and without metrics, and in a zone and outside of one.
const METHODS: [&str; 4] = [
    "tblb; tblb_metrics off;",
    "zone llm 64k; tblb; tblb_metrics off;",
    "tblb; tblb_metrics interval=50ms timeout=5s;",
    "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s;",
];

/// Two workers; a server that fails stays in use.
fn start(method: &str, nodes: &[Node], proxying: &str) -> Nginx {
    let servers = nodes.iter().map(|node| format!("{} max_fails=0", node.name()));
    let nginx = Config::new(upstream("llm", method, servers)).server(proxying).start();
    if !method.contains("off") {
        nginx.wait_until_all("fresh");
    }
    nginx
}

/// Picks, completions, failures and aborts at all servers, once nothing is in flight any more and each pick has ended
/// in one way.
fn endings(nginx: &Nginx) -> [u64; 4] {
    nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
    let status = nginx.status();
    for peer in status.peers("llm") {
        let ended = ["completions", "failures", "aborts"].map(|name| peer.count(name));
        assert_eq!(peer.count("picks"), ended.iter().sum::<u64>(), "{peer:?}");
    }
    ["picks", "completions", "failures", "aborts"].map(|name| status.sum("llm", name))
}

/// The module, in-flight: a server has in flight what is held there, by whichever worker, and a server that refuses
/// what then goes on to another has nothing.
/// Promise 4.
#[test]
fn tries_are_in_flight_where_they_are() {
    for method in METHODS {
        let nodes = Node::several(4);
        nodes[0].set_mood(Mood::Close);
        nodes[1].set_mood(Mood::Status(503));
        let nginx = start(method, &nodes, "proxy_next_upstream error http_503;");
        let mut held: Vec<_> = (0..24).map(|_| nginx.stream("/hold/stream")).collect();
        let status = nginx.status();
        let in_flight: Vec<_> =
            nodes.iter().map(|node| status.peer("llm", &node.name()).count("in_flight")).collect();
        let at = |node: &Node| {
            held.iter().filter(|stream| stream.header("x-upstream").ends_with(&node.name())).count() as u64
        };
        assert_eq!(in_flight, [0, 0, at(&nodes[2]), at(&nodes[3])], "{method}");
        let tries: usize = held.iter().map(|stream| stream.header("x-upstream").split(", ").count()).sum();
        nodes.iter().for_each(|node| node.release("stream"));
        assert!(held.iter_mut().all(|stream| stream.rest().is_ok()));
        let (tries, held) = (tries as u64, held.len() as u64);
        assert!(tries > held, "some were tried elsewhere before");
        assert_eq!(endings(&nginx), [tries, held, tries - held, 0], "{method}");
    }
}

/// The module, in-flight: where every server fails the request has been at each, and stays at none.
/// Promise 4.
#[test]
fn a_request_that_all_servers_fail() {
    for method in METHODS {
        let nodes = Node::several(3);
        nodes.iter().for_each(|node| node.set_mood(Mood::Close));
        let nginx = start(method, &nodes, "");
        (0..10).for_each(|_| assert_eq!(nginx.get("/").status, 502, "{method}"));
        assert_eq!(endings(&nginx), [30, 0, 30, 0], "{method}");
    }
}

/// The module, completions: an answer that nginx holds against no server, though it asks the next one, is no failure.
#[test]
fn an_answer_of_404_that_is_passed_over_is_no_failure() {
    for method in METHODS {
        let nodes = Node::several(2);
        nodes.iter().for_each(|node| node.set_mood(Mood::Status(404)));
        let nginx = start(method, &nodes, "proxy_next_upstream error http_404;");
        (0..10).for_each(|_| assert_eq!(nginx.get("/").status, 404, "{method}"));
        assert_eq!(endings(&nginx), [20, 20, 0, 0], "{method}");
    }
}

/// The module, failures: an answer that breaks off in the middle is one, though nginx itself counts none.
/// Promise 4.
#[test]
fn a_stream_that_breaks_is_a_failure() {
    for method in METHODS {
        for proxying in ["proxy_buffering off;", "proxy_buffering on;"] {
            for path in ["/break", "/short"] {
                let nodes = Node::several(2);
                let nginx = start(method, &nodes, proxying);
                for _ in 0..10 {
                    assert!(nginx.try_get(path).is_err(), "{method} {proxying} {path}");
                }
                assert_eq!(endings(&nginx), [10, 0, 10, 0], "{method} {proxying} {path}");
            }
        }
    }
}

/// The module, completions: an answer that sends nginx elsewhere, by X-Accel-Redirect, is whole.
#[test]
fn an_answer_that_redirects_nginx_is_whole() {
    let nodes = Node::several(2);
    let nginx = start(METHODS[0], &nodes, "location = /plain { return 200 plain; }");
    (0..10).for_each(|_| assert_eq!(nginx.get("/elsewhere").body, "plain"));
    assert_eq!(endings(&nginx), [10, 10, 0, 0]);
}

/// The module, in-flight: 24 workers, more than a small machine has processors, each have room to count, though nginx learns
/// their number only after the http block.
/// Promise 4.
#[test]
fn every_worker_counts_wherever_their_number_stands() {
    let nodes = Node::several(2);
    let http = upstream("llm", "zone llm 64k; tblb; tblb_metrics off;", nodes.iter().map(Node::name));
    let nginx = Config::new(http).workers(24).workers_last().reuse_port().start();
    let held: Vec<_> = (0..96).map(|_| nginx.stream("/hold/stream")).collect();
    assert_eq!(nginx.status().sum("llm", "in_flight"), 96);
    assert_eq!(nginx.log_with("[warn]"), [""; 0]);
    nodes.iter().for_each(|node| node.release("stream"));
    drop(held);
    nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
}

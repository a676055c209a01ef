//! `tblb_limit` and `tblb_bypass`: who is left out, and what is done where that leaves nobody.

use std::collections::HashMap;
use tblb_tests::client::Answer;
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::Node;

/// Polled so often that a test does not wait for long, and given time to answer on a busy machine.
const POLLED: &str = "tblb_metrics interval=50ms timeout=5s stale=30s;";

/// nginx before nodes that it knows, with these directives.
fn before(nodes: &[Node], directives: &str) -> Nginx {
    let names: Vec<_> = nodes.iter().map(Node::name).collect();
    let nginx = Config::new(upstream("llm", &format!("zone llm 64k; {POLLED} {directives}"), names)).start();
    nginx.wait_until_all("fresh");
    nginx
}

/// Sends requests one after the other and gives the answers, none of which may be an error.
fn ask(nginx: &Nginx, requests: usize) -> Vec<Answer> {
    let mut connection = nginx.connect();
    let answers = (0..requests).map(|_| connection.get("/").expect("an answer"));
    answers.inspect(|answer| assert_eq!(answer.status, 200)).collect()
}

/// How many answers came from each node, and the reasons that they came for.
fn told(answers: &[Answer], nodes: &[Node]) -> (Vec<usize>, Vec<String>) {
    let mut counts = HashMap::new();
    answers.iter().for_each(|answer| *counts.entry(answer.header("x-upstream")).or_insert(0) += 1);
    let mut reasons: Vec<_> = answers.iter().map(|answer| answer.header("x-reason").to_owned()).collect();
    reasons.sort();
    reasons.dedup();
    (nodes.iter().map(|node| counts.get(node.name().as_str()).copied().unwrap_or(0)).collect(), reasons)
}

/// Waits until nginx knows that this node reports so many waiting requests.
fn wait_for_waiting(nginx: &Nginx, node: &Node, waiting: f64) {
    let name = node.name();
    nginx.wait_for("the new metrics", |status| {
        (status.peer("llm", &name).number("waiting") == Some(waiting)).then_some(())
    });
}

/// A server that is strictly over a limit gets nothing while another is under it, whatever the algorithm; where all
/// are over, it is least_conn over all of them; and a server that recovers is in again.
#[test]
fn a_server_over_a_limit_is_left_out_while_another_is_not() {
    for (method, reason) in
        [("tblb s1;", "score"), ("tblb s1 pick=best;", "score"), ("tblb least_conn;", "least_conn")]
    {
        let nodes = Node::several(3);
        nodes[0].report(16.0, 0.0, 0.0);
        nodes[1].report(0.0, 201.0, 0.0);
        nodes[2].report(15.0, 200.0, 0.9);
        let nginx = before(&nodes, &format!("{method} tblb_limit waiting=15 running=200;"));
        assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![0, 0, 30], vec![reason.into()]), "{method}");

        nodes[2].report(17.0, 200.0, 0.9);
        wait_for_waiting(&nginx, &nodes[2], 17.0);
        assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![10, 10, 10], vec!["limit".into()]), "{method}");

        nodes[0].report(14.0, 0.0, 0.0);
        wait_for_waiting(&nginx, &nodes[0], 14.0);
        assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![30, 0, 0], vec![reason.into()]), "{method}");
    }
}

/// A server of which nothing is known is over no limit.
#[test]
fn a_server_without_metrics_is_kept() {
    let nodes = Node::several(2);
    nodes[0].report_nothing();
    nodes[1].report(16.0, 0.0, 0.0);
    let names = nodes.iter().map(Node::name);
    let first = format!("zone llm 64k; {POLLED} tblb s1; tblb_limit waiting=15;");
    let nginx = Config::new(upstream("llm", &first, names)).start();
    wait_for_waiting(&nginx, &nodes[1], 16.0);
    assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![30, 0], vec!["stale".into()]));
}

/// A limit does not bring in backup servers: they serve where no primary server can.
#[test]
fn backup_servers_wait_for_primary_ones_to_fail() {
    let nodes = Node::several(3);
    nodes[..2].iter().for_each(|node| node.report(16.0, 0.0, 0.0));
    let servers = [nodes[0].name(), nodes[1].name(), format!("{} backup", nodes[2].name())];
    let first = format!("zone llm 64k; {POLLED} tblb s1; tblb_limit waiting=15;");
    let nginx = Config::new(upstream("llm", &first, servers)).start();
    nginx.wait_until_all("fresh");
    assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![15, 15, 0], vec!["limit".into()]));
}

/// Under bypass neither scores nor limits count, and the status still shows what is known.
#[test]
fn bypass_is_plain_least_conn() {
    let nodes = Node::several(3);
    for (node, cache) in nodes.iter().zip([0.0, 0.5, 1.0]) {
        node.report(16.0 * cache, 0.0, cache);
    }
    let nginx = before(&nodes, "tblb s1 pick=best; tblb_limit waiting=15; tblb_bypass on;");
    assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![10, 10, 10], vec!["bypass".into()]));
    assert!(nginx.status().peers("llm").all(|peer| peer.number("score").is_some()));

    let nginx = before(&nodes, "tblb s1 pick=best; tblb_limit waiting=15; tblb_bypass off;");
    assert_eq!(told(&ask(&nginx, 30), &nodes), (vec![30, 0, 0], vec!["score".into()]));
}

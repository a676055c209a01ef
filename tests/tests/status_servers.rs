//! Servers that the status must tell apart: those that are down, and those that stand in an upstream twice.

use std::collections::HashSet;
use tblb_tests::config::{Config, upstream};
use tblb_tests::node::{Mood, Node};

/// A server that is marked down or out for its failures has no score, and no other server is measured by how idle it is.
/// Promise 6.
#[test]
fn a_server_that_is_down_has_no_score() {
    let nodes = Node::several(3);
    nodes.iter().for_each(|node| node.report(0.0, 4.0, 0.5));
    nodes[0].report(0.0, 0.0, 0.0);
    let servers = [
        format!("{} down", nodes[0].name()),
        format!("{} max_fails=1 fail_timeout=60s", nodes[1].name()),
        nodes[2].name(),
    ];
    for method in ["least_work", "s1 pick=best"] {
        let first = format!("zone llm 64k; tblb {method}; tblb_metrics interval=50ms timeout=5s;");
        let nginx = Config::new(upstream("llm", &first, &servers)).start();
        nginx.wait_until_all("fresh");
        let score = |node: &Node| nginx.status().peer("llm", &node.name()).number("score");
        assert_eq!(score(&nodes[0]), None, "{method}");
        assert!(score(&nodes[1]).is_some() && score(&nodes[2]).is_some(), "{method}");
        if method == "least_work" {
            let scores = nodes[1..].iter().filter_map(score).reduce(f64::max);
            assert_eq!(scores, Some(1.0), "the best that is up");
        }
        nodes[1].set_mood(Mood::Close);
        nginx.wait_for("it is out for its failures", |_| {
            nginx.get("/tokens");
            score(&nodes[1]).is_none().then_some(())
        });
        let text = nginx.get("/tblb?format=prometheus").body;
        for (node, down) in nodes.iter().zip([1, 1, 0]) {
            let labels = format!("{{upstream=\"llm\",server=\"{}\"}}", node.name());
            assert!(text.contains(&format!("nginx_tblb_down{labels} {down}\n")), "{text}");
            assert_eq!(text.contains(&format!("nginx_tblb_score{labels} ")), down == 0, "{text}");
        }
        nodes[1].set_mood(Mood::Well);
    }
}

/// A server that stands in an upstream twice, as a backup server too, has series of its own for each place.
/// Promise 10.
#[test]
fn a_server_that_stands_twice_has_series_of_its_own() {
    let nodes = Node::several(2);
    let (one, other) = (nodes[0].name(), nodes[1].name());
    let servers = [one.clone(), other.clone(), format!("{one} weight=3"), format!("{one} backup")];
    let nginx = Config::new(upstream("llm", "zone llm 64k; tblb; tblb_metrics off;", servers)).start();
    nginx.get("/tokens");
    let text = nginx.get("/tblb?format=prometheus").body;
    let mut all = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').expect("a sample").0;
        assert!(all.insert(series), "{series} comes twice");
    }
    for (labels, weight) in [
        (format!("\"{one}\",place=\"1\""), 1),
        (format!("\"{other}\""), 1),
        (format!("\"{one}\",place=\"3\""), 3),
        (format!("\"{one}\",place=\"4\""), 1),
    ] {
        let sample = format!("nginx_tblb_weight{{upstream=\"llm\",server={labels}}} {weight}\n");
        assert!(text.contains(&sample), "{sample} in {text}");
    }
}

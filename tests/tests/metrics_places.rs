//! Where metrics are asked for: places that one server has of its own, addresses that several upstreams share, and what the log
//! says of places where there is nothing.

use std::time::{Duration, Instant};
use tblb_tests::config::{Checked, Config, upstream};
use tblb_tests::node::{Node, page, whole};
use tblb_tests::wait_for;

const POLLED: &str = "tblb_metrics interval=50ms timeout=5s stale=30s;";

/// The module: engines of one host with metrics at ports of their own, at another address, and nowhere, each by `tblb_server`.
#[test]
fn each_server_has_a_place_of_its_own() {
    let serving = Node::several(4);
    let metrics = Node::several(2);
    metrics[0].answer_metrics(&page(1.0, 0.0, 0.0));
    metrics[1].report_at("/engine/metrics");
    metrics[1].answer_metrics(&page(2.0, 0.0, 0.0));
    serving[2].answer_metrics(&page(3.0, 0.0, 0.0));
    let names: Vec<_> = serving.iter().map(Node::name).collect();
    let own = format!(
        "tblb_server {} port={}; tblb_server {} metrics=http://localhost:{}/engine/metrics; tblb_server {} metrics=off;",
        names[0],
        metrics[0].address().port(),
        names[1],
        metrics[1].address().port(),
        names[3]
    );
    // The directives may stand before the servers or after them.
    for (first, last) in [(own.as_str(), ""), ("", own.as_str())] {
        let http = upstream("llm", &format!("zone llm 64k; tblb; {POLLED} {first}"), &names).replacen(
            "\n}",
            &format!("\n{last}\n}}"),
            1,
        );
        let nginx = Config::new(http).start();
        nginx.wait_for("those that are polled are fresh", |status| {
            names[..3].iter().all(|name| status.peer("llm", name).text("state") == "fresh").then_some(())
        });
        let status = nginx.status();
        let waiting = |name: &String| status.peer("llm", name).number("waiting");
        assert_eq!(names.iter().map(waiting).collect::<Vec<_>>(), [Some(1.0), Some(2.0), Some(3.0), None]);
        assert_eq!(status.peer("llm", &names[3]).text("state"), "unknown");
        assert_eq!(nginx.get("/").status, 200);
    }
    let polls = serving.iter().map(|node| node.seen().polls > 0).collect::<Vec<_>>();
    assert_eq!(polls, [false, false, true, false]);
}

fn check(directives: &str, servers: &[&str]) -> Checked {
    Config::new(upstream("llm", &format!("tblb;\n{directives}"), servers)).check()
}

/// Bad input: a server that the upstream does not have, one that is named twice, and a name that does not resolve are refused,
/// with the line of the directive.
#[test]
fn servers_that_are_not_there_are_refused() {
    let servers = ["127.0.0.1:9", "localhost:10", "127.0.0.2"];
    for known in ["127.0.0.1:9", "localhost:10", "127.0.0.1:10", "127.0.0.2", "127.0.0.2:80"] {
        let checked = check(&format!("tblb_server {known} port=8002;"), &servers);
        assert!(checked.right, "{known}: {}", checked.said);
    }
    for (wrong, said) in [
        (
            "tblb_server 127.0.0.1:11 port=1;",
            "unknown server \"127.0.0.1:11\", expected one of the upstream: \"127.0.0.1:9\", \"localhost:10\"",
        ),
        (
            "tblb_server 127.0.0.1:9 port=1;\ntblb_server 127.0.0.1:9 metrics=off;",
            "duplicate server \"127.0.0.1:9\"",
        ),
        (
            "tblb_server 127.0.0.1:9 metrics=http://no-such-host.invalid/;",
            "host not found in \"no-such-host.invalid\"",
        ),
        ("tblb_server 127.0.0.1:9 port=1 metrics=off;", "expected one place of metrics"),
        ("tblb_server 127.0.0.1:9;", "invalid number of parameters"),
    ] {
        // A line before, so that the line of the directive is not the first of the block.
        let checked = check(&format!("# a comment\n{wrong}"), &servers);
        let last = wrong.lines().last().unwrap_or_default();
        let place = format!("in \"tblb_server\" directive in {}", checked.place(last));
        let line = checked.said.lines().find(|line| line.contains("[emerg]")).unwrap_or_default();
        assert!(!checked.right && line.contains(said) && line.contains(&place), "{wrong}: {}", checked.said);
    }
}

/// Upstreams that have the same servers poll each of them once for all, and never twice at a time; what it reports is that of
/// the server in each, and an interval that one of them asks for holds for all.
/// Promise 5.
#[test]
fn upstreams_that_share_engines_poll_them_once() {
    let node = Node::start();
    node.report(3.0, 2.0, 0.5);
    let of = |name: &str, interval: &str| {
        let first = format!("zone {name} 64k; tblb; tblb_metrics interval={interval} timeout=5s stale=60s;");
        // The same server twice in one of them.
        upstream(name, &first, [node.name(), node.name()])
    };
    let http = of("llm", "10s")
        + &(0..20).map(|n| of(&format!("u{n}"), if n == 7 { "500ms" } else { "1s" })).collect::<String>();
    let nginx = Config::new(http).start();
    nginx.wait_until_all("fresh");
    let (before, start) = (node.seen().polls, Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let (polls, time) = (node.seen().polls - before, start.elapsed().as_secs_f64());
    let expected = time / 0.5;
    assert!((0.7 * expected..1.3 * expected).contains(&(polls as f64)), "{polls} in {time} s");
    let status = nginx.status();
    for name in ["llm", "u0", "u7", "u19"] {
        let peer = status.peer(name, &node.name());
        assert_eq!((peer.number("waiting"), peer.number("running")), (Some(3.0), Some(2.0)), "{name}");
    }
    // One line for all.
    assert_eq!(
        nginx.log_with(&format!("metrics of {} in upstream", node.name())).len(),
        1,
        "{}",
        nginx.log()
    );
}

/// The line of a fault says what was asked, the status, where a redirect leads and what to do, and nothing that is secret.
/// Promises 7 and 10.
#[test]
fn the_log_says_what_was_asked_and_what_to_do() {
    let html = "<!doctype html><html><body>a chat page</body></html>";
    let moved =
        b"HTTP/1.1 307 Moved\r\nLocation: /metrics/?token=s3cret\r\nContent-Length: 0\r\n\r\n".to_vec();
    for (answer, told, cure, fault) in [
        (whole(404, "nothing"), "/metrics, status 404; ", "path= or port=", "status"),
        (whole(401, "nobody"), "/metrics, status 401; ", "tblb_metrics_auth", "status"),
        (moved, "/metrics, status 307, redirect to /metrics/; ", "path=", "redirect"),
        (whole(200, html), "/metrics, status 200; ", "path= or port=", "html"),
        (whole(200, "[]"), "/metrics, status 200; ", "path= or port=", "json"),
    ] {
        let node = Node::start();
        node.report_at("/metrics?token=s3cret");
        node.answer_metrics(&answer);
        let first = format!(
            "tblb; tblb_metrics path=/metrics?token=s3cret {};",
            POLLED.trim_start_matches("tblb_metrics ").trim_end_matches(';')
        );
        let nginx = Config::new(upstream("llm", &first, [node.name()])).start();
        let line = wait_for("a line of the fault", || nginx.log_with("no metrics of").first().cloned());
        assert!(line.contains(&format!("(GET http://{}{told}", node.name())), "{line}");
        assert!(line.contains(cure) && line.ends_with(fault), "{line}");
        assert!(!line.contains("s3cret"), "{line}");
        let polls = nginx.wait_for("it is counted", |status| {
            let polls = status.peer("llm", &node.name()).part("polls").text("fault").to_owned();
            (polls != "null").then_some(polls)
        });
        assert_eq!(polls, fault);
    }
    // Nobody answers.
    let nginx = Config::new(upstream("llm", &format!("tblb; {POLLED}"), ["127.0.0.1:9"])).start();
    let line = wait_for("a line of the fault", || nginx.log_with("no metrics of").first().cloned());
    assert!(
        line.contains("(GET http://127.0.0.1:9/metrics; start the engine") && line.ends_with("refused"),
        "{line}"
    );
}

//! The variables, in the access log and in headers.

use tblb_tests::config::{Config, upstream};
use tblb_tests::node::{Mood, Node};
use tblb_tests::wait_for;

const POLLED: &str = "tblb_metrics interval=50ms timeout=5s;";

/// The module, variables: one value for each try, separated as in `$upstream_addr`, `-` where there is none, in the
/// access log too; and none at all where no upstream of ours has the request.
#[test]
fn variables() {
    let nodes = Node::several(2);
    nodes[0].set_mood(Mood::Close);
    let servers = nodes.iter().map(|node| format!("{} max_fails=0", node.name()));
    let method = format!("tblb s1 waiting=0 cache=1 pick=best; {POLLED}");
    nodes[0].report(0.0, 0.0, 0.25);
    nodes[1].report(0.0, 0.0, 0.5);
    let http = upstream("llm", &method, servers);
    let locations =
        "location /redirected { proxy_pass http://llm; proxy_intercept_errors on; error_page 404 = @else; }
                     location @else { proxy_pass http://llm; }
                     location = /plain { return 204; }
                     location /early/ { proxy_pass http://llm/; proxy_set_header X-Reason $tblb_reason;
                                        add_header X-TTFT $tblb_ttft; }";
    let nginx = Config::new(http).server(locations).workers(1).start();
    nginx.wait_until_all("fresh");
    // The best closes the connection, so that each request goes on to the other.
    assert_eq!(nginx.get("/tokens").status, 200);
    let logged = nginx.logged("/tokens");
    assert_eq!(logged.upstream, format!("{}, {}", nodes[0].name(), nodes[1].name()));
    assert_eq!(logged.algorithm, "s1, s1");
    assert_eq!(logged.reason, "score, score");
    assert_eq!(logged.score, "0.750000, 0.500000");
    let (first, second) = logged.ttft.split_once(", ").expect("two values");
    assert!(first == "-" && second.parse::<f64>().is_ok(), "{logged:?}");

    // An internal redirect leads to another upstream, with a colon between. The best has just failed, so both are the other.
    nodes.iter().for_each(|node| node.set_mood(Mood::Status(404)));
    nginx.get("/redirected");
    let logged = nginx.logged("/redirected");
    assert_eq!(logged.upstream, format!("{0} : {0}", nodes[1].name()));
    assert_eq!((logged.algorithm.as_str(), logged.reason.as_str()), ("s1 : s1", "score : score"));
    assert_eq!(logged.score, "0.500000 : 0.500000");

    // What was said to an engine before one was picked, or to the client before the body, is not what the log says.
    nodes.iter().for_each(|node| node.set_mood(Mood::Well));
    assert_eq!(nginx.get("/early/tokens").header("x-ttft"), "-");
    let logged = nginx.logged("/early/tokens");
    assert_eq!((logged.reason.as_str(), logged.algorithm.as_str()), ("score", "s1"));
    assert!(logged.ttft.parse::<f64>().is_ok(), "{logged:?}");

    assert_eq!(nginx.get("/plain").status, 204);
    let logged = nginx.logged("/plain");
    assert_eq!([&logged.algorithm, &logged.reason, &logged.score, &logged.ttft], ["-"; 4]);
    wait_for("no request in flight", || (nginx.status().sum("llm", "in_flight") == 0).then_some(()));
}

/// The module, variables: the model is what was read of the request, where no engine names models too, and no name of a model
/// ends a header.
/// Promise 10.
#[test]
fn the_model_that_was_read() {
    let node = Node::start();
    let http = upstream("llm", "zone llm 64k; tblb; tblb_metrics off;", [node.name()])
        + "log_format model '$uri|$tblb_model'; client_body_buffer_size 8k;";
    let locations = "access_log model.log model; add_header X-Model $tblb_model always;
                     location = /none { return 204; }";
    let nginx = Config::new(http).server(locations).workers(1).start();
    let long = format!("{{\"prompt\": \"{}\", \"model\": \"in a file\"}}", "x".repeat(20_000));
    for (path, body, model) in [
        ("/tokens/1", r#"{"model": "org/name:7b", "prompt": "x"}"#, "org/name:7b"),
        ("/tokens/2", r#"{"model": "a\r\nSet-Cookie: b", "prompt": "x"}"#, r"a\x0D\x0ASet-Cookie: b"),
        ("/tokens/3", &long, "in a file"),
        ("/tokens/4", r#"{"prompt": "x"}"#, ""),
        ("/none", "", ""),
    ] {
        let answer = nginx.connect().send("POST", path, &[], body).expect("an answer");
        assert_eq!((answer.header("x-model"), answer.header("set-cookie")), (model, ""), "{path}");
        let logged = if model.is_empty() { "-".to_owned() } else { model.replace('\\', r"\x5C") };
        let line = format!("{path}|{logged}");
        wait_for(&line, || nginx.read("model.log").lines().any(|found| found == line).then_some(()));
    }
}

/// The module, variables: a request that is refused for its model shows the model, and no server.
#[test]
fn the_model_that_no_server_has() {
    let node = Node::start();
    node.report(0.0, 0.0, 0.5);
    let method = format!("zone llm 64k; tblb; {POLLED} tblb_model $http_x_model;");
    let http =
        upstream("llm", &method, [node.name()]) + "log_format model '$uri|$status|$tblb_model|$tblb_reason';";
    let nginx = Config::new(http).server("access_log model.log model;").workers(1).start();
    nginx.wait_until_all("fresh");
    let answer = nginx.connect().send("POST", "/tokens", &[], r#"{"model": "other"}"#).expect("an answer");
    assert_eq!(answer.status, 404);
    let line = "/tokens|404|other|-";
    wait_for(line, || nginx.read("model.log").lines().any(|found| found == line).then_some(()));
}

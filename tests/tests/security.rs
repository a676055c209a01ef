//! What strangers see and say: the status shows what it should to those whom it is opened for, and names do no harm.

use std::io::{Read, Write};
use std::net::TcpStream;
use tblb_tests::PATIENCE;
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, whole};

/// A name that would be markup, an end of a string or of a line wherever it is not escaped.
const HOSTILE: &str = "<script>alert('1')</script>&\"\\";

/// The name within quotes of nginx's configuration, and as the label of a sample.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The forms of the status.
fn forms(nginx: &Nginx) -> [String; 3] {
    ["json", "html", "prometheus"].map(|form| nginx.get(&format!("/tblb?format={form}")).body)
}

/// Names of upstreams and servers, which operators choose, and of models, which engines do, are shown as they are, and
/// stay names in each form of the status.
/// Promise 10.
#[test]
fn hostile_names_are_escaped() {
    let node = Node::start();
    let labels = format!("{{model_name=\"{}\\n\"}}", quoted(HOSTILE));
    let page = format!(
        "vllm:num_requests_waiting{labels} 1\nvllm:num_requests_running{labels} 2\nvllm:kv_cache_usage_perc{labels} 0.5\n"
    );
    node.answer_metrics(&whole(200, &page));
    let socket = format!("unix:/{HOSTILE}");
    let http = upstream("llm", "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s;", [node.name()])
        + &upstream(&format!("\"{}\"", quoted(HOSTILE)), "tblb;", [format!("\"{}\"", quoted(&socket))]);
    let nginx = Config::new(http).start();
    nginx.wait_for("the metrics", |status| {
        (status.peer("llm", &node.name()).text("state") == "fresh").then_some(())
    });

    let status = nginx.status();
    assert_eq!(status.peer(HOSTILE, &socket).count("weight"), 1);
    let [json, html, prometheus] = forms(&nginx);
    let models: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let model = &models["upstreams"][0]["peers"][0]["models"][0]["name"];
    assert_eq!(model.as_str(), Some(format!("{HOSTILE}\n").as_str()), "{json}");
    let harmless = "&lt;script&gt;alert('1')&lt;/script&gt;&amp;&quot;\\";
    assert_eq!(html.matches(harmless).count(), 3, "of the upstream, its server, and the model: {html}");
    assert!(!html.contains("<script>"), "{html}");
    for line in prometheus.lines() {
        assert!(line.starts_with('#') || line.starts_with("nginx_tblb_"), "{line}");
    }
    let label = format!("upstream=\"{0}\",server=\"unix:/{0}\"", quoted(HOSTILE));
    assert!(prometheus.contains(&label), "{prometheus}");
}

/// A text in Latin-1, which is no UTF-8 where it is not ASCII.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(char).expect("a character of Latin-1")).collect()
}

/// The whole answer to a request for a form of the status, byte by byte.
fn form(nginx: &Nginx, form: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(nginx.address()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request = format!("GET /tblb?format={form} HTTP/1.0\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    answer
}

/// Names of groups, servers and models that are no UTF-8, which all of the status is: each form of it stays so, and shows
/// what there is of the names. Two groups whose names look alike then are two all the same.
/// Promise 10.
#[test]
fn names_that_are_no_text_are_shown_as_far_as_they_are() {
    let nodes = Node::several(2);
    let page = "vllm:num_requests_waiting{model_name=\"café\"} 1\nvllm:num_requests_running{model_name=\"café\"} 2\n";
    let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", latin1(page).len());
    nodes[0].answer_metrics(&latin1(&(header + page)));
    let polled = "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s;";
    let servers = [nodes[1].name(), "unix:/café down".to_owned()];
    let group = |name| upstream(name, "zone other 64k; tblb; tblb_metrics off;", &servers);
    let nginx = Config::new(upstream("llm", polled, [nodes[0].name()]) + "include groups;")
        .server("location /one { proxy_set_header Host one; include one; }")
        .file("groups", latin1(&(group("café") + &group("cafè"))))
        .file("one", latin1("proxy_pass http://café;"))
        .start();
    nginx.wait_until_all("fresh");
    assert_eq!(nginx.get("/one").status, 200);

    let [json, html, prometheus] = ["json", "html", "prometheus"]
        .map(|name| String::from_utf8(form(&nginx, name)).expect("a form that is UTF-8"));
    let status: serde_json::Value =
        serde_json::from_str(json.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let shown = "caf\u{fffd}";
    let groups = [0, 1, 2].map(|group| &status["upstreams"][group]);
    assert_eq!(groups.map(|group| group["name"].as_str()), [Some("llm"), Some(shown), Some(shown)]);
    assert_eq!(groups[0]["peers"][0]["models"][0]["name"], shown);
    assert_eq!(groups[1]["peers"][1]["server"], format!("unix:/{shown}"));
    assert_eq!(groups.map(|group| group["peers"][0]["picks"].as_u64()), [Some(0), Some(1), Some(0)]);
    assert_eq!(html.matches(shown).count(), 5, "of two groups, a server of each, and the model: {html}");
    assert!(prometheus.contains(&format!("server=\"unix:/{shown}\"")), "{prometheus}");
}

/// The status is shown only where its directive stands: a location within such a one does not show it.
/// Promise 10.
#[test]
fn the_status_is_shown_only_where_it_is_asked_for() {
    let node = Node::start();
    let inner = "location /outer/ { tblb_status json; location /outer/inner/ { proxy_pass http://llm/; } }";
    let nginx = Config::new(upstream("llm", "tblb; tblb_metrics off;", [node.name()])).server(inner).start();
    assert!(nginx.get("/outer/").body.contains("upstreams"));
    for path in ["/outer/inner/", "/", "/status"] {
        let answer = nginx.get(path);
        assert_eq!((answer.status, answer.header("x-upstream")), (200, node.name().as_str()), "{path}");
        assert!(!answer.body.contains("upstreams"), "{path}");
    }
}

//! What strangers see and say: the status shows what it should to those whom it is opened for, and names do no harm.

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

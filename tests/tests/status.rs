//! What operators see: the status in its forms.

use serde_json::{Value, json};
use tblb_tests::config::{Config, build, upstream};
use tblb_tests::engines::{self, MetricsForm, Options};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, page, whole};
use tblb_tests::status::Part;

const POLLED: &str = "tblb_metrics interval=50ms timeout=5s;";

/// nginx with one engine that reports, one that never did, and a backup server.
fn start() -> (Nginx, Vec<Node>) {
    let nodes = Node::several(3);
    nodes[0].report(4.0, 7.0, 0.404);
    nodes[1].report_nothing();
    let servers =
        [format!("{} weight=5", nodes[0].name()), nodes[1].name(), format!("{} backup", nodes[2].name())];
    let http = upstream("llm", &format!("zone llm 64k; tblb s1; {POLLED}"), servers)
        + &upstream("other", "tblb least_conn; tblb_metrics off;", [nodes[2].name()]);
    let locations = "location = /json { tblb_status json; }
                     location = /text { tblb_status prometheus; }
                     location = /html { tblb_status html; }
                     location /other/ { proxy_pass http://other; }";
    let nginx = Config::new(http).server(locations).start();
    nginx.wait_for("the first polls", |status| {
        let polled = status.peers("llm").all(|peer| peer.part("polls").count("count") > 0);
        (polled && status.peer("llm", &nodes[0].name()).text("state") == "fresh").then_some(())
    });
    (nginx, nodes)
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The module, status: JSON has the words of the documentation, and the numbers that engines report.
#[test]
fn json() {
    let (nginx, nodes) = start();
    let answer = nginx.get("/json");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let status = nginx.status();
    assert_eq!(keys(&status.0), ["nginx", "upstreams", "version"]);
    assert_eq!(status.0["nginx"], build().version.map(|number| number.to_string()).join("."));
    assert!(status.0["version"].as_str().is_some_and(|version| version.split('.').count() == 3));
    let llm = status.upstream("llm");
    assert_eq!(keys(llm.0), ["algorithm", "config", "name", "peers", "poller", "unmeasured"]);
    let config = json!({"pick": "random", "bypass": false, "interval_ms": 50, "stale_ms": 2000});
    assert_eq!((llm.part("config").0, llm.count("unmeasured")), (&config, 0));
    assert_eq!(status.upstream("other").part("config").0["interval_ms"], Value::Null);
    assert_eq!(llm.text("algorithm"), "s1");
    assert_eq!(keys(llm.part("poller").0), ["heartbeat_ms", "pid", "state", "threads"]);
    assert_eq!(llm.part("poller").text("state"), "running");
    assert!(llm.part("poller").number("heartbeat_ms").is_some_and(|age| age < 3000.0));
    assert!(nginx.workers().contains(&status.poller().expect("a poller")));
    assert_eq!(status.upstream("other").part("poller").text("state"), "off");

    let peer = status.peer("llm", &nodes[0].name());
    let words = [
        "aborts",
        "age_ms",
        "backup",
        "cache",
        "closed",
        "completions",
        "conns",
        "down",
        "engine",
        "failing",
        "failures",
        "in_flight",
        "models",
        "models_total",
        "picks",
        "polls",
        "prefill",
        "running",
        "score",
        "server",
        "state",
        "suspect",
        "tpot_ms",
        "ttft_ms",
        "waiting",
        "weight",
    ];
    assert_eq!(keys(peer.0), words);
    assert_eq!(keys(peer.part("polls").0), ["count", "fault", "faults", "took_ms"]);
    assert_eq!(keys(peer.part("ttft_ms").0), ["count", "mean", "p50", "p99"]);
    assert_eq!((peer.text("engine"), peer.text("state"), peer.count("weight")), ("vllm", "fresh", 5));
    let numbers = ["waiting", "running", "cache"].map(|signal| peer.number(signal));
    assert_eq!(numbers, [Some(4.0), Some(7.0), Some(0.404)]);
    // The only one with metrics: 0.2·(1 − 0) + 0.8·(1 − 0.404).
    assert!(peer.number("score").is_some_and(|score| (score - 0.6768).abs() < 1e-9));
    assert!(peer.number("age_ms").is_some_and(|age| age < 5000.0));
    assert!(status.peers("llm").map(|peer| peer.0["backup"] == true).eq([false, false, true]));
}

/// Promise 6, unknown is not 0: what is not known is null.
#[test]
fn what_is_not_known_is_null() {
    let (nginx, nodes) = start();
    let status = nginx.status();
    let peer = status.peer("llm", &nodes[1].name());
    assert_eq!((peer.text("state"), peer.text("engine")), ("unknown", "null"));
    for name in ["age_ms", "waiting", "running", "cache"] {
        assert_eq!(peer.number(name), None, "{name}");
    }
    for name in ["mean", "p50", "p99"] {
        assert_eq!(peer.part("ttft_ms").number(name), None, "{name}");
    }
    assert_eq!(peer.part("polls").text("fault"), "status");
    for name in ["picks", "completions", "failures", "aborts", "in_flight", "conns"] {
        assert_eq!(peer.count(name), 0, "{name}");
    }
    // It stands for one that is like the others.
    assert_eq!(peer.number("score"), status.peer("llm", &nodes[0].name()).number("score"));

    let other = status.peer("other", &nodes[2].name());
    assert_eq!((other.text("state"), other.number("score")), ("unknown", None));
    let polls = other.part("polls");
    assert_eq!((polls.count("count"), polls.number("took_ms"), polls.text("fault")), (0, None, "null"));

    // A signal that is not a number is unknown, and the others count.
    let text = String::from_utf8(page(1.0, 2.0, 0.3)).expect("text");
    nodes[0].answer_metrics(text.replace("} 0.3", "} NaN").as_bytes());
    nginx.wait_for("the cache use is unknown", |status| {
        let peer = status.peer("llm", &nodes[0].name());
        (peer.number("cache").is_none() && peer.number("waiting") == Some(1.0)).then_some(())
    });
}

/// The module, status: the engine is found by what it answers, and by its name.
#[test]
fn engines_are_found() {
    let forms =
        [(MetricsForm::Vllm, "vllm"), (MetricsForm::Sglang, "sglang"), (MetricsForm::LlamaCpp, "llamacpp")];
    for (form, name) in forms {
        let engine = engines::start(&Options { metrics: form, ..engines::options() });
        let servers = [engine.addr().to_string()];
        let http = upstream("llm", &format!("tblb; {POLLED}"), &servers)
            + &upstream(
                "named",
                &format!("tblb; tblb_metrics interval=50ms timeout=5s engine={name};"),
                &servers,
            );
        let nginx = Config::new(http).start();
        nginx.wait_for(name, |status| {
            let found = |upstream| status.peer(upstream, &servers[0]).text("engine") == name;
            (found("llm") && found("named")).then_some(())
        });
        assert_eq!(nginx.status().peer("llm", &servers[0]).number("waiting"), Some(0.0), "{name}");
    }
}

/// The value of a sample in Prometheus text.
fn sample(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().expect("a number")
}

/// The module, status: Prometheus text names every family with its type, the labels, and no unknown value.
#[test]
fn prometheus() {
    let (nginx, nodes) = start();
    for _ in 0..20 {
        nginx.get("/tokens");
    }
    let answer = nginx.get("/text");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = &answer.body;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let of_upstream = series.contains("{upstream=\"") || series.starts_with("nginx_tblb_build_info{");
        assert!(series.starts_with("nginx_tblb_") && of_upstream, "{line}");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
    }
    let of =
        |name: &str, node: &Node| format!("nginx_tblb_{name}{{upstream=\"llm\",server=\"{}\"}}", node.name());
    assert_eq!(sample(text, &of("waiting", &nodes[0])), 4.0);
    assert_eq!(sample(text, &of("cache_usage_ratio", &nodes[0])), 0.404);
    assert_eq!(sample(text, &of("fresh", &nodes[0])), 1.0);
    assert_eq!(sample(text, &of("fresh", &nodes[1])), 0.0);
    assert!(!text.contains(&of("waiting", &nodes[1])), "an unknown number is left out");
    let picks: f64 = nodes[..2].iter().map(|node| sample(text, &of("picks_total", node))).sum();
    let firsts: f64 = nodes[..2].iter().map(|node| sample(text, &of("ttft_seconds_count", node))).sum();
    assert_eq!((picks, firsts), (20.0, 20.0));
    let version = build().version.map(|number| number.to_string()).join(".");
    let built =
        format!("nginx_tblb_build_info{{version=\"{}\",nginx=\"{version}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(sample(text, &built), 1.0);
    let configured = "nginx_tblb_config_info{upstream=\"llm\",algorithm=\"s1\",pick=\"random\",metrics=\"on\",bypass=\"off\"}";
    assert_eq!(sample(text, configured), 1.0);
    assert_eq!(sample(text, &of("weight", &nodes[0])), 5.0);
    assert_eq!(
        (sample(text, &of("down", &nodes[0])), sample(text, &of("connections", &nodes[0]))),
        (0.0, 0.0)
    );
    assert_eq!(sample(text, "nginx_tblb_poller_up{upstream=\"llm\"}"), 1.0);
    assert_eq!(sample(text, "nginx_tblb_poller_up{upstream=\"other\"}"), 0.0);
    let faults = of("poll_faults_total", &nodes[1]).replace('}', ",kind=\"status\"}");
    assert!(sample(text, &faults) >= 1.0);
}

/// The module, status: the form is that of the arguments, else that of the directive, else that of the Accept field.
#[test]
fn forms() {
    let (nginx, _nodes) = start();
    let form = |path: &str, accept: &str| {
        let answer = nginx.connect().send("GET", path, &[("accept", accept)], "").expect("an answer");
        assert_eq!(answer.status, 200);
        answer.header("content-type").split(';').next().unwrap_or_default().to_owned()
    };
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    assert_eq!(form("/tblb", "*/*"), "application/json");
    assert_eq!(form("/tblb", browser), "text/html");
    assert_eq!(form("/tblb", "text/plain;version=0.0.4"), "text/plain");
    assert_eq!(form("/tblb?format=html", "application/json"), "text/html");
    assert_eq!(form("/tblb?format=prometheus", browser), "text/plain");
    assert_eq!(form("/tblb?a=b&format=text", browser), "text/plain");
    assert_eq!(form("/json", browser), "application/json");
    assert_eq!(form("/html", "*/*"), "text/html");
    assert_eq!(form("/html?format=json", browser), "application/json");
    assert_eq!(form("/text", browser), "text/plain");
}

/// The module, status: the page shows upstreams, servers and their numbers.
#[test]
fn html() {
    let (nginx, nodes) = start();
    let page = nginx.get("/html").body;
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{page}");
    for text in ["llm", "other", &nodes[0].name(), &nodes[1].name(), "vllm", "0.404", "fresh", "unknown"] {
        assert!(page.contains(text), "no {text} in {page}");
    }
}

/// The module, status: HEAD is answered without a body, so that the connection serves on; other methods are not allowed.
/// Promise 10.
#[test]
fn methods() {
    let (nginx, _nodes) = start();
    for path in ["/tblb", "/json", "/text", "/html"] {
        let mut connection = nginx.connect();
        let head = connection.send("HEAD", path, &[], "").expect("an answer");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert!(head.header("content-length").parse::<u64>().is_ok_and(|length| length > 100), "{path}");
        let get = connection.send("GET", path, &[], "").expect("an answer after that to HEAD");
        assert_eq!(get.status, 200, "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            let answer = nginx.connect().send(method, path, &[], "body").expect("an answer");
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
}

/// The module, status: a signal that one server does not report is unknown there.
#[test]
fn an_engine_without_a_signal_is_scored_by_the_others() {
    let nodes = Node::several(2);
    nodes[0].answer_metrics(&whole(200, "llamacpp:requests_deferred 0\nllamacpp:requests_processing 1\n"));
    nodes[1].report(2.0, 1.0, 0.5);
    let first = format!("tblb s1; {POLLED}");
    let nginx = Config::new(upstream("llm", &first, nodes.iter().map(Node::name))).start();
    nginx.wait_until_all("fresh");
    let status = nginx.status();
    let peers: Vec<Part> = nodes.iter().map(|node| status.peer("llm", &node.name())).collect();
    assert_eq!((peers[0].text("engine"), peers[0].number("cache")), ("llamacpp", None));
    // It is taken to be as full as the other: 0.2 + 0.8·(1 − 0.5), and 0 + 0.8·(1 − 0.5).
    let scores = [0, 1].map(|index| peers[index].number("score").expect("a score"));
    assert!((scores[0] - 0.6).abs() < 1e-9 && (scores[1] - 0.4).abs() < 1e-9, "{scores:?}");
}

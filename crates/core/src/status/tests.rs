use super::*;
use crate::board::{Outcome, Shape};
use crate::engine;
use crate::load::Load;
use crate::model::Models;
use std::sync::atomic::AtomicU64;

fn status(name: &str) -> Status {
    let shape = Shape { upstreams: 1, slots: 2, rows: 1 };
    let words: Vec<_> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
    let board = Board::format(&words, shape).unwrap();
    let slot = board.claim(5, 0, 0).unwrap();
    let load = Load { waiting: Some(4.0), running: Some(2.0), ..Load::default() };
    let mut models = Models::default();
    models.add("<m>\"1\"", Some(0.25));
    models.add("m2", None);
    board.publish_with(slot, &Outcome { at: 900, took: 1500, result: Ok((0, load)) }, Some(&models));
    board.publish(slot, &Outcome { at: 950, took: 9000, result: Err(Fault::ALL[0].index()) });
    board.slot(slot).unwrap().ttft().add(80_000);
    let server = |server: &str| Server { server: server.into(), weight: 1, ..Server::default() };
    let scored = Known { score: Some(0.25), fresh: true, ..Known::default() };
    let peers = vec![
        Peer::of(&board, Some(slot as u32), server("127.0.0.1:8001"), scored, 1000),
        Peer::of(&board, None, server("127.0.0.1:8002"), Known::default(), 1000),
    ];
    let poller = Poller::of(&board, true, 1000);
    Status {
        version: "1.2.3",
        upstreams: vec![Upstream { name: name.into(), algorithm: "s1", poller, peers }],
    }
}

#[test]
fn json_has_the_fixed_words_and_null_for_what_is_not_known() {
    let json: serde_json::Value = serde_json::from_str(&status("llm").render(Format::Json)).unwrap();
    assert_eq!(json["version"], "1.2.3");
    let upstream = &json["upstreams"][0];
    assert_eq!((&upstream["name"], &upstream["algorithm"]), (&"llm".into(), &"s1".into()));
    assert_eq!(upstream["poller"]["state"], "stopped");
    assert!(upstream["poller"]["heartbeat_ms"].is_null());
    let [known, unknown] = [&upstream["peers"][0], &upstream["peers"][1]];
    assert_eq!(known["server"], "127.0.0.1:8001");
    assert_eq!(known["engine"], engine::ALL[0].name);
    assert_eq!(
        (&known["state"], &known["age_ms"], &known["waiting"]),
        (&"fresh".into(), &100.into(), &4.0.into())
    );
    assert_eq!((&known["in_flight"], &known["score"]), (&0.into(), &0.25.into()));
    assert_eq!((&known["ttft_ms"]["mean"], &known["ttft_ms"]["count"]), (&80.0.into(), &1.into()));
    assert_eq!(known["polls"]["fault"], Fault::ALL[0].name());
    assert_eq!(known["polls"]["faults"][Fault::ALL[0].name()], 1);
    assert!(known["cache"].is_null());
    let models = serde_json::json!([{"name": "<m>\"1\"", "utilization": 0.25, "score": 0.75}, {"name": "m2", "utilization": null, "score": null}]);
    assert_eq!(known["models"], models);
    for key in ["engine", "age_ms", "waiting", "running", "cache", "models", "score"] {
        assert!(unknown[key].is_null(), "{key}");
    }
    assert_eq!(unknown["state"], "unknown");
}

#[test]
fn prometheus_text_is_what_our_own_parser_reads() {
    let text = status("a\"b\\c\nd").render(Format::Prometheus);
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("nginx_tblb_"), "{line}");
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && series.contains(r#"upstream="a\"b\\c\nd""#), "{line}");
        samples += 1;
    }
    assert!(samples > 40, "{samples}");
    assert!(text.contains("\",server=\"127.0.0.1:8001\"} 4\n"));
    let models: Vec<_> =
        text.lines().filter(|line| line.starts_with("nginx_tblb_model_utilization_ratio{")).collect();
    assert!(models.len() == 1 && models[0].ends_with(r#",model="<m>\"1\""} 0.25"#), "{models:?}");
    assert!(!text.contains("nginx_tblb_cache_usage_ratio{"), "what is not known has no sample");
}

#[test]
fn a_page_escapes_names() {
    let page = status("<script>\"&").render(Format::Html);
    assert!(page.contains("&lt;script&gt;&quot;&amp;") && !page.contains("<script>"));
    assert!(page.contains("<td>&lt;m&gt;&quot;1&quot; 0.25<br>m2</td>"));
}

#[test]
fn the_form_follows_argument_configuration_and_accept() {
    let of = Format::for_request;
    assert_eq!(of("format=json", Some(Format::Html), "text/html"), Format::Json);
    assert_eq!(of("a=b&format=text", None, ""), Format::Prometheus);
    assert_eq!(of("format=xml", Some(Format::Html), ""), Format::Html);
    assert_eq!(of("", None, "text/html,application/xml;q=0.9"), Format::Html);
    assert_eq!(of("", None, "text/plain;version=0.0.4"), Format::Prometheus);
    assert_eq!(of("", None, "*/*"), Format::Json);
}

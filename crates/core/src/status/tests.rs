use super::*;
use crate::board::{Outcome, Shape};
use crate::engine;
use crate::fault::Fault;
use crate::load::Load;
use crate::model::Models;
use crate::picker::Known;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

const AT: View = View { now: 1000, all_models: false };

fn upstream(name: &str, poller: Poller, peers: Vec<Peer>) -> Upstream {
    let config = Config::of(&Block::default());
    Upstream { name: name.into(), algorithm: "s1", config, unmeasured: 0, poller, peers }
}

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
        Peer::of(&board, Some(slot as u32), server("127.0.0.1:8001"), scored, AT),
        Peer::of(&board, None, server("127.0.0.1:8002"), Known::default(), AT),
    ];
    let poller = Poller::of(&board, true, 1000);
    Status { version: "1.2.3", nginx: "1.28.0", upstreams: vec![upstream(name, poller, peers)] }
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
        let named = series.contains(r#"upstream="a\"b\\c\nd""#) || series.contains("build_info");
        assert!(value.parse::<f64>().is_ok() && named, "{line}");
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

/// The series of Prometheus text, once its lines are seen to be as the format wants them: each family has one HELP and one
/// TYPE, which come before its samples, its samples stand together, and no series comes twice.
fn series(text: &str) -> HashSet<String> {
    let (mut families, mut all) = (HashSet::new(), HashSet::new());
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let family = help.strip_prefix("# HELP ").and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(families.insert(family.to_owned()), "{family} comes twice");
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {family} "))).unwrap();
        assert!(["gauge", "counter", "histogram"].contains(&kind), "{kind}");
        assert_eq!(family.ends_with("_total"), kind == "counter", "{family}");
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let part = ["", "_bucket", "_sum", "_count"].map(|end| format!("{family}{end}"));
            assert!(name == family || (kind == "histogram" && part.contains(&name.to_owned())), "{sample}");
            assert!(value.parse::<f64>().is_ok(), "{sample}");
            assert!(all.insert(series.to_owned()), "{series} comes twice");
        }
    }
    all
}

#[test]
fn a_server_that_stands_twice_has_series_of_its_own_and_upstreams_that_look_alike_too() {
    let mut status = status("a");
    let known = status.upstreams[0].peers[0].clone();
    let mut backup = known.clone();
    backup.server.backup = true;
    status.upstreams[0].peers.extend([known, backup]);
    let again = status.upstreams[0].clone();
    let twice = Status { upstreams: vec![again.clone(), again], ..status.clone() };
    let once = series(&status.render(Format::Prometheus));
    for place in [1, 3, 4] {
        let wanted =
            format!("nginx_tblb_waiting{{upstream=\"a\",server=\"127.0.0.1:8001\",place=\"{place}\"}}");
        assert!(once.contains(&wanted), "{once:?}");
    }
    assert!(once.contains("nginx_tblb_weight{upstream=\"a\",server=\"127.0.0.1:8002\"}"), "{once:?}");
    let twice = series(&twice.render(Format::Prometheus));
    assert!(twice.contains("nginx_tblb_poller_up{upstream=\"a\",upstream_place=\"2\"}"), "{twice:?}");
    assert_eq!(twice.len(), 2 * once.len() - 1, "the build is one");
}

#[test]
fn prometheus_text_describes_the_build_and_the_configuration() {
    let text = status("llm").render(Format::Prometheus);
    assert!(text.contains("\nnginx_tblb_build_info{version=\"1.2.3\",nginx=\"1.28.0\"} 1\n"), "{text}");
    let config = "\nnginx_tblb_config_info{upstream=\"llm\",algorithm=\"s1\",pick=\"random\",metrics=\"on\",bypass=\"off\"} 1\n";
    assert!(text.contains(config), "{text}");
    for (family, value) in [("weight", 1), ("down", 0), ("connections", 0), ("models", 2)] {
        let sample = format!("\nnginx_tblb_{family}{{upstream=\"llm\",server=\"127.0.0.1:8001\"}} {value}\n");
        assert!(text.contains(&sample), "{sample} in {text}");
    }
    assert!(!text.contains("nginx_tblb_models{upstream=\"llm\",server=\"127.0.0.1:8002\"}"), "{text}");
}

/// A server that names `count` models, and is down or not.
fn naming(count: usize, down: bool, all_models: bool) -> Peer {
    let shape = Shape { upstreams: 1, slots: 1, rows: 1 };
    let words: Vec<_> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
    let board = Board::format(&words, shape).unwrap();
    let slot = board.claim(5, 0, 0).unwrap();
    let mut models = Models::default();
    (0..count).for_each(|n| models.add(&format!("{}{n}", "m".repeat(64)), Some(0.5)));
    board.publish_with(slot, &Outcome { at: 900, took: 1, result: Ok((0, Load::default())) }, Some(&models));
    let scored = Known { score: Some(1.0), fresh: true, ..Known::default() };
    let server = Server { down, ..Server::default() };
    Peer::of(&board, Some(slot as u32), server, scored, View { now: 1000, all_models })
}

#[test]
fn models_are_summed_up_and_listed_in_full_on_request() {
    for (count, all, listed) in [(0, false, 0), (4, false, 4), (5, false, 4), (32, false, 4), (32, true, 32)]
    {
        let peer = naming(count, false, all);
        let models = peer.models.as_ref().unwrap();
        assert_eq!((models.len(), peer.models_total), (listed, Some(count)));
        let names: HashSet<_> = models.iter().map(|model| &model.name).collect();
        assert_eq!(names.len(), listed, "names that are cut to the same text differ all the same");
        let poller = Poller { state: "off", heartbeat_ms: None, pid: None, threads: 0 };
        let status = Status { version: "1", nginx: "1", upstreams: vec![upstream("a", poller, vec![peer])] };
        let families = series(&status.render(Format::Prometheus));
        let utilization = families.iter().filter(|series| series.contains("model_utilization_ratio{"));
        assert_eq!(utilization.count(), listed);
        let page = status.render(Format::Html);
        assert_eq!(page.contains(&format!("{} more", count - listed)), count > listed, "{page}");
    }
    let asked = ["models=all", "format=json&models=full"].map(wants_all_models);
    assert_eq!((asked, wants_all_models("format=json&models=none")), ([true; 2], false));
}

#[test]
fn a_server_that_is_down_has_no_score() {
    assert_eq!([true, false].map(|down| naming(1, down, false).score), [None, Some(1.0)]);
}

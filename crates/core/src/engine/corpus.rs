//! What engines answer, and what is read of it.

use super::*;
use crate::load::Load;

/// An answer: of which engine, the body, and what that says of waiting, running and cache.
type Answer = (&'static str, &'static str, [Option<f64>; 3]);

macro_rules! body {
    ($name:literal) => {
        include_str!(concat!("../../corpus/", $name, ".prom"))
    };
}

/// One for each engine, at least. Those of vLLM and llama.cpp were taken from the engines themselves. The others want
/// accelerators that are not at hand; their bodies were written by hand, with the names, help texts and labels that
/// the engine's documentation or source has:
///
/// - SGLang 0.5: its documentation of production metrics, and `SchedulerMetricsCollector`
/// - TGI 3: `docs/source/reference/metrics.md`, written as the exporter of its router writes
/// - trtllm-serve 1.2: `tensorrt_llm/metrics/collector.py`
/// - Triton: the section "Triton Metrics" of the TensorRT-LLM backend's README, here with two models
/// - LMDeploy 0.10: `lmdeploy/metrics/loggers.py`, here with two ranks
/// - MindIE 2.1: the page on the metrics interface in Prometheus' form
/// - NIM for LLMs 1: the page "Observability"
/// - Ray Serve LLM: vLLM's `v1/metrics/ray_wrappers.py`, here with two replicas on a node
/// - Dynamo: the page "Metrics"
/// - Text Embeddings Inference 1: `core/src/queue.rs`, written as the exporter of its router writes
/// - Triton without TensorRT-LLM: the page "Metrics" of Triton's user guide, here with two models
/// - llama.cpp's router: as its server writes, with the label that tells its models apart
const ANSWERS: &[Answer] = &[
    ("vllm", body!("vllm-0.32-loaded"), [Some(4.0), Some(4.0), Some(0.4040404040404041)]),
    ("vllm", body!("vllm-0.32-idle"), [Some(0.0); 3]),
    ("llamacpp", body!("llamacpp-loaded"), [Some(8.0), Some(4.0), None]),
    ("llamacpp", body!("llamacpp-idle"), [Some(0.0), Some(0.0), None]),
    ("sglang", body!("sglang-documented"), [Some(17.0), Some(6.0), Some(0.28)]),
    ("tgi", body!("tgi-documented"), [Some(7.0), Some(12.0), None]),
    ("trtllm", body!("trtllm-documented"), [Some(5.0), Some(9.0), Some(0.625)]),
    ("triton", body!("triton-documented"), [Some(4.0), Some(10.0), Some(0.375)]),
    ("lmdeploy", body!("lmdeploy-documented"), [Some(2.0), Some(9.0), Some(0.75)]),
    ("mindie", body!("mindie-documented"), [Some(4.0), Some(16.0), Some(0.3)]),
    ("nim", body!("nim-documented"), [Some(1.0), Some(21.0), Some(0.0625)]),
    ("ray", body!("ray-documented"), [Some(2.0), Some(5.0), Some(0.25)]),
    ("dynamo", body!("dynamo-documented"), [Some(2.0), Some(3.0), None]),
    ("tei", body!("tei-documented"), [Some(3.0), None, None]),
    ("triton", body!("triton-plain-documented"), [Some(6.0), None, None]),
    ("llamacpp", body!("llamacpp-router"), [Some(1.0), Some(2.0), None]),
];

fn read(choice: Choice, body: &str) -> Result<Reading, crate::fault::Fault> {
    let mut scrape = Scrape::new(choice);
    // In small pieces, so that reading stops as early as it can.
    for piece in body.as_bytes().chunks(64) {
        if scrape.feed(piece)? == Progress::Enough {
            break;
        }
    }
    scrape.finish()
}

#[test]
fn every_engine_is_found_by_its_own_answer_and_read_right() {
    for &engine in ALL.iter().filter(|engine| engine.has_names()) {
        let answers: Vec<_> = ANSWERS.iter().filter(|(name, ..)| *name == engine.name).collect();
        assert!(!answers.is_empty(), "no answer of {engine:?}");
        for (_, body, [waiting, running, cache]) in answers {
            let load = Load { waiting: *waiting, running: *running, cache: *cache, closed: false };
            let expected = Ok((engine, load, None));
            let plain = |reading: Reading| (reading.engine, reading.load, reading.flaw);
            assert_eq!(read(Choice::Auto { remembered: None }, body).map(plain), expected);
            assert_eq!(read(Choice::Named(engine), body).map(plain), expected);
            for &before in ALL {
                let remembered = Choice::Auto { remembered: Some(before) };
                let reading = read(remembered, body).unwrap();
                // Where two share names, what was remembered is taken while any of them is there.
                assert!(reading.engine == engine || shares_names(before, engine), "{before:?}, {engine:?}");
            }
        }
    }
}

fn shares_names(one: &Engine, other: &Engine) -> bool {
    let names = |engine: &'static Engine| {
        Signal::ALL.into_iter().flat_map(move |signal| engine.source(signal).families.iter().map(|f| f.name))
    };
    let (one, other) = (Engine::named(one.name).unwrap(), Engine::named(other.name).unwrap());
    one != other && names(one).any(|name| names(other).any(|theirs| theirs == name))
}

#[test]
fn an_engine_is_asked_where_it_reports() {
    assert_eq!(paths(), ["/metrics", "/prometheus/metrics", "/v1/metrics", "/v1/cluster/load-statistics"]);
    let ports: Vec<_> = ALL.iter().filter_map(|engine| engine.port.map(|port| (engine.name, port))).collect();
    assert_eq!(ports, [("triton", 8002)]);
}

#[test]
fn mindie_may_report_per_cent() {
    let cache = |value: &str| {
        let body = body!("mindie-documented").replace("usage_perc{model_name=\"m\"} 0.3", value);
        read(Choice::Auto { remembered: None }, &body).unwrap().load.cache
    };
    assert_eq!(cache("usage_perc{model_name=\"m\"} 1"), Some(1.0));
    assert_eq!(cache("usage_perc{model_name=\"m\"} 30"), Some(0.3));
    assert_eq!(cache("usage_perc{model_name=\"m\"} 100"), Some(1.0));
}

#[test]
fn every_engine_may_report_its_cache_in_per_cent() {
    for &engine in ALL {
        for family in engine.cache.families {
            let labels: Vec<_> =
                family.select.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let read = |value: &str| {
                let body = format!("{}{{{}}} {value}\n", family.name, labels.join(","));
                read(Choice::Named(engine), &body).map(|reading| reading.load.cache)
            };
            let cache = ["0.35", "35.0", "1.6", "100", "150"].map(read);
            assert_eq!(cache, [0.35, 0.35, 0.016, 1.0, 1.5].map(|cache| Ok(Some(cache))), "{}", family.name);
            assert_eq!(
                ["151", "8192"].map(read),
                [Err(crate::fault::Fault::NotARatio); 2],
                "{}",
                family.name
            );
        }
    }
    let body = "vllm:num_requests_running 1\nvllm:gpu_cache_usage_perc 8192\n";
    let reading = read(Choice::Auto { remembered: None }, body).unwrap();
    assert_eq!((reading.load.running, reading.load.cache), (Some(1.0), None));
    assert_eq!((reading.flaw, reading.flawed), (Some(crate::fault::Fault::NotARatio), Some(Signal::Cache)));
}

/// An engine that has shown that it reports per cent does so when its cache is nearly empty too.
#[test]
fn per_cent_is_remembered() {
    let read = |before: bool, value: &str| {
        let mut scrape = Scrape::new(Choice::Auto { remembered: None }).with_per_cent(before);
        scrape.feed(format!("vllm:kv_cache_usage_perc {value}\n").as_bytes()).unwrap();
        let reading = scrape.finish().unwrap();
        (reading.load.cache, reading.per_cent)
    };
    assert_eq!(read(false, "35.0"), (Some(0.35), true));
    assert_eq!(read(true, "0.8"), (Some(0.008), true));
    assert_eq!(read(false, "0.8"), (Some(0.8), false));
    assert_eq!(read(false, "1.6"), (Some(0.016), false), "it may be a slip");
}

/// The series of one rank that two processes report: of the same requests.
#[test]
fn sglang_counts_a_rank_once_whichever_processes_report_it() {
    let body = "sglang:num_running_reqs{model_name=\"m\",pid=\"101\",tp_rank=\"0\"} 5\n\
                sglang:num_running_reqs{model_name=\"m\",pid=\"77\",tp_rank=\"0\"} 9\n\
                sglang:num_running_reqs{dp_rank=\"1\",model_name=\"m\",pid=\"102\",tp_rank=\"0\"} 2\n\
                sglang:num_queue_reqs{model_name=\"m\",pid=\"101\",tp_rank=\"0\"} 0\n";
    let load = read(Choice::Auto { remembered: None }, body).unwrap().load;
    assert_eq!((load.running, load.waiting), (Some(11.0), Some(0.0)));
}

#[test]
fn engines_name_their_models_in_a_label() {
    let models = |body: &str| {
        let reading = read(Choice::Auto { remembered: None }, body).unwrap();
        reading.models.map(|models| models.list.into_iter().map(|model| model.name).collect::<Vec<_>>())
    };
    for (name, body, _) in ANSWERS {
        let number = match *name {
            "tgi" | "triton" | "tei" => 0,
            "llamacpp" if *body == body!("llamacpp-router") => 2,
            "llamacpp" => 0,
            _ => 1,
        };
        assert_eq!(models(body).map_or(0, |models| models.len()), number, "{name}");
    }
    assert_eq!(models(body!("llamacpp-router")).unwrap(), ["m1", "m2"]);
    let both = "vllm:num_requests_waiting{model=\"a\",model_name=\"b\"} 1\nvllm:num_requests_waiting{model_name=\"c\",model=\"d\"} 1\n";
    assert_eq!(models(both).unwrap(), ["b", "c"]);
    assert_eq!(models(body!("vllm-0.32-loaded")).unwrap(), ["tiny"]);
}

#[test]
fn a_vllm_that_sleeps_is_closed() {
    let awake = "sleep_state=\"awake\"} 1.0";
    let asleep = body!("vllm-0.32-idle").replace(awake, &awake.replace("1.0", "0.0"));
    assert_ne!(asleep, body!("vllm-0.32-idle"));
    let load = |body: &str| read(Choice::Auto { remembered: None }, body).unwrap().load;
    assert!(load(&asleep).closed);
    // One rank of two: what goes there hangs.
    let lines = |states: [&str; 2]| {
        let state = |(rank, state)| {
            format!("vllm:engine_sleep_state{{engine=\"{rank}\",sleep_state=\"awake\"}} {state}\n")
        };
        "vllm:num_requests_waiting 1\n".to_owned()
            + &states.into_iter().enumerate().map(state).collect::<String>()
    };
    assert!(load(&lines(["1.0", "0.0"])).closed);
    assert!(!load(&lines(["1.0", "1.0"])).closed);
    assert!(!load(&lines(["1.0", "NaN"])).closed, "unknown is not asleep");
    // The state may stand behind all signals.
    let last = body!("vllm-0.32-idle").lines().filter(|line| !line.contains("sleep_state"));
    let last = last.collect::<Vec<_>>().join("\n") + "\n" + &lines(["0.0", "0.0"])[28..];
    assert!(load(&last).closed);
}

/// The row of an engine in the page of the directive.
fn row(engine: &Engine) -> String {
    let families = |signal| match engine.source(signal).families {
        [] => "–".to_owned(),
        families => families.iter().map(|family| format!("`{family}`")).collect::<Vec<_>>().join(", "),
    };
    let [waiting, running, cache] = Signal::ALL.map(families);
    let port = engine.port.map_or(String::new(), |port| format!(", port {port}"));
    format!(
        "| `{}` | {} | {waiting} | {running} | {cache} | `{}`{port} |",
        engine.name, engine.title, engine.path
    )
}

#[test]
fn the_page_of_the_directive_has_the_table() {
    let page = include_str!("../../../../docs/directives/tblb_metrics.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = ALL.iter().map(|engine| row(engine)).collect();
    assert_eq!(rows, expected, "the rows should be:\n{}", expected.join("\n"));
}

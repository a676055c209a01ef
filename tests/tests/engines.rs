//! Engines of all kinds at once, and what they say of themselves.

use tblb_tests::config::{Config, upstream};
use tblb_tests::node::{Node, page, whole};
use tblb_tests::wait_for;

/// Polled so often that a test does not wait for long, and given time to answer on a busy machine.
const POLLED: &str = "tblb_metrics interval=50ms timeout=5s stale=30s;";

macro_rules! corpus {
    ($name:literal) => {
        include_str!(concat!("../../crates/core/corpus/", $name, ".prom"))
    };
}

/// An engine, where it reports, and what.
const ENGINES: [(&str, &str, &str); 13] = [
    ("vllm", "/metrics", corpus!("vllm-0.32-loaded")),
    ("sglang", "/metrics", corpus!("sglang-documented")),
    ("llamacpp", "/metrics", corpus!("llamacpp-loaded")),
    ("tgi", "/metrics", corpus!("tgi-documented")),
    ("trtllm", "/prometheus/metrics", corpus!("trtllm-documented")),
    ("triton", "/metrics", corpus!("triton-documented")),
    ("lmdeploy", "/metrics", corpus!("lmdeploy-documented")),
    ("mindie", "/metrics", corpus!("mindie-documented")),
    ("nim", "/v1/metrics", corpus!("nim-documented")),
    ("ray", "/metrics", corpus!("ray-documented")),
    ("dynamo", "/metrics", corpus!("dynamo-documented")),
    ("tei", "/metrics", corpus!("tei-documented")),
    ("triton", "/metrics", corpus!("triton-plain-documented")),
];

fn names(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(Node::name).collect()
}

/// The module: a group of every kind of engine, each found by what it answers and where.
#[test]
fn all_kinds_of_engines_at_once_are_found() {
    let nodes = Node::several(ENGINES.len());
    for (node, (_, path, body)) in nodes.iter().zip(ENGINES) {
        node.report_at(path);
        node.answer_metrics(&whole(200, body));
    }
    let nginx = Config::new(upstream("llm", &format!("zone llm 64k; tblb; {POLLED}"), names(&nodes))).start();
    nginx.wait_until_all("fresh");
    let status = nginx.status();
    for (node, (engine, ..)) in nodes.iter().zip(ENGINES) {
        let peer = status.peer("llm", &node.name());
        assert_eq!(peer.text("engine"), engine);
        assert!(peer.number("waiting").is_some_and(|waiting| waiting > 0.0), "{engine}");
    }
    for _ in 0..20 {
        assert_eq!(nginx.get("/").status, 200);
    }
}

/// The module: Triton's metrics are looked for at their own port, at the address of the server.
#[test]
fn an_engine_has_a_port_of_its_own() {
    // The port is fixed, so the address is one that nobody else has.
    let pid = std::process::id().to_be_bytes();
    let address = [127, 100 | pid[1] & 3, pid[2], pid[3].clamp(1, 254)];
    let metrics = Node::start_at((address, 8002).into());
    metrics.answer_metrics(&whole(200, corpus!("triton-documented")));
    let serving = Node::start_at((address, 0).into());
    let first = "tblb; tblb_metrics engine=triton interval=50ms timeout=5s;";
    let nginx = Config::new(upstream("llm", first, [serving.name()])).start();
    nginx.wait_until_all("fresh");
    assert_eq!(nginx.status().peer("llm", &serving.name()).number("running"), Some(10.0));
    assert_eq!(nginx.get("/").header("x-upstream"), serving.name());
    assert_eq!(serving.seen().polls, 0);
}

/// The module: metrics under names of the user's come before those of the engine, with labels, ranks and units.
#[test]
fn a_variants_own_names_are_read() {
    let nodes = Node::several(3);
    let variant = "acme_queue 4\nacme_requests{state=\"active\",rank=\"0\"} 2\nacme_requests{state=\"active\",rank=\"1\"} 6\n\
                   acme_requests{state=\"done\",rank=\"0\"} 900\nacme_kv_percent 62.5\n";
    nodes[0].answer_metrics(&whole(200, variant));
    nodes[1].answer_metrics(&whole(200, &format!("{}acme_queue 5\n", corpus!("vllm-0.32-loaded"))));
    nodes[2].answer_metrics(&whole(200, corpus!("vllm-0.32-loaded")));
    let names = names(&nodes);
    let first = format!(
        "zone llm 64k; tblb; {POLLED}
         tblb_metrics_signal waiting acme_queue;
         tblb_metrics_signal running 'acme_requests{{state=\"active\"}}' aggregate=max;
         tblb_metrics_signal cache no_such_name;
         tblb_metrics_signal cache acme_kv_percent scale=0.01;"
    );
    let nginx = Config::new(upstream("llm", &first, &names)).start();
    nginx.wait_until_all("fresh");
    let status = nginx.status();
    let expected = [
        ("custom", 4.0, 6.0, 0.625),
        ("vllm", 5.0, 4.0, 0.4040404040404041),
        ("vllm", 4.0, 4.0, 0.4040404040404041),
    ];
    for (name, (engine, waiting, running, cache)) in names.iter().zip(expected) {
        let peer = status.peer("llm", name);
        let signals = ["waiting", "running", "cache"].map(|signal| peer.number(signal));
        assert_eq!((peer.text("engine"), signals), (engine, [waiting, running, cache].map(Some)));
    }
}

/// vLLM's metrics, awake or asleep: it looks idle then.
fn sleeping(asleep: bool) -> Vec<u8> {
    let idle = String::from_utf8(page(0.0, 0.0, 0.0)).expect("text");
    let idle = idle.split_once("\r\n\r\n").expect("a body").1;
    let state =
        format!("vllm:engine_sleep_state{{engine=\"0\",sleep_state=\"awake\"}} {}\n", i32::from(!asleep));
    whole(200, &(idle.to_owned() + &state))
}

/// The module: a vLLM that sleeps gets no request while another server is open, whatever the algorithm; if all
/// sleep, it is least_conn.
#[test]
fn an_engine_that_sleeps_is_not_chosen_while_another_is_open() {
    for algorithm in ["s2_enhanced", "s1 pick=best", "least_conn"] {
        let nodes = Node::several(3);
        nodes[0].answer_metrics(&sleeping(true));
        nodes[1].report(50.0, 50.0, 0.9);
        nodes[2].answer_metrics(&sleeping(true));
        let first = format!("zone llm 64k; tblb {algorithm}; {POLLED}");
        let nginx = Config::new(upstream("llm", &first, names(&nodes))).start();
        nginx.wait_until_all("fresh");
        let closed = |expected: [bool; 3]| {
            nginx.wait_for("who is closed", |status| {
                status.peers("llm").map(|peer| peer.0["closed"] == true).eq(expected).then_some(())
            });
        };
        closed([true, false, true]);
        assert_eq!(nginx.status().peer("llm", &nodes[0].name()).number("score"), None);
        for _ in 0..20 {
            assert_eq!(nginx.get("/").header("x-upstream"), nodes[1].name(), "{algorithm}");
        }
        nodes[1].answer_metrics(&sleeping(true));
        closed([true; 3]);
        // nginx sends the last chunk when it has freed the peer; a body with a Content-Length ends before.
        let used: Vec<_> = (0..9).map(|_| nginx.get("/tokens")).collect();
        assert!(used.iter().all(|answer| answer.header("x-reason") == "least_conn"), "{used:?}");
        for node in &nodes {
            assert_eq!(used.iter().filter(|answer| answer.header("x-upstream") == node.name()).count(), 3);
        }
        nodes[2].answer_metrics(&sleeping(false));
        closed([true, true, false]);
        assert_eq!(nginx.get("/").header("x-upstream"), nodes[2].name());
    }
}

/// A signal that is there and cannot be used leaves a trace: it is counted by its kind, shown, and logged once by its name,
/// while the others of the page count. A cache in per cent is no such signal.
/// Promise 10.
#[test]
fn a_signal_that_cannot_be_used_is_counted_and_logged() {
    let nodes = Node::several(2);
    let page = |cache: &str| {
        whole(
            200,
            &format!(
                "vllm:num_requests_running 3\nvllm:num_requests_waiting 2\nvllm:gpu_cache_usage_perc {cache}\n"
            ),
        )
    };
    nodes[0].answer_metrics(&page("35.0"));
    nodes[1].answer_metrics(&page("8192"));
    let first = format!("zone llm 64k; tblb; {POLLED}");
    let nginx = Config::new(upstream("llm", &first, names(&nodes))).start();
    nginx.wait_until_all("fresh");
    let [per_cent, blocks] = [&nodes[0], &nodes[1]].map(Node::name);
    nginx.wait_for("the flaw is counted", |status| {
        (status.peer("llm", &blocks).part("polls").part("faults").0["not_a_ratio"].as_u64() > Some(2))
            .then_some(())
    });
    let status = nginx.status();
    let peer = status.peer("llm", &blocks);
    assert_eq!(
        (peer.text("state"), peer.number("running"), peer.number("cache")),
        ("fresh", Some(3.0), None)
    );
    assert_eq!(peer.part("polls").text("fault"), "not_a_ratio");
    let lines = wait_for("a line of the flaw", || {
        Some(nginx.log_with(&format!("metrics of {blocks} in upstream"))).filter(|lines| !lines.is_empty())
    });
    assert!(lines.len() == 1 && lines[0].contains("[warn]"), "{lines:?}");
    assert!(
        lines[0].contains("by vllm, but cache is unknown") && lines[0].ends_with("not_a_ratio"),
        "{lines:?}"
    );
    assert_eq!(status.peer("llm", &per_cent).number("cache"), Some(0.35));
    assert_eq!(status.peer("llm", &per_cent).part("polls").text("fault"), "null");
}

use tblb_core::engine::{Choice, Scrape};
use tblb_core::load::Load;

use super::*;
use crate::node::{Node, Request};

/// A page of a node with 4 running and 3 waiting, all KV blocks of the running ones taken.
fn page(form: MetricsForm, awake: bool) -> String {
    let spec =
        NodeSpec { max_seqs: 4, kv_blocks: 100, noise: 0.0, ..NodeSpec::named("1gpu").expect("a preset") };
    let mut node = Node::new(spec, 1);
    for id in 0..7 {
        node.submit(0, Request { id, prompt: 160, output: 50 }).expect("it fits");
    }
    node.advance(100_000_000, &mut Vec::new());
    let mut latencies = Latencies::new(form);
    latencies.first_token(95_000_000);
    latencies.done(Request { id: 9, prompt: 160, output: 11 }, 1_095_000_000, 1_000_000_000);
    form.render(&Snapshot {
        model: "ti\"ny",
        awake,
        waiting: node.waiting(),
        running: node.running(),
        kv_use: node.kv_use(),
        resident: node.resident(),
        counters: node.counters(),
        finished: Finished { stop: 1, length: 2, abort: 3 },
        latencies: &latencies,
        spec: &spec,
    })
}

fn has_lines(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|of_page| of_page == *line), "no line {line} in\n{page}");
    }
}

/// Every series belongs to a family announced just before, as Prometheus' text format demands.
fn is_well_formed(page: &str) {
    let mut family = String::new();
    for line in page.lines() {
        if let Some(of_help) = line.strip_prefix("# HELP ") {
            family = of_help.split(' ').next().expect("a name").to_owned();
        } else if let Some(of_type) = line.strip_prefix("# TYPE ") {
            assert_eq!(of_type.split(' ').next(), Some(family.as_str()));
        } else {
            assert!(line.starts_with(&family), "{line} is not of {family}");
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
}

#[test]
fn vllm_says_what_its_scheduler_holds() {
    let page = page(MetricsForm::Vllm, true);
    is_well_formed(&page);
    has_lines(
        &page,
        &[
            "# TYPE vllm:num_requests_running gauge",
            r#"vllm:num_requests_running{engine="0",model_name="ti\"ny"} 4.0"#,
            r#"vllm:num_requests_waiting{engine="0",model_name="ti\"ny"} 3.0"#,
            r#"vllm:num_requests_waiting_by_reason{engine="0",model_name="ti\"ny",reason="capacity"} 3.0"#,
            r#"vllm:engine_sleep_state{engine="0",model_name="ti\"ny",sleep_state="awake"} 1.0"#,
            "# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.",
            r#"vllm:kv_cache_usage_perc{engine="0",model_name="ti\"ny"} 0.44"#,
            r#"vllm:request_success_total{engine="0",finished_reason="abort",model_name="ti\"ny"} 3.0"#,
            r#"vllm:time_to_first_token_seconds_bucket{engine="0",le="0.08",model_name="ti\"ny"} 0.0"#,
            r#"vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="ti\"ny"} 1.0"#,
            r#"vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="ti\"ny"} 1.0"#,
            r#"vllm:request_time_per_output_token_seconds_sum{engine="0",model_name="ti\"ny"} 0.1"#,
        ],
    );
}

#[test]
fn the_older_vllm_has_another_name_for_the_cache() {
    let page = page(MetricsForm::VllmOld, true);
    has_lines(&page, &[r#"vllm:gpu_cache_usage_perc{engine="0",model_name="ti\"ny"} 0.44"#]);
    assert!(!page.contains("vllm:kv_cache_usage_perc"));
}

#[test]
fn a_sleeping_vllm_is_not_awake() {
    has_lines(
        &page(MetricsForm::Vllm, false),
        &[r#"vllm:engine_sleep_state{engine="0",model_name="ti\"ny",sleep_state="awake"} 0.0"#],
    );
}

#[test]
fn sglang_says_it_in_its_own_words() {
    let page = page(MetricsForm::Sglang, true);
    is_well_formed(&page);
    let labels = r#"{engine_type="unified",model_name="ti\"ny",pp_rank="0",tp_rank="0"}"#;
    has_lines(
        &page,
        &[
            &format!("sglang:num_running_reqs{labels} 4.0"),
            &format!("sglang:num_queue_reqs{labels} 3.0"),
            &format!("sglang:token_usage{labels} 0.44"),
        ],
    );
}

#[test]
fn llamacpp_has_no_labels_and_no_cache() {
    let page = page(MetricsForm::LlamaCpp, true);
    is_well_formed(&page);
    has_lines(
        &page,
        &[
            "# HELP llamacpp:requests_processing Number of requests processing",
            "# TYPE llamacpp:requests_processing gauge",
            "llamacpp:requests_processing 4",
            "llamacpp:requests_deferred 3",
        ],
    );
    assert!(!page.contains("cache_usage"));
}

/// The module reads out of each page what the model put in, and finds by itself whose page it is.
#[test]
fn the_modules_reader_understands_every_form() {
    for (form, engine, cache) in [
        (MetricsForm::Vllm, "vllm", Some(0.44)),
        (MetricsForm::VllmOld, "vllm", Some(0.44)),
        (MetricsForm::Sglang, "sglang", Some(0.44)),
        (MetricsForm::LlamaCpp, "llamacpp", None),
    ] {
        let mut scrape = Scrape::new(Choice::Auto { remembered: None });
        scrape.feed(page(form, true).as_bytes()).expect("a good page");
        let reading = scrape.finish().expect("a good page");
        let load = Load { waiting: Some(3.0), running: Some(4.0), cache, closed: false };
        assert_eq!((reading.engine.name, reading.load, reading.flaw), (engine, load, None), "{form:?}");
    }
}

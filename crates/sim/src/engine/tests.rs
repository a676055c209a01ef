//! The engine as its clients see it: over sockets, with the HTTP client that the poller uses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

use super::*;

/// Patience with a loaded machine; nothing is expected to take nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(speed: f64) -> Options {
    Options::new(NodeSpec::named("4gpu-tp").expect("a preset").at_speed(speed))
}

fn start(options: &Options) -> Engine {
    Engine::start("127.0.0.1:0".parse().expect("an address"), options).expect("the engine starts")
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build()
        .into()
}

fn post(engine: &Engine, path: &str, body: &Value) -> (u16, String) {
    let mut answer = agent().post(format!("{}{path}", engine.url())).send_json(body).expect("an answer");
    (answer.status().as_u16(), answer.body_mut().read_to_string().expect("a body"))
}

fn get(engine: &Engine, path: &str) -> (u16, String) {
    let mut answer = agent().get(format!("{}{path}", engine.url())).call().expect("an answer");
    (answer.status().as_u16(), answer.body_mut().read_to_string().expect("a body"))
}

/// The JSON of every event of a stream, whose end is `[DONE]`.
fn events(body: &str) -> Vec<Value> {
    let mut data: Vec<&str> =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    data.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

/// Sends a streaming request and leaves the connection to the caller.
fn open_stream(engine: &Engine, max_tokens: u32) -> BufReader<TcpStream> {
    let body =
        json!({"prompt": "hello", "max_tokens": max_tokens, "ignore_eos": true, "stream": true}).to_string();
    let mut stream = TcpStream::connect(engine.addr()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(
        stream,
        "POST /v1/completions HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    BufReader::new(stream)
}

fn read_header(stream: &mut BufReader<TcpStream>) -> String {
    let mut header = String::new();
    while !header.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut header).expect("a line"), 0, "closed after {header}");
    }
    header
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let since = Instant::now();
    while !reached() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_completion_streams_its_tokens_and_its_usage() {
    let engine = start(&options(20.0));
    let ask = json!({"model": "mock", "prompt": [1, 2, 3], "max_tokens": 9, "ignore_eos": true, "stream": true,
        "stream_options": {"include_usage": true}});
    let (status, body) = post(&engine, "/v1/completions", &ask);
    assert_eq!(status, 200);
    let events = events(&body);
    let text: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, " tok".repeat(9));
    let (usage, chunks) = events.split_last().expect("events");
    assert_eq!(usage["usage"], json!({"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}));
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(chunks.last().expect("a chunk")["choices"][0]["finish_reason"], "length");
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk["object"] == "text_completion"));
}

#[test]
fn a_chat_streams_deltas_and_no_usage_unless_asked() {
    let engine = start(&options(20.0));
    let ask = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "ignore_eos": true,
        "stream": true});
    let events = events(&post(&engine, "/v1/chat/completions", &ask).1);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, " tok".repeat(5));
    assert!(
        events.iter().all(|event| event.get("usage").is_none() && event["object"] == "chat.completion.chunk")
    );
}

#[test]
fn an_answer_that_does_not_stream_is_one_object() {
    let engine = start(&options(20.0));
    let ask = json!({"prompt": "12345678", "max_tokens": 4, "ignore_eos": true});
    let answer: Value = serde_json::from_str(&post(&engine, "/v1/completions", &ask).1).expect("JSON");
    assert_eq!(answer["choices"][0]["text"], " tok tok tok tok");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}));
    let ask = json!({"messages": [{"role": "user", "content": "1234"}], "max_tokens": 2, "ignore_eos": true});
    let answer: Value = serde_json::from_str(&post(&engine, "/v1/chat/completions", &ask).1).expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], " tok tok");
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("length"))
    );
}

#[test]
fn the_model_ends_by_itself_unless_eos_is_ignored() {
    let engine = start(&options(200.0));
    let ask = json!({"prompt": "a", "max_tokens": 2000});
    let answers: Vec<Value> = (0..6)
        .map(|_| serde_json::from_str(&post(&engine, "/v1/completions", &ask).1).expect("JSON"))
        .collect();
    let tokens: Vec<u64> =
        answers.iter().filter_map(|answer| answer["usage"]["completion_tokens"].as_u64()).collect();
    assert!(tokens.iter().all(|tokens| (1..=2000).contains(tokens)) && tokens.len() == 6, "{tokens:?}");
    assert!(tokens.iter().any(|other| *other != tokens[0]));
    assert!(answers.iter().any(|answer| answer["choices"][0]["finish_reason"] == "stop"));
}

#[test]
fn what_cannot_be_served_is_refused_in_vllms_words() {
    let engine = start(&Options { node: NodeSpec { kv_blocks: 4, ..options(1.0).node }, ..options(1.0) });
    for (ask, status, message) in [
        (json!({"prompt": "a", "model": "other"}), 404, "The model `other` does not exist."),
        (json!({"prompt": "a", "max_tokens": 100}), 400, "prompt and output are longer than the 65 tokens"),
        (json!({"max_tokens": 100}), 400, "missing field `prompt`"),
    ] {
        let (got, body) = post(&engine, "/v1/completions", &ask);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((got, &body["error"]["code"]), (status, &json!(status)));
        assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
    }
    assert_eq!(get(&engine, "/nowhere").0, 404);
    assert_eq!((engine.stats().requests, engine.stats().refused), (3, 3));
}

#[test]
fn models_and_health_answer() {
    let engine = start(&options(1.0));
    assert_eq!(get(&engine, "/health"), (200, String::new()));
    let models: Value = serde_json::from_str(&get(&engine, "/v1/models").1).expect("JSON");
    assert_eq!(models["data"][0]["id"], "mock");
}

#[test]
fn the_header_comes_before_the_first_token() {
    let engine = start(&options(1.0));
    engine.set_fault(Fault::StallInference);
    let mut stream = open_stream(&engine, 3);
    let header = read_header(&mut stream);
    assert!(header.starts_with("HTTP/1.1 200") && header.contains("text/event-stream"), "{header}");
    engine.set_fault(Fault::None);
    let mut rest = vec![0; 64];
    assert!(stream.read(&mut rest).expect("tokens") > 0);
}

#[test]
fn metrics_follow_the_model_and_a_client_that_goes_away_aborts() {
    let engine = start(&Options { node: NodeSpec { max_seqs: 2, ..options(1.0).node }, ..options(1.0) });
    let mut streams: Vec<_> = (0..5).map(|_| open_stream(&engine, 100_000)).collect();
    wait_until("2 run, 3 wait", || (engine.stats().running, engine.stats().waiting) == (2, 3));
    let page = get(&engine, "/metrics").1;
    assert!(page.contains("vllm:num_requests_running{engine=\"0\",model_name=\"mock\"} 2.0\n"));
    assert!(page.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"mock\"} 3.0\n"));
    read_header(&mut streams[0]);
    streams.drain(..2);
    wait_until("the next two run", || (engine.stats().running, engine.stats().waiting) == (2, 1));
    drop(streams);
    wait_until("all are gone", || engine.stats().open_requests == 0);
    let stats = engine.stats();
    assert_eq!((stats.aborted, stats.finished, stats.kv_use), (5, 0, 0.0));
    assert!(get(&engine, "/metrics").1.contains("finished_reason=\"abort\",model_name=\"mock\"} 5.0\n"));
}

#[test]
fn a_client_that_waits_for_a_whole_answer_and_goes_away_aborts() {
    let engine = start(&options(1.0));
    let body = r#"{"prompt":"a","max_tokens":100000,"ignore_eos":true}"#;
    let mut stream = TcpStream::connect(engine.addr()).expect("a connection");
    write!(
        stream,
        "POST /v1/completions HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    wait_until("it runs", || engine.stats().running == 1);
    drop(stream);
    wait_until("it is gone", || engine.stats().open_requests == 0);
    assert_eq!(engine.stats().aborted, 1);
}

#[test]
fn connections_are_kept_and_counted() {
    let engine = start(&options(1.0));
    let (first, second) = (agent(), agent());
    for agent in [&first, &first, &second] {
        let mut answer = agent.get(format!("{}/metrics", engine.url())).call().expect("an answer");
        answer.body_mut().read_to_string().expect("a body");
    }
    let stats = engine.stats();
    assert_eq!((stats.scrapes, stats.scrape_connections, stats.accepted), (3, 2, 2));
    drop(second);
    wait_until("one connection is closed", || engine.stats().scrape_connections == 1);
}

#[test]
fn scrapes_at_a_time_are_counted() {
    let engine = start(&options(1.0));
    let get = || get(&engine, "/metrics").0;
    assert_eq!((get(), get()), (200, 200));
    wait_until("both are over", || engine.stats().open_scrapes == 0);
    assert_eq!(engine.stats().most_scrapes, 1);
    engine.set_fault(Fault::HangMetrics);
    thread::scope(|scope| {
        scope.spawn(get);
        scope.spawn(get);
        wait_until("both hang", || engine.stats().open_scrapes == 2);
        engine.set_fault(Fault::None);
    });
    wait_until("both are over", || engine.stats().open_scrapes == 0);
    assert_eq!(engine.stats().most_scrapes, 2);
}

#[test]
fn a_frozen_engine_answers_nothing_and_goes_on_where_it_stood() {
    let engine = start(&options(20.0));
    let mut stream = open_stream(&engine, 100);
    read_header(&mut stream);
    engine.set_fault(Fault::Freeze);
    let before = engine.stats();
    let short: Agent =
        Agent::config_builder().timeout_global(Some(Duration::from_millis(300))).proxy(None).build().into();
    for path in ["/metrics", "/health", "/v1/models"] {
        assert!(short.get(format!("{}{path}", engine.url())).call().is_err(), "{path} answered");
    }
    assert_eq!(engine.stats().finished, before.finished);
    assert_eq!(post(&engine, "/fault", &json!({"fault": "none"})).0, 200);
    let mut rest = String::new();
    while !rest.ends_with("data: [DONE]\n\n") {
        assert_ne!(stream.read_line(&mut rest).expect("a line"), 0);
    }
    assert_eq!(rest.matches(" tok").count(), 100);
}

#[test]
fn hanging_and_refusing_hit_only_what_they_name() {
    let engine = start(&options(20.0));
    let ask = json!({"prompt": "a", "max_tokens": 1});
    let hangs = |path: &str| {
        let short: Agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(300)))
            .proxy(None)
            .build()
            .into();
        let url = format!("{}{path}", engine.url());
        if path == "/metrics" {
            short.get(url).call().is_err()
        } else {
            short.post(url).send_json(&ask).is_err()
        }
    };
    engine.set_fault(Fault::HangMetrics);
    assert!(hangs("/metrics") && !hangs("/v1/completions"));
    engine.set_fault(Fault::None);
    engine.set_fault(Fault::HangInference);
    assert!(!hangs("/metrics") && hangs("/v1/completions"));
    engine.set_fault(Fault::InferenceStatus { status: 503 });
    assert_eq!(post(&engine, "/v1/completions", &ask).0, 503);
    engine.set_fault(Fault::MetricsStatus { status: 500 });
    assert_eq!(get(&engine, "/metrics").0, 500);
    engine.set_fault(Fault::None);
    assert_eq!((get(&engine, "/metrics").0, post(&engine, "/v1/completions", &ask).0), (200, 200));
}

#[test]
fn bad_pages_are_as_bad_as_they_say() {
    let engine = start(&options(1.0));
    let good = get(&engine, "/metrics").1;
    let page = |fault| {
        engine.set_fault(fault);
        get(&engine, "/metrics").1
    };
    assert_eq!(page(Fault::EmptyMetrics), "");
    assert!(!page(Fault::MalformedMetrics).contains("# TYPE"));
    let nan = page(Fault::NanMetrics);
    assert!(nan.contains("model_name=\"mock\"} NaN\n") && nan.lines().count() == good.lines().count());
    let long = page(Fault::LongLineMetrics { kilobytes: 100 });
    assert!(long.lines().next().expect("a line").len() > 100_000);
    engine.set_fault(Fault::BinaryMetrics);
    let mut answer = agent().get(format!("{}/metrics", engine.url())).call().expect("an answer");
    assert!(String::from_utf8(answer.body_mut().read_to_vec().expect("a body")).is_err());
    engine.set_fault(Fault::CutMetrics);
    let mut answer = agent().get(format!("{}/metrics", engine.url())).call().expect("a header");
    assert!(answer.body_mut().read_to_string().is_err());
    engine.set_fault(Fault::RedirectMetrics { port: 0 });
    assert_eq!(get(&engine, "/metrics").0, 404, "the client follows to where nothing is");
}

#[test]
fn big_pages_are_as_big_as_they_say() {
    let engine = start(&options(1.0));
    let read = |limit| {
        let answer = agent().get(format!("{}/metrics", engine.url())).call().expect("a header");
        let mut page = Vec::new();
        answer.into_body().into_reader().take(limit).read_to_end(&mut page).expect("a body");
        String::from_utf8(page).expect("text")
    };
    engine.set_fault(Fault::HugeMetrics { megabytes: 5, page_first: false });
    let page = read(u64::MAX);
    assert!((4_900_000..5_200_000).contains(&page.len()), "{}", page.len());
    assert!(page[page.len() - 20_000..].contains("vllm:num_requests_waiting{"));
    engine.set_fault(Fault::HugeMetrics { megabytes: 1, page_first: true });
    assert!(read(u64::MAX)[..2000].contains("vllm:num_requests_waiting{"));
    engine.set_fault(Fault::EndlessMetrics);
    assert_eq!(read(3_000_000).len(), 3_000_000);
    engine.set_fault(Fault::SlowMetrics { pause_ms: 50 });
    assert_eq!(read(3), "# H");
}

#[test]
fn a_cut_stream_has_no_end() {
    let engine = start(&options(20.0));
    engine.set_fault(Fault::CutInference { tokens: 2 });
    let mut stream = open_stream(&engine, 50);
    let mut all = Vec::new();
    // Whether the break shows as an error or as an early end is the kernel's choice.
    let _ = stream.read_to_end(&mut all);
    let text = String::from_utf8(all).expect("text");
    assert_eq!(text.matches(" tok").count(), 2);
    assert!(!text.contains("[DONE]") && !text.ends_with("0\r\n\r\n"));
    wait_until("the model is rid of it", || engine.stats().aborted == 1);
}

#[test]
fn an_engine_that_dies_closes_everything_and_can_be_started_again() {
    let engine = start(&options(1.0));
    let mut stream = open_stream(&engine, 1000);
    read_header(&mut stream);
    let mut control = TcpStream::connect(engine.addr()).expect("a connection");
    let body = r#"{"fault":"die"}"#;
    write!(control, "POST /fault HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .expect("sent");
    wait_until("it is dead", || engine.life() == Life::Died);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
    assert!(TcpStream::connect(engine.addr()).is_err());
    let again = Engine::start(engine.addr(), &options(1.0)).expect("it starts again");
    assert_eq!(get(&again, "/health").0, 200);
    again.stop();
    assert!(TcpStream::connect(engine.addr()).is_err());
}

#[test]
fn a_sleeping_engine_looks_idle_and_hangs() {
    let engine = start(&options(1.0));
    let _stream = open_stream(&engine, 1000);
    wait_until("it runs", || engine.stats().running == 1);
    engine.set_fault(Fault::Sleep);
    let page = get(&engine, "/metrics").1;
    assert!(page.contains("sleep_state=\"awake\"} 0.0\n"));
    assert!(page.contains("vllm:num_requests_running{engine=\"0\",model_name=\"mock\"} 0.0\n"));
    assert_eq!(get(&engine, "/health").0, 200);
}

#[test]
fn faults_are_listed_and_bad_ones_refused() {
    let engine = start(&options(1.0));
    let (status, body) = post(&engine, "/fault", &json!({"fault": "huge-metrics", "megabytes": 1}));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["active"][0]["megabytes"]), (200, &json!(1)));
    assert!(body["known"].as_array().is_some_and(|known| known.len() == FAULTS.len()));
    assert_eq!(post(&engine, "/fault", &json!({"fault": "explode"})).0, 400);
}

#[test]
fn it_serves_https() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = signed.cert.pem();
    let tls = Tls {
        certificates: certificate.clone().into_bytes(),
        key: signed.signing_key.serialize_pem().into_bytes(),
    };
    let engine = start(&Options { tls: Some(tls), ..options(1.0) });
    let root = ureq::tls::Certificate::from_pem(certificate.as_bytes()).expect("PEM");
    let config =
        ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[root])).build();
    let agent: Agent =
        Agent::config_builder().tls_config(config).timeout_global(Some(PATIENCE)).proxy(None).build().into();
    let url = format!("https://localhost:{}/metrics", engine.addr().port());
    let page = agent.get(url).call().expect("an answer").body_mut().read_to_string().expect("a body");
    assert!(engine.url().starts_with("https://") && page.contains("vllm:num_requests_running"));
    let plain: Agent = Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build().into();
    assert!(plain.get(format!("http://{}/metrics", engine.addr())).call().is_err());
    let bad = Tls { certificates: b"nothing".to_vec(), key: Vec::new() };
    let refused = Engine::start(
        "127.0.0.1:0".parse().expect("an address"),
        &Options { tls: Some(bad), ..options(1.0) },
    );
    assert!(refused.is_err());
}

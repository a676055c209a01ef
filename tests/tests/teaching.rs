//! What an answer teaches of its engine, and what teaches nothing.

use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::scripted::{STREAMED, Script, Scripted};

const TOKENS: [&str; 10] = [" the", " of", ".", " large", " to", " model", " a", " answer", " in", " it"];

/// Tokens of an answer, and the time that each takes.
const LENGTH: usize = 40;
const GAP: Duration = Duration::from_millis(12);
const FIRST: Duration = Duration::from_millis(30);

fn event(data: &serde_json::Value) -> String {
    format!("data: {data}\n\n")
}

fn token(n: usize) -> &'static str {
    TOKENS[n % TOKENS.len()]
}

fn chat(n: usize) -> String {
    event(
        &json!({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": token(n)}}]}),
    )
}

fn text() -> String {
    (0..LENGTH).map(token).collect()
}

/// A form of an answer, token by token.
fn form(name: &str, n: usize) -> String {
    match name {
        "completions" => {
            event(&json!({"object": "text_completion", "choices": [{"index": 0, "text": token(n)}]}))
        }
        "chat" => chat(n),
        "two choices" => {
            let choice =
                |index: usize| event(&json!({"choices": [{"index": index, "delta": {"content": token(n)}}]}));
            choice(0) + &choice(1)
        }
        "responses" => {
            format!(
                "event: response.output_text.delta\n{}",
                event(&json!({"type": "response.output_text.delta", "delta": token(n)}))
            )
        }
        "messages" => {
            let data = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token(n)}});
            format!("event: content_block_delta\n{}", event(&data))
        }
        "ollama" => json!({"model": "m", "message": {"content": token(n)}, "done": false}).to_string() + "\n",
        "text-generation-inference" => event(
            &json!({"index": n, "token": {"id": 1, "text": token(n), "special": false}, "generated_text": null}),
        ),
        "sglang" => {
            let text: String = (0..=n).map(token).collect();
            event(&json!({"text": text, "meta_info": {"completion_tokens": n + 1}}))
        }
        _ => format!(": still here\n\n{}", event(&json!({"content": token(n), "stop": false}))),
    }
}

const FORMS: [&str; 9] = [
    "completions",
    "chat",
    "two choices",
    "responses",
    "messages",
    "ollama",
    "text-generation-inference",
    "sglang",
    "llama.cpp",
];

fn start(engines: &[Scripted], first: &str, more: &str) -> Nginx {
    Config::new(upstream(
        "llm",
        &format!("zone llm 64k; {first}; tblb_metrics off;"),
        engines.iter().map(Scripted::name),
    ))
    .server(more)
    .workers(1)
    .start()
}

/// Sends requests by several clients at a time.
fn ask(nginx: &Nginx, clients: usize, each: usize) {
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for _ in 0..each {
                    let mut connection = Connection::open(nginx.address()).expect("a connection");
                    drop(connection.send("POST", "/v1/chat/completions", &[], "{\"stream\":true}"));
                }
            });
        }
    });
}

fn tpot(nginx: &Nginx, engine: &Scripted) -> Option<f64> {
    nginx.status().peer("llm", &engine.name()).number("tpot_ms")
}

/// Promise 11: A token is a token whatever the form of the API: equal engines are learnt alike.
#[test]
fn equal_engines_are_learnt_alike_whatever_their_form() {
    for buffering in ["proxy_buffering off;", "proxy_buffering on;"] {
        let streams = FORMS.map(|name| Script::stream(FIRST, GAP, (0..LENGTH).map(|n| form(name, n))));
        let answer = json!({"choices": [{"index": 0, "message": {"content": text()}}], "usage": {"completion_tokens": LENGTH}});
        let whole = Script::whole(200, "", GAP * LENGTH as u32, answer.to_string());
        let engines: Vec<_> = streams.into_iter().chain([whole]).map(Scripted::start).collect();
        let nginx = start(&engines, "tblb least_conn", buffering);
        ask(&nginx, engines.len(), 6);
        let names = || FORMS.iter().chain(&["in one piece"]);
        let learnt = |(engine, name): (&Scripted, &&str)| {
            tpot(&nginx, engine).unwrap_or_else(|| panic!("{name}: nothing"))
        };
        let learnt: Vec<_> = engines.iter().zip(names()).map(learnt).collect();
        let mut sorted = learnt.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        assert!(median >= GAP.as_secs_f64() * 1e3, "{learnt:?}");
        for (tpot, name) in learnt.iter().zip(names()) {
            assert!((tpot / median - 1.0).abs() < 0.15, "{name}: {tpot} of {median}");
        }
    }
}

/// Promise 11: Equal engines in two forms get equal shares.
#[test]
fn equal_engines_in_two_forms_get_equal_shares() {
    let engines = ["chat", "messages"]
        .map(|name| Scripted::start(Script::stream(FIRST, GAP, (0..LENGTH).map(|n| form(name, n)))));
    let nginx = start(&engines, "tblb", "");
    ask(&nginx, 6, 10);
    let shares = engines.each_ref().map(Scripted::requests);
    assert!(shares.iter().all(|share| *share >= 20), "{shares:?} of 60");
}

/// Promise 11: Errors, answers that are no generated text, compressed ones and those that were held back on the way teach
/// nothing.
#[test]
fn what_is_not_generated_text_teaches_nothing() {
    let soon = Duration::from_millis(10);
    let error = json!({"error": {"message": "x".repeat(500), "type": "invalid_request_error"}}).to_string();
    let embeddings =
        json!({"object": "list", "data": [{"embedding": vec![0.0123; 2000]}], "usage": {"prompt_tokens": 9}})
            .to_string();
    let answer =
        json!({"choices": [{"message": {"content": text()}}], "usage": {"completion_tokens": LENGTH}})
            .to_string();
    let events = || (0..LENGTH).map(chat);
    let slow = Duration::from_millis(400);
    let engines = [
        ("422", Script::whole(422, "", soon, error.clone())),
        (
            "500 as a stream",
            Script {
                head: format!("HTTP/1.1 500 X\r\n{STREAMED}\r\n"),
                ..Script::stream(FIRST, GAP, events())
            },
        ),
        ("503", Script::whole(503, "", soon, answer.clone())),
        ("200 with an error", Script::whole(200, "", soon, error)),
        (
            "an error at the end",
            Script::stream(FIRST, GAP, events().chain(["event: error\ndata: {}\n\n".to_owned()])),
        ),
        ("embeddings", Script::whole(200, "", soon, embeddings)),
        ("compressed", Script::whole(200, "Content-Encoding: gzip\r\n", soon, answer)),
        ("transcriptions", Script::whole(200, "", soon, json!({"text": text()}).to_string())),
        (
            "a page",
            Script::whole(200, "Content-Type: text/html\r\n", soon, format!("<html>{}</html>", text())),
        ),
        ("held back", Script::stream(slow, Duration::ZERO, [events().collect::<String>()])),
        ("held back, event by event", Script::stream(slow, Duration::ZERO, events())),
    ];
    for (name, script) in engines {
        let engines = [Scripted::start(script)];
        let nginx = start(&engines, "tblb", "");
        ask(&nginx, 1, 3);
        assert_eq!((engines[0].requests(), tpot(&nginx, &engines[0])), (3, None), "{name}");
        if name.starts_with("held back") {
            let status = nginx.status();
            assert_eq!(status.peer("llm", &engines[0].name()).part("ttft_ms").count("count"), 0, "{name}");
            assert!(nginx.all_logged().iter().all(|logged| logged.ttft == "-"), "{name}");
        }
    }
}

/// The module, TTFT: it is the time to the first generated text, not to comments and events without text.
#[test]
fn the_first_token_is_generated_text() {
    let role = event(&json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}));
    let quiet = [": keep-alive\n\n".to_owned(), role].into_iter().map(|event| (Duration::ZERO, event));
    let rest = (0..LENGTH).map(|n| (if n == 0 { Duration::from_millis(300) } else { GAP }, chat(n)));
    let pieces = quiet.chain(rest).map(|(pause, event)| (pause, event.into_bytes())).collect();
    let engines = [Scripted::start(Script::new(200, "Content-Type: text/event-stream\r\n", pieces))];
    let nginx = start(&engines, "tblb", "");
    ask(&nginx, 1, 1);
    let ttft: f64 = nginx.logged("/v1/chat/completions").ttft.parse().expect("a time");
    assert!((0.3..0.3 + GAP.as_secs_f64() * LENGTH as f64).contains(&ttft), "{ttft}");
}

/// Promise 11: While a client takes nothing no time passes for the engine: it is not suspect, and it is not slow.
#[test]
fn a_client_that_takes_nothing_makes_no_engine_suspect() {
    let piece = (Duration::from_millis(1), chat(3).repeat(600).into_bytes());
    let endless = || Script {
        endless: true,
        ..Script::new(200, "Content-Type: text/event-stream\r\n", vec![piece.clone()])
    };
    // By HTTP/1.1 nginx is held up when the sockets are full, by HTTP/2 as soon as the window is closed.
    let engines = [Scripted::start(endless()), Scripted::start(endless())];
    let config = Config::new(
        upstream("llm", "zone llm 64k; tblb; tblb_metrics off;", [engines[0].name()])
            + &upstream("other", "zone other 64k; tblb; tblb_metrics off;", [engines[1].name()]),
    );
    let nginx = config.server("location /other { proxy_pass http://other; }").workers(1).http2().start();
    let mut client = TcpStream::connect(nginx.address()).expect("a connection");
    client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").expect("a request");
    let window = Connection::open_http2_with_window(nginx.http2_address(), 300).expect("a connection");
    let stream = window.stream("POST", "/other", "{}").expect("an answer");
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(500));
        let status = nginx.status();
        for (upstream, engine) in ["llm", "other"].iter().zip(&engines) {
            let peer = status.peer(upstream, &engine.name());
            assert_eq!((peer.count("in_flight"), &peer.0["suspect"]), (1, &json!(false)), "{upstream}");
        }
    }
    drop((client, stream));
}

/// Promise 11: A client that takes nothing for a while teaches no time per token.
#[test]
fn a_client_that_pauses_makes_no_engine_slow() {
    // More than sockets hold, then some tokens that come in time.
    let flood = (0..400).map(|_| (Duration::ZERO, chat(3).repeat(200).into_bytes()));
    let rest = (0..LENGTH).map(|n| (GAP, chat(n).into_bytes()));
    let script = Script::new(200, "Content-Type: text/event-stream\r\n", flood.chain(rest).collect());
    let engines = [Scripted::start(script)];
    let nginx = start(&engines, "tblb", "");
    let mut client = TcpStream::connect(nginx.address()).expect("a connection");
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        .expect("a request");
    thread::sleep(Duration::from_secs(2));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the whole answer");
    assert!(rest.ends_with(b"0\r\n\r\n"));
    let status = nginx.status();
    let peer = status.peer("llm", &engines[0].name());
    assert_eq!((peer.count("completions"), peer.number("tpot_ms")), (1, None));
}

/// The module: a prompt counts by the bytes that are there, in chunks or not; one that has not come does not count.
#[test]
fn a_prompt_counts_as_it_has_come() {
    for (buffering, request, prefill) in [
        ("on", format!("Transfer-Encoding: chunked\r\n\r\n190\r\n{}\r\n0\r\n\r\n", "x".repeat(400)), 100),
        ("on", format!("Content-Length: 400\r\n\r\n{}", "x".repeat(400)), 100),
        ("off", format!("Content-Length: 400\r\n\r\n{}", "x".repeat(400)), 100),
        ("off", "Content-Length: 2000000\r\n\r\n{".to_owned(), 1),
    ] {
        let engines = [Scripted::start(Script::stream(Duration::from_secs(60), GAP, [chat(0)]))];
        let nginx =
            start(&engines, "tblb", &format!("client_max_body_size 0; proxy_request_buffering {buffering};"));
        let mut client = TcpStream::connect(nginx.address()).expect("a connection");
        let head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n";
        client.write_all(format!("{head}{request}").as_bytes()).expect("a request");
        nginx.wait_for("the prompt counts", |status| {
            let peer = status.peer("llm", &engines[0].name());
            (peer.count("in_flight") == 1).then(|| assert_eq!(peer.count("prefill"), prefill, "{request}"))
        });
    }
}

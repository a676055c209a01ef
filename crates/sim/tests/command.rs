//! The command as a process: it says where it listens, and ends when it should.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Patience with a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tblb-sim"))
}

/// An engine as a process, killed if a test fails.
struct Running(Child);

impl Running {
    fn engine(args: &[&str]) -> (Self, String) {
        let mut child = command()
            .arg("engine")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let url = line.trim_end().strip_prefix("listening on ").expect("its address").to_owned();
        (Self(child), url)
    }

    fn end(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("its status") {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(args: &[&str]) -> Output {
    command().arg("load").args(args).output().expect("it runs")
}

#[test]
fn load_measures_an_engine_and_says_so_in_json() {
    let (_engine, url) = Running::engine(&["--preset", "4gpu-tp", "--speed", "50", "--model", "m"]);
    let output =
        load(&[&url, "--requests", "20", "--warmup", "2", "--concurrency", "5", "--model", "m", "--json"]);
    assert!(output.status.success());
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(
        (&json["requests"], json["errors"].as_object().map(|errors| errors.len())),
        (&20.into(), Some(0))
    );
    assert!(json["ttft_ms"]["p99"].as_f64() >= json["ttft_ms"]["p50"].as_f64());
    let text = String::from_utf8(load(&[&url, "--requests", "3", "--model", "m"]).stdout).expect("text");
    assert!(text.contains("TTFT") && text.contains("3 answered"), "{text}");
}

#[test]
fn load_fails_if_requests_fail() {
    let (_engine, url) = Running::engine(&[]);
    let output = load(&[&url, "--requests", "2", "--model", "other"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("failed, status 404: 2"));
}

#[test]
fn an_engine_ends_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut engine, url) = Running::engine(&[]);
        kill_process(Pid::from_child(&engine.0), signal).expect("it is there");
        assert!(engine.end().success());
        assert!(TcpStream::connect(url.trim_start_matches("http://")).is_err());
    }
}

#[test]
fn an_engine_ends_with_its_standard_input_if_asked_to() {
    let (mut engine, _) = Running::engine(&["--until-stdin-closes"]);
    assert_eq!(engine.0.try_wait().expect("its status"), None);
    drop(engine.0.stdin.take());
    assert!(engine.end().success());
}

#[test]
fn an_engine_that_dies_is_a_failure() {
    let (mut engine, url) = Running::engine(&[]);
    let mut control = TcpStream::connect(url.trim_start_matches("http://")).expect("a connection");
    let body = r#"{"fault":"die"}"#;
    write!(control, "POST /fault HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .expect("sent");
    assert_eq!(engine.end().code(), Some(1));
}

#[test]
fn help_names_the_node_types_and_the_faults() {
    let output = command().args(["engine", "--help"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let names = tblb_sim::node::NODE_TYPES.iter().map(|spec| spec.name);
    for name in names.chain(tblb_sim::engine::FAULTS.iter().map(|(name, ..)| *name)) {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn analyze_shows_scores_and_shares() {
    let nodes = br#"[{"waiting": 0, "cache": 0.25, "running": 4}, {"name": "full", "waiting": 0, "cache": 0.75, "running": 8}]"#;
    let analyze = |args: &[&str]| {
        let mut child = command()
            .arg("analyze")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("its input").write_all(nodes).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let one: Value =
        serde_json::from_str(&analyze(&["--json", "--policy", "tblb s1 waiting=0 cache=1"])).expect("JSON");
    assert_eq!(one["nodes"][1]["name"], "full");
    assert_eq!(one["algorithms"][0]["scores"], serde_json::json!([0.75, 0.25]));
    assert_eq!(one["algorithms"][0]["shares"], serde_json::json!([0.75, 0.25]));
    let table = analyze(&[]);
    assert!(table.contains("node 1") && table.contains("s2_dynamic_waiting"), "{table}");
}

#[test]
fn analyze_reads_the_pages_of_engines() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/corpus/llamacpp-loaded.prom");
    let output = command().args(["analyze", "--json", page]).output().expect("it runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(answer["nodes"][0]["running"].as_f64().is_some_and(|running| running > 0.0), "{answer}");
    assert_eq!(answer["algorithms"].as_array().map(Vec::len), Some(16));
    let output = command().args(["analyze", file!()]).output().expect("it runs");
    assert!(!output.status.success(), "that is no page of metrics");
}

#[test]
fn replay_ends_with_1_where_a_pick_comes_out_otherwise() {
    let candidate = |conns: u32| {
        serde_json::json!({"conns": conns, "weight": 1, "effective_weight": 1, "current_weight": 0,
            "known": {"score": null, "fresh": false, "standing": "ready", "work": null}})
    };
    let line = |index: usize| {
        serde_json::json!({"upstream": "llm", "backup": false, "pid": 1, "directives": "tblb least_conn;", "prompt": 1,
            "seed": 1, "candidates": [candidate(2), candidate(1)],
            "picked": {"index": index, "reason": "least_conn"}})
        .to_string()
    };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let replay = |lines: &[String]| {
        std::fs::write(file.path(), lines.join("\n")).expect("written");
        let output = command().arg("replay").arg(file.path()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = replay(&[line(1), line(1)]);
    assert!(code == Some(0) && said.ends_with(": 2 picks, 0 come out otherwise\n"), "{said}");
    let (code, said) = replay(&[line(1), line(0)]);
    assert!(
        code == Some(1)
            && said.contains(":2: upstream llm: nginx picked 0 (least_conn), here 1 (least_conn)"),
        "{said}"
    );
}

//! The demonstration around a real nginx, without the module.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

mod processes;

use std::io;
use std::process::Command;

use processes::{assert_ends_all, nginx, text};
use tblb_sim::demo::{Nginx, Site};

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tblb-sim"));
    command.args(["demo", "--plain", "--nginx", &nginx(), "--speed", "40", "--concurrency", "6"]).args(args);
    command
}

#[test]
fn it_compares_two_policies_over_the_same_requests() {
    let output = demo(&["--requests", "40", "--warmup", "4"]).output().expect("it runs");
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    for word in ["least_conn;", "random;", "difference", "TTFT P99", "TPOT mean", "E2E mean"] {
        assert!(text.contains(word), "no {word} in\n{text}");
    }
    let shares: Vec<f64> = text
        .lines()
        .filter(|line| line.contains("share of"))
        .filter_map(|line| line.split('%').next()?.split_whitespace().last()?.parse().ok())
        .collect();
    assert_eq!(shares.len(), 3, "{text}");
    assert!((shares.iter().sum::<f64>() - 100.0).abs() < 0.5, "{text}");
    assert!(
        text.lines().any(|line| line.contains("failed requests") && line.matches('0').count() == 2),
        "{text}"
    );
}

#[test]
fn a_signal_ends_all_its_processes() {
    // Three engines, nginx and its two workers.
    assert_ends_all(&mut demo(&["--requests", "100000"]), 6);
}

#[test]
fn another_client_can_be_run_and_its_failure_is_one() {
    let run = |client: &str| {
        let policy = ["--policy", "least_conn;", "--", "sh", "-c", client, "{url}"];
        demo(&policy).output().expect("it runs")
    };
    let load = format!("{} load $0 --requests 10", env!("CARGO_BIN_EXE_tblb-sim"));
    let output = run(&load);
    assert!(output.status.success() && text(&output).contains("10 answered"), "{}", text(&output));
    let output = run("exit 3");
    assert!(!output.status.success() && text(&output).contains("exit status: 3"), "{}", text(&output));
}

#[test]
fn what_nginx_refuses_is_said_in_its_words() {
    let site = Site {
        nginx: nginx().into(),
        module: None,
        method: "no_such_method;".to_owned(),
        servers: vec!["127.0.0.1:1".to_owned()],
        keepalive: 1,
        status: false,
    };
    let error = Nginx::start(&site).expect_err("no such method");
    assert!(error.to_string().contains("unknown directive \"no_such_method\""), "{error}");
    let missing = Site { nginx: "no-such-nginx".into(), ..site };
    assert_eq!(Nginx::start(&missing).expect_err("no such nginx").kind(), io::ErrorKind::NotFound);
}

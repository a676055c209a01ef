//! Pools behind a real nginx, without the module: nginx's own methods, which the simulator has too.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

mod processes;

use std::path::Path;
use std::process::Command;

use processes::{assert_ends_all, nginx, start, text, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// Engines twenty times as fast as real ones: what is measured in 20 s of theirs takes a second.
fn live(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tblb-sim"));
    command.args(["live", "--plain", "--nginx", &nginx(), "--speed", "20", "--warmup", "5", "--seeds", "2"]);
    command.args(["--policy", "least_conn", "--policy", "random"]).args(args);
    command
}

/// A pool with requests that come directly, few enough for engines that run so fast.
const POOL: &str = "about = \"two nodes\"\nrequests = 100\n\n[[node]]\ntype = \"1gpu\"\nbackground = 3\n\n\
    [[node]]\ntype = \"4gpu-tp\"\nspeed = 0.9\n";

#[test]
fn it_plays_every_point_and_writes_the_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
    std::fs::write(path("pool.toml"), POOL).expect("written");
    let pools =
        [&format!("{}:5", path("pool.toml")), "hetero:2,4", "--seconds", "20", "--out", &path("live.md")];
    let output = live(&pools).output().expect("it runs");
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let page = std::fs::read_to_string(path("live.md")).expect("the page");
    for word in ["least_conn, ms", "random, %", "simulator, %", "same direction", "TTFT P99", "E2E mean"] {
        assert!(text.contains(word) && page.contains(word), "no {word} in\n{text}{page}");
    }
    let rows = |title: &str| page.lines().filter(|line| line.starts_with(&format!("| {title} |"))).count();
    // One row on the machine, one of results.
    assert_eq!(["pool 5", "hetero 2", "hetero 4"].map(rows), [2, 2, 2], "{page}");
    assert!(page.contains("\nOf 24 differences, ") && page.contains("| speed | 20 |"), "{page}");
    // Mock engines and the simulator are one model, in whose time all is given; a busy machine is slower.
    let e2e = |what: &str| -> f64 {
        let row = page.lines().find(|line| line.contains(what)).expect("a row");
        row.split(" | ").nth(8).and_then(|cell| cell.parse().ok()).expect("a number")
    };
    let ratio = e2e("least_conn, ms") / e2e("simulator, ms");
    assert!(ratio > 0.6, "{ratio}\n{page}");
}

#[test]
fn a_signal_ends_all_its_processes() {
    // Two rooms, each with two engines, nginx and its two workers.
    assert_ends_all(&mut live(&["hetero:8", "--seconds", "1000"]), 10);
}

#[test]
fn a_failed_request_is_a_failure_and_no_result() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = directory.path().join("live.md");
    let out = page.to_str().expect("text");
    let (child, started) = start(&mut live(&["hetero:8", "--seconds", "100", "--out", out]), 10);
    let sockets = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let engine = *started.iter().find(|pid| is_engine(**pid)).expect("an engine");
    let before = sockets(engine);
    wait_until("it has requests", || sockets(engine) >= before + 2);
    let pid = i32::try_from(engine).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    let text = text(&output);
    assert!(!output.status.success() && text.contains("\nfailed at hetero 8 with "), "{text}");
    assert!(!Path::new(out).exists());
}

fn is_engine(pid: u32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"engine")
}

#[test]
fn what_cannot_be_played_is_refused() {
    let refused = |args: &[&str], why: &str| {
        let output = live(args).output().expect("it runs");
        assert!(!output.status.success() && text(&output).contains(why), "{}", text(&output));
    };
    refused(&["hetero"], "hetero:10,50");
    refused(&["nowhere:10"], "homogeneous");
    refused(&["slowdown:10"], "can be played live");
    refused(&["hetero:4", "--seconds", "1", "--policy", "lmetric"], "unknown directive \"lmetric\"");
}

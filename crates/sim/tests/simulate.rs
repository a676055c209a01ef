//! The simulator as a command: its lines, its tables and what it refuses.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

use std::process::Command;

use serde_json::Value;

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tblb-sim"))
}

/// The lines of JSON that a subcommand prints.
fn lines(args: &[&str]) -> Vec<Value> {
    let output = command().args(args).arg("--json").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn run_prints_a_line_for_each_load_policy_and_seed() {
    let policies = ["--policy", "tblb least_conn", "--policy", "tblb least_work"];
    let seeds = ["--seeds", "2", "--first-seed", "7", "--requests", "100"];
    let run = |load: &[&str]| lines(&[&["run", "hetero"][..], load, &policies, &seeds].concat());
    let closed = run(&["--concurrency", "10,20"]);
    let of = |line: &Value| (line["concurrency"].as_u64(), line["policy"].to_string(), line["seed"].as_u64());
    assert_eq!(closed.len(), 8);
    assert_eq!(of(&closed[3]), (Some(10), "\"tblb least_work\"".to_owned(), Some(8)));
    for line in &closed {
        assert_eq!((&line["scenario"], &line["requests"]), (&"hetero".into(), &100.into()));
        for times in ["ttft_ms", "tpot_ms", "e2e_ms"] {
            assert!(line[times]["p99"].as_f64() >= line[times]["p50"].as_f64(), "{times}");
            assert!(line[times]["mean"].as_f64() > Some(0.0));
        }
        assert!(line["attained"].as_f64().is_some_and(|share| (0.5..=1.0).contains(&share)));
        let shares = line["shares"].as_array().expect("shares").iter().filter_map(Value::as_f64);
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(line.get("rate").is_none());
    }
    let open = run(&["--rate", "5", "--slo", "40/12"]);
    assert_eq!((open.len(), &open[0]["rate"]), (4, &5.0.into()));
    assert!(open[0]["attained"].as_f64() < Some(0.9), "the promise is hard to keep");
    assert_eq!(open, run(&["--rate", "5", "--slo", "40/12"]), "the seed fixes all");
}

#[test]
fn run_and_fleets_print_tables_against_the_first_policy() {
    let text = |args: &[&str]| {
        let output = command().args(args).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let policies = ["--policy", "least_conn", "--policy", "round_robin"];
    let run = text(&[&["run", "hetero", "--concurrency", "20", "--requests", "100"][..], &policies].concat());
    assert!(run.contains("least_conn (ms)") && run.contains("round_robin (%)") && run.contains('±'), "{run}");
    let fleets = text(&[&["fleets", "--count", "4"][..], &policies].concat());
    assert!(fleets.contains("wild mix, 1 fleets (% against least_conn)"), "{fleets}");
    let lines = lines(&[&["fleets", "--count", "2", "--first-seed", "8"][..], &policies].concat());
    let names: Vec<_> = lines.iter().map(|line| &line["scenario"]).collect();
    assert_eq!(names, ["fleet-8", "fleet-8", "fleet-9", "fleet-9"]);
    let twice = self::lines(
        &[&["fleets", "--count", "1", "--first-seed", "8", "--runs", "2"][..], &policies].concat(),
    );
    let seeds: Vec<_> = twice.iter().map(|line| line["seed"].as_u64()).collect();
    assert_eq!(seeds, [Some(8), Some(1_000_008), Some(8), Some(1_000_008)]);
    assert_eq!(twice[0], lines[0]);
}

#[test]
fn run_says_what_is_wrong_with_a_scenario_and_a_policy() {
    let error = |args: &[&str]| {
        let output = command().arg("run").args(args).output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(error(&["nowhere.toml"]).contains("homogeneous"));
    assert!(error(&["hetero", "--policy", "tblb s9"]).contains("s1_enhanced"));
    assert!(error(&["hetero", "--policy", "best"]).contains("random_two_least_conn"));
    assert!(error(&["hetero", "--slo", "500"]).contains("500/50"));
}

#[test]
fn the_page_of_the_simulator_names_every_policy_and_scenario() {
    let page = include_str!("../../../docs/simulator.md");
    let names = tblb_sim::policy::METHODS.iter().map(|method| method.name);
    for name in names.chain(tblb_sim::scenario::PRESETS.iter().map(|(name, _)| *name)) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_scenario_that_the_page_shows_runs() {
    let page = include_str!("../../../docs/simulator.md");
    let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("my-pool.toml");
    std::fs::write(&path, text).expect("written");
    let lines = lines(&["run", path.to_str().expect("text"), "--seeds", "1", "--requests", "200"]);
    let of = |line: &Value| (line["scenario"].clone(), line["concurrency"].as_u64());
    assert_eq!(lines.len(), 4, "two loads, two policies");
    assert_eq!(of(&lines[3]), ("my-pool".into(), Some(60)));
}

//! `tblb-sim score` as a process: what the published scheduler gave, it gives too.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GOLDEN: &str = include_str!("../../core/golden/scores.jsonl");

fn score(cases: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tblb-sim"))
        .arg("score")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("its input");
    // Written beside the reading: neither pipe holds all cases.
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(cases.as_bytes()));
        child.wait_with_output().expect("it ends")
    })
}

fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Takes the scores out of a case.
fn scores_of(case: &mut Value) -> Vec<f64> {
    let scores = case["scores"].take();
    serde_json::from_value(scores).expect("a list of numbers")
}

#[test]
fn every_golden_case_comes_back_with_its_scores_to_1e_9() {
    let output = score(GOLDEN);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut answers = parsed(std::str::from_utf8(&output.stdout).expect("text"));
    let mut expected = parsed(GOLDEN);
    assert_eq!((answers.len(), expected.len()), (640, 640));
    for (answer, expected) in answers.iter_mut().zip(&mut expected) {
        let (got, wanted) = (scores_of(answer), scores_of(expected));
        assert_eq!((&answer["algorithm"], got.len()), (&expected["algorithm"], wanted.len()));
        let agree = got.iter().zip(&wanted).all(|(got, wanted)| (got - wanted).abs() <= 1e-9);
        assert!(agree, "{expected}\ngot    {got:?}\nwanted {wanted:?}");
    }
}

#[test]
fn a_line_that_is_no_case_is_named() {
    let output = score("{\"algorithm\": \"s1\", \"nodes\": []}\n\n{\"algorithm\": \"s9\", \"nodes\": []}\n");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("line 3: unknown algorithm \"s9\""), "{error}");
}

//! The client against mock engines.

use std::collections::BTreeMap;
use std::net::TcpListener;

use super::*;
use crate::engine::{self, Engine, Fault};
use crate::node::NodeSpec;

fn engine(speed: f64) -> Engine {
    let node = NodeSpec { noise: 0.0, ..NodeSpec::named("4gpu-tp").expect("a preset").at_speed(speed) };
    Engine::start("127.0.0.1:0".parse().expect("an address"), &engine::Options::new(node)).expect("it starts")
}

fn options(engine: &Engine) -> Options {
    let lengths = Lengths { output_mu: 2.0, output_sigma: 0.5, ..Lengths::SHAREGPT };
    Options { lengths, requests: 40, ..Options::new(engine.url()) }
}

fn run(options: &Options) -> Outcome {
    run_blocking(options, |_| {}).expect("good options")
}

#[test]
fn a_closed_loop_sends_all_requests_over_few_connections() {
    let engine = engine(20.0);
    let options = Options { warmup: 5, load: Load::Closed { concurrency: 4 }, ..options(&engine) };
    let mut ended = 0;
    let outcome = run_blocking(&options, |_| ended += 1).expect("good options");
    assert_eq!((ended, outcome.records.len(), outcome.answered().count()), (45, 45, 40));
    assert_eq!((outcome.errors(), outcome.shares()), (BTreeMap::new(), BTreeMap::new()));
    assert!(outcome.records.iter().all(|record| record.tokens == record.length.output));
    assert_eq!((engine.stats().finished, engine.stats().accepted), (45, 4));
}

#[test]
fn an_open_loop_sends_all_requests() {
    let engine = engine(20.0);
    let options = Options { load: Load::Open { rate: 400.0 }, endpoint: Endpoint::Chat, ..options(&engine) };
    let outcome = run(&options);
    assert_eq!((outcome.answered().count(), engine.stats().finished), (40, 40));
}

#[test]
fn the_seed_fixes_what_is_asked() {
    let engine = engine(50.0);
    let lengths = |seed| -> Vec<Length> {
        run(&Options { seed, ..options(&engine) }).records.iter().map(|record| record.length).collect()
    };
    assert_eq!(lengths(3), lengths(3));
    assert_ne!(lengths(3), lengths(4));
}

#[test]
fn times_are_at_least_those_of_the_model() {
    let engine = engine(1.0);
    let options = Options { requests: 3, load: Load::Closed { concurrency: 1 }, ..options(&engine) };
    let node = NodeSpec::named("4gpu-tp").expect("a preset");
    for record in run(&options).records {
        let least = node.arrival.base + node.step.ms(record.length.input, 0, 0);
        let (first, last) = (record.ttft.expect("a first token"), record.last_token.expect("tokens"));
        assert!(first.as_secs_f64() * 1e3 >= least, "{first:?} is before {least} ms");
        // Not from the first to the last: a first token that a busy machine reads late brings them closer together.
        let least = least + node.step.base * f64::from(record.tokens - 1);
        assert!(last.as_secs_f64() * 1e3 >= least, "{last:?} is before {least} ms");
        assert_eq!(record.tpot(), Some((last - first) / (record.tokens - 1)));
        assert!(record.e2e >= last);
    }
}

#[test]
fn what_goes_wrong_is_counted_by_kind() {
    let engine = engine(20.0);
    let options = Options { requests: 4, load: Load::Closed { concurrency: 1 }, ..options(&engine) };
    let errors = |fault, options: &Options| -> Vec<(String, usize)> {
        engine.set_fault(Fault::None);
        engine.set_fault(fault);
        run(options).errors().into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
    };
    let expected = |kind: &str| vec![(kind.to_owned(), 4)];
    assert_eq!(errors(Fault::InferenceStatus { status: 503 }, &options), expected("status 503"));
    assert_eq!(errors(Fault::CutInference { tokens: 1 }, &options), expected("broken off"));
    let hasty = Options { timeout: Duration::from_millis(50), ..options.clone() };
    assert_eq!(errors(Fault::StallInference, &hasty), expected("timeout"));
    // Nobody listens where a listener has just been.
    let closed =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let nowhere = Options { base_url: format!("http://{closed}"), ..options };
    assert_eq!(errors(Fault::None, &nowhere), expected("connect: connection refused"));
}

#[test]
fn options_that_cannot_be_followed_are_refused() {
    for (base_url, why) in [("https://localhost", "must begin with http://"), ("::", "cannot be read")] {
        let error = run_blocking(&Options::new(base_url), |_| {}).expect_err(base_url);
        assert!(error.to_string().contains(why), "{error}");
    }
    let none = Options { load: Load::Closed { concurrency: 0 }, ..Options::new("http://localhost") };
    assert!(run_blocking(&none, |_| {}).is_err());
}

#[test]
fn the_upstream_that_answered_is_the_last_that_was_tried() {
    let target = Target::new(&Options::new("http://localhost")).expect("good options");
    let mut headers = hyper::HeaderMap::new();
    assert_eq!(target.upstream(&headers), None);
    headers.insert("x-upstream", "127.0.0.1:1, 127.0.0.1:2".parse().expect("a value"));
    assert_eq!(target.upstream(&headers).as_deref(), Some("127.0.0.1:2"));
}

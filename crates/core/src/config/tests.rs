use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn balance(text: &str) -> Result<Balance, String> {
    Balance::parse(&text.split_whitespace().collect::<Vec<_>>()).map_err(|e| e.to_string())
}

fn metrics(text: &str) -> Result<Option<Metrics>, String> {
    Metrics::parse(&text.split_whitespace().collect::<Vec<_>>()).map_err(|e| e.to_string())
}

#[test]
fn defaults() {
    let default = balance("").unwrap();
    assert_eq!(default.algorithm.name, "s1_enhanced");
    assert_eq!(default.params.weights, Weights { waiting: 0.1, cache: 0.9, running: 0.0 });
    assert_eq!(default.pick, Pick::Random);
    let polled = metrics("").unwrap().unwrap();
    assert_eq!((polled.interval, polled.stale), (Duration::from_secs(1), Duration::from_secs(3)));
}

#[test]
fn parameters() {
    let b = balance("s2_enhanced waiting=0.5 w_b=0.5 running=0 pick=best").unwrap();
    assert_eq!(b.params.weights, Weights { waiting: 0.5, cache: 0.5, running: 0.0 });
    assert_eq!(b.pick, Pick::Best);
    let b = balance("s2_dynamic_waiting steepness=2 transition_point=10").unwrap();
    assert_eq!((b.params.steepness, b.params.transition_point), (2.0, 10.0));
    let b = balance("s1 waiting=3 cache=1").unwrap();
    assert_eq!(
        b.params.weights,
        Weights { waiting: 0.75, cache: 0.25, running: 0.0 },
        "scaled to a sum of 1"
    );

    let m =
        metrics("engine=vllm interval=250ms timeout=100ms path=/m port=9000 scheme=https").unwrap().unwrap();
    assert_eq!((m.engine.unwrap().name, m.port, m.scheme), ("vllm", Some(9000), Scheme::Https));
    assert_eq!(m.stale, Duration::from_secs(2), "at least 2 s");
    assert_eq!(metrics("stale=10s").unwrap().unwrap().stale, Duration::from_secs(10));
    assert_eq!(metrics("off").unwrap(), None);
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (text, expected) in [
        ("s3", "unknown algorithm \"s3\", expected one of \"least_conn\", \"s1\""),
        ("s1 weight=1", "unknown parameter \"weight=1\", expected one of \"waiting\", \"cache\""),
        ("s1 best", "unknown parameter \"best\""),
        ("waiting=-1", "invalid parameter \"waiting=-1\", expected a number that is not negative"),
        ("waiting=NaN", "invalid parameter \"waiting=NaN\""),
        ("cache=inf", "invalid parameter \"cache=inf\""),
        ("cache=", "invalid parameter \"cache=\""),
        ("s1 waiting=0 cache=0", "all weights of the algorithm \"s1\" are 0"),
        ("s1 running=0.1", "the algorithm \"s1\" does not use \"running\""),
        ("pick=worst", "invalid parameter \"pick=worst\", expected \"random\" or \"best\""),
        ("steepness=0", "invalid parameter \"steepness=0\", expected a number above 0"),
    ] {
        let error = balance(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    for (text, expected) in [
        ("engine=gpt", "unknown engine \"gpt\", expected one of \"auto\", "),
        ("interval=49ms", "invalid parameter \"interval=49ms\", expected a time from 50ms to 3600s"),
        ("interval=soon", "invalid parameter \"interval=soon\""),
        ("port=0", "invalid parameter \"port=0\", expected a port from 1 to 65535"),
        ("path=metrics", "invalid parameter \"path=metrics\", expected a path that begins with \"/\""),
        ("path=/a#b", "invalid parameter \"path=/a#b\", expected a path"),
        ("scheme=ftp", "invalid parameter \"scheme=ftp\", expected \"http\" or \"https\""),
        ("on", "unknown parameter \"on\""),
        ("off interval=1s", "unknown parameter \"off\""),
    ] {
        let error = metrics(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_words_are_taken_or_refused(words in prop::collection::vec("[a-z_=0-9.-]{0,20}|\\PC{0,12}", 0..6)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Ok(balance) = Balance::parse(&words) {
            prop_assert!(balance.params.weights.sum() <= 1.0 + 1e-9);
        }
        let _ = Metrics::parse(&words);
    }
}

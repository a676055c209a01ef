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
    assert_eq!(default.algorithm.name, "least_work");
    let published = balance("s1_enhanced").unwrap();
    assert_eq!(published.params.weights, Weights { waiting: 0.1, cache: 0.9, running: 0.0 });
    assert_eq!(default.pick, Pick::Random);
    let polled = metrics("").unwrap().unwrap();
    assert_eq!((polled.interval, polled.stale), (Duration::from_secs(1), Some(Duration::from_secs(3))));
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
    assert_eq!(m.stale, Some(Duration::from_secs(2)), "at least 2 s");
    assert_eq!(metrics("stale=10s").unwrap().unwrap().stale, Some(Duration::from_secs(10)));
    assert_eq!(metrics("stale=off interval=10s").unwrap().unwrap().stale, None);
    assert_eq!(metrics("off").unwrap(), None);
    let port = |text| metrics(text).unwrap().unwrap().port();
    assert_eq!(
        ["", "engine=vllm", "engine=triton", "engine=triton port=81"].map(port),
        [None, None, Some(8002), Some(81)]
    );
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (text, expected) in [
        ("s3", "unknown algorithm \"s3\", expected one of \"least_work\", \"least_conn\", \"s1\""),
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

#[test]
fn a_block_takes_its_directives_one_by_one() {
    let block =
        Block::parse("tblb_limit waiting=15 running=200;\n tblb s2; tblb_metrics off; tblb_bypass on")
            .unwrap();
    assert_eq!(block.balance.algorithm.name, "s2");
    assert_eq!(block.metrics, None);
    assert_eq!(block.limit, Limit { waiting: Some(15.0), running: Some(200.0) });
    assert!(block.bypass && block.is_ours());

    let default = Block::parse("").unwrap();
    assert_eq!((default.metrics, default.limit), (Some(Metrics::default()), Limit::default()));
    assert!(!default.bypass && !Block::default().is_ours());
}

#[test]
fn what_is_wrong_with_a_block_is_named_with_its_directive() {
    for (text, expected) in [
        ("server a", "unknown directive \"server\", expected one of \"tblb\", \"tblb_metrics\""),
        ("tblb s1; tblb", "duplicate directive, expected one \"tblb\" in \"tblb\" directive"),
        ("tblb; tblb_metrics off; tblb_metrics", "duplicate directive, expected one \"tblb_metrics\""),
        ("tblb_bypass off", "\"tblb_bypass\" directive needs a \"tblb\" directive in the same upstream"),
        ("tblb; tblb_bypass", "invalid number of parameters, expected \"on\" or \"off\" in \"tblb_bypass\""),
        ("tblb; tblb_bypass yes", "invalid parameter \"yes\", expected \"on\" or \"off\""),
        ("tblb; tblb_limit", "invalid number of parameters, expected \"waiting=\", \"running=\" or both"),
        (
            "tblb; tblb_limit cache=1",
            "unknown parameter \"cache=1\", expected one of \"waiting\", \"running\"",
        ),
        ("tblb; tblb_limit waiting=-1", "invalid parameter \"waiting=-1\", expected a number that is not"),
    ] {
        let error = Block::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn only_what_is_strictly_over_a_limit_exceeds_it() {
    let limit = Limit::parse(&["waiting=15", "running=0"]).unwrap();
    let load = |waiting, running| crate::load::Load { waiting, running, cache: Some(1.0), closed: false };
    assert!(!limit.is_exceeded_by(&load(Some(15.0), Some(0.0))));
    assert!(limit.is_exceeded_by(&load(Some(15.1), None)));
    assert!(limit.is_exceeded_by(&load(None, Some(1.0))));
    assert!(!limit.is_exceeded_by(&load(None, None)), "what is unknown is over no limit");
    assert!(!Limit::default().is_exceeded_by(&load(Some(f64::MAX), Some(f64::MAX))));
}

#[test]
fn signals() {
    use crate::engine::{Aggregate, Custom};
    use crate::load::Signal;
    let parse = |words: &[&str]| super::signal::parse(words).map_err(|error| error.to_string());
    let select = vec![("a".to_owned(), "b \"c\\".to_owned()), ("d".to_owned(), String::new())];
    let custom = Custom {
        signal: Signal::Cache,
        name: "x:y_1".into(),
        select,
        aggregate: Some(Aggregate::Last),
        scale: Some(0.01),
    };
    let words = ["cache", r#"x:y_1{a="b \"c\\",d="",}"#, "scale=0.01", "aggregate=last"];
    assert_eq!(parse(&words), Ok(custom));
    for series in [
        "",
        "1a",
        "a b",
        "a{",
        "a{b}",
        "a{b=c}",
        "a{b=\"c\"",
        "a{b=\"c\"}d",
        "a 5",
        "a{b=\"c\"} 5",
        "{a=\"b\"}",
        "#a",
        "ä",
    ] {
        let error = parse(&["waiting", series]).unwrap_err();
        assert!(error.contains(&format!("\"{series}\", expected the name of a metric")), "{error}");
    }
    for (words, expected) in [
        (
            &["queue", "x"][..],
            "invalid parameter \"queue\", expected \"waiting\" or \"running\" or \"cache\"",
        ),
        (&["waiting"], "invalid number of parameters, expected \"waiting\", \"running\" or \"cache\", and"),
        (&["waiting", "x", "y"], "unknown parameter \"y\", expected one of \"aggregate\", \"scale\""),
        (
            &["waiting", "x", "aggregate=min"],
            "invalid parameter \"aggregate=min\", expected \"sum\" or \"max\"",
        ),
        (&["waiting", "x", "scale=0"], "invalid parameter \"scale=0\", expected a number above 0"),
    ] {
        let error = parse(words).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = Block::parse("tblb; tblb_metrics engine=custom").unwrap_err().to_string();
    assert!(error.contains("needs a \"tblb_metrics_signal\" directive"), "{error}");
}

#[test]
fn models_matter_by_themselves_or_by_a_variable() {
    let parse = |text: &str| Block::parse(text).map(|block| block.models).map_err(|error| error.to_string());
    assert_eq!(parse("tblb"), Ok(Models::default()));
    let given = |variable: Option<&str>, unlisted| Models {
        on: variable.is_some(),
        given: true,
        variable: variable.map(Into::into),
        unlisted,
    };
    assert_eq!(
        parse("tblb; tblb_model $http_x_model"),
        Ok(given(Some("http_x_model"), Some(Unlisted::Reject)))
    );
    assert_eq!(parse("tblb; tblb_model $m unlisted=pass"), Ok(given(Some("m"), Some(Unlisted::Pass))));
    assert_eq!(parse("tblb; tblb_model off"), Ok(given(None, None)));
    for (words, expected) in [
        ("", "invalid number of parameters, expected a variable or \"off\""),
        ("m", "invalid parameter \"m\", expected a variable such as \"$http_x_model\", or \"off\""),
        ("$", "invalid parameter \"$\", expected a variable"),
        ("${m}", "invalid parameter \"${m}\", expected a variable"),
        ("$m unlisted=no", "invalid parameter \"unlisted=no\", expected \"reject\" or \"pass\""),
        ("$m x=y", "unknown parameter \"x=y\", expected one of \"unlisted\""),
    ] {
        let error = parse(&format!("tblb; tblb_model {words}")).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let needless = parse("tblb_model $m").unwrap_err();
    assert!(needless.contains("needs a \"tblb\" directive"), "{needless}");
    assert!(Block::parse("tblb; tblb_metrics engine=xinference").is_ok());
}

#[test]
fn recordings() {
    let parse = |text| Block::parse(text).map(|block| block.recording).map_err(|error| error.to_string());
    assert_eq!(parse("tblb"), Ok(None));
    let recording = |max_size| Ok(Some(Recording { file: "picks.log".into(), max_size }));
    assert_eq!(parse("tblb; tblb_record picks.log"), recording(16 << 20));
    assert_eq!(parse("tblb; tblb_record picks.log max_size=1g"), recording(1 << 30));
    for (text, expected) in [
        ("tblb; tblb_record", "invalid number of parameters, expected a file"),
        ("tblb; tblb_record f size=1", "unknown parameter \"size=1\", expected one of \"max_size\""),
        ("tblb; tblb_record f max_size=0", "invalid parameter \"max_size=0\", expected a size above 0"),
        ("tblb_record f", "\"tblb_record\" directive needs a \"tblb\" directive"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_directives_of_picks_say_the_same_again() {
    let text = "tblb s2_enhanced w_b=0.3 waiting=2; tblb_limit waiting=1; tblb_metrics off; tblb_bypass on";
    let block = Block::parse(text).unwrap();
    assert_eq!(block.of_picks(), "tblb s2_enhanced w_b=0.3 waiting=2;tblb_bypass on;");
    let again = Block::parse(&block.of_picks()).unwrap();
    assert_eq!(again.balance.params, block.balance.params);
    assert_eq!((again.balance.algorithm.name, again.bypass), ("s2_enhanced", true));
}

proptest! {
    #[test]
    fn any_words_are_taken_or_refused(words in prop::collection::vec("[a-z_=0-9.-]{0,20}|\\PC{0,12}", 0..6)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Ok(balance) = Balance::parse(&words) {
            prop_assert!(balance.params.weights.sum() <= 1.0 + 1e-9);
        }
        let _ = Metrics::parse(&words);
        let _ = Limit::parse(&words);
        let _ = Block::parse(&words.join(" "));
    }
}

#[test]
fn what_is_known_of_one_server() {
    let block = Block::parse("tblb; tblb_server a:1 port=8002; tblb_server 10.0.0.1:1 metrics=off").unwrap();
    assert_eq!(block.server_number("a:1", "10.0.0.2:1"), Some(0));
    assert_eq!(block.server_number("a:1", "10.0.0.1:1"), Some(1), "an address is one of the name's");
    assert_eq!(block.server_number("b:1", "10.0.0.2:1"), None);
    let server = |written: &str, addresses: &[&str]| {
        (written.to_owned(), addresses.iter().map(|&address| address.to_owned()).collect::<Vec<_>>())
    };
    let both = [server("a:1", &["10.0.0.1:1", "10.0.0.2:1"]), server("b:1", &["10.0.0.3:1"])];
    assert_eq!(block.check_servers(&both), Ok(()));
    let (place, error) = block.check_servers(&both[1..]).unwrap_err();
    let expected =
        "unknown server \"a:1\", expected one of the upstream: \"b:1\" in \"tblb_server\" directive";
    assert_eq!((place, error.to_string().as_str()), (0, expected));
    assert_eq!(block.check_servers(&[server("a:1", &["10.0.0.9:1"])]).unwrap_err().0, 1);
    assert_eq!(block.check_servers(&[server("a:1", &[])]), Ok(()), "its addresses are not known yet");
    for (text, expected) in [
        (
            "tblb; tblb_server a:1 port=1; tblb_server a:1 metrics=off",
            "duplicate server \"a:1\", expected one \"tblb_server\"",
        ),
        (
            "tblb; tblb_metrics off; tblb_server a:1 port=1",
            "\"tblb_server\" directive gives a place of metrics",
        ),
        ("tblb_server a:1 port=1", "\"tblb_server\" directive needs a \"tblb\" directive"),
    ] {
        let error = Block::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(Block::parse("tblb; tblb_metrics off; tblb_server a:1 metrics=off").is_ok());
}

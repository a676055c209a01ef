//! Any text is a configuration that makes sense, or an error on one line; what a pick goes by says the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use tblb_core::config::{Block, Error};

/// Words as nginx hands them over: quoted ones may hold blanks and semicolons.
fn by_words(text: &str) -> Result<Block, Error> {
    let mut block = Block::default();
    for statement in text.split('\n') {
        let words: Vec<&str> = statement.split('\t').collect();
        let (name, words) = words.split_first().unwrap_or((&"", &[]));
        block.set(name, words)?;
    }
    block.check()?;
    Ok(block)
}

fn makes_sense(block: &Block) {
    let (weights, params) = (block.balance.params.weights, &block.balance.params);
    for weight in [weights.waiting, weights.cache, weights.running] {
        assert!((0.0..=1.0).contains(&weight), "{weights:?}");
    }
    assert!(weights.sum() <= 1.0 + 1e-9, "{weights:?}");
    for value in [params.transition_point, params.steepness, params.power] {
        assert!(value.is_finite() && value > 0.0, "{params:?}");
    }
    let times = Duration::from_millis(50)..=Duration::from_secs(3 * 3600);
    if let Some(metrics) = &block.metrics {
        assert!(
            times.contains(&metrics.interval) && metrics.stale.is_none_or(|stale| times.contains(&stale))
        );
        assert!(!metrics.timeout.is_zero() && metrics.port() != Some(0));
        assert!(
            metrics
                .path
                .as_ref()
                .is_none_or(|path| path.starts_with('/') && !path.contains(['\r', '\n', ' ']))
        );
    }
    let _ = (block.lookup(), block.stale_ms());
}

fuzz_target!(|text: &str| {
    let parsed = Block::parse(text);
    if let Ok(block) = &parsed {
        let picks = Block::parse(&block.of_picks()).expect("directives that were read are read again");
        assert_eq!(picks.of_picks(), block.of_picks());
        let both = [&picks, block].map(|block| (format!("{:?}", block.balance), block.bypass));
        assert_eq!(both[0], both[1]);
    }
    for parsed in [parsed, by_words(text)] {
        match parsed {
            Ok(block) => makes_sense(&block),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

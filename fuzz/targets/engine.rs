//! Any body is a reading or a fault, the same whichever pieces it comes in and whether or not it is known to be whole, for every engine and with names of the user's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use tblb_core::config::Block;
use tblb_core::engine::{ALL, Engine, Lookup, Progress, Reading, Scrape};
use tblb_core::fault::Fault;
use tblb_core::load::{Signal, known};
use tblb_core::model::CAPACITY;

/// What may be looked for: what every engine reports, what one does, and both with names that a user gives.
static LOOKUPS: LazyLock<Vec<Arc<Lookup>>> = LazyLock::new(|| {
    let names = r#"tblb_metrics_signal waiting up; tblb_metrics_signal cache vllm:kv_cache_usage_perc aggregate=mean;
        tblb_metrics_signal running q{a="",b="1"} scale=0.5 aggregate=last"#;
    let one = ALL.iter().map(|engine| format!("tblb; tblb_metrics engine={}; {names}", engine.name));
    let custom =
        one.chain([format!("tblb; {names}")]).map(|text| Block::parse(&text).expect("directives").lookup());
    let own = ALL.iter().map(|engine| Lookup::new(Some(engine), &[]));
    own.chain([Lookup::new(None, &[])]).chain(custom).collect()
});

fn read(
    lookup: &Arc<Lookup>,
    remembered: Option<&'static Engine>,
    framed: bool,
    pieces: &[&[u8]],
) -> Result<Reading, Fault> {
    let mut scrape = Scrape::of(lookup.clone(), remembered).with_per_cent(framed);
    for piece in pieces {
        if scrape.feed(piece)? == Progress::Enough {
            break;
        }
    }
    if framed { scrape.finish_whole() } else { scrape.finish() }
}

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let (place, remembered) = (tblb_fuzz::last(&mut input), tblb_fuzz::last(&mut input));
    // Every second input is looked at as if nothing were known, as most pages are.
    let place = if place % 2 == 0 { ALL.len() } else { usize::from(place / 2) % LOOKUPS.len() };
    let remembered = Engine::from_index(remembered);
    let (body, pieces) = tblb_fuzz::pieces(input);
    for framed in [false, true] {
        let whole = read(&LOOKUPS[place], remembered, framed, &[body]);
        assert_eq!(whole, read(&LOOKUPS[place], remembered, framed, &pieces));
        if let Ok(reading) = whole {
            makes_sense(&reading);
        }
    }
});

/// A reading is of an engine, knows something, and knows no number that is none.
fn makes_sense(reading: &Reading) {
    assert!(reading.engine.index().is_some());
    assert!(reading.engine.by_model || !reading.load.is_unknown());
    for value in Signal::ALL.into_iter().filter_map(|signal| reading.load.get(signal)) {
        assert_eq!(known(value), Some(value));
    }
    if let Some(models) = &reading.models {
        assert!(models.list.len() <= CAPACITY);
        assert!(models.list.iter().all(|model| model.utilization.is_none_or(|x| known(x) == Some(x))));
    }
}

//! Progress bars.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tblb_sim::client::Record;

/// A bar over so many `units` (a word in the plural), on standard error; hidden where that is no terminal.
pub fn bar(what: &str, count: usize, units: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64).with_message(what.to_owned()).with_prefix(units);
    // The template is fixed, so it parses; indicatif's own style would do as well.
    if let Ok(style) =
        ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} {prefix}, {elapsed} of {duration}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Counts one request, and says what went wrong with it.
pub fn count(bar: &ProgressBar, record: &Record) {
    if let Some(error) = &record.error {
        bar.println(format!("request {}: {error}", record.number));
    }
    bar.inc(1);
}

//! What a soak says.

use std::collections::BTreeMap;

use tblb_sim::compare::Estimate;
use tblb_sim::soak::{Sample, slope};

use super::{Seen, Soaked};
use crate::cli::table;

/// The two nginx: whose workers live on, and whose do not.
pub const NAMES: [&str; 2] = ["kept", "renewed"];

/// The part of the samples that comes before memory is what it will be: pools and caches fill.
const FILLING: usize = 5;

/// Slopes are judged from so many samples on: over a few minutes anything that fills once looks like hundreds of MiB an
/// hour.
const JUDGED_FROM: usize = 20;

/// What is measured, whether it is memory, the largest slope an hour that is let pass, and how to read it.
type Measure = (&'static str, bool, f64, fn(&Sample) -> f64);

const MEASURES: [Measure; 5] = [
    ("RSS of the master, MiB", true, 2.0, |sample| mib(sample.master.rss)),
    ("RSS of the workers, MiB", true, 4.0, |sample| mib(sample.all_workers().rss)),
    ("RSS of all, MiB", true, 8.0, |sample| mib(sample.all().rss)),
    ("descriptors", false, 4.0, |sample| sample.all().descriptors as f64),
    ("threads that do not poll", false, 1.0, |sample| (sample.all().threads - sample.all().pollers) as f64),
];

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// How the values grow in an hour, less those while it fills.
fn growth(samples: &[Sample], of: fn(&Sample) -> f64) -> Option<Estimate> {
    let points = samples.iter().skip(samples.len() / FILLING);
    let points: Vec<_> = points.map(|sample| (sample.at.as_secs_f64() / 3600.0, of(sample))).collect();
    slope(&points)
}

/// All that was seen, as text.
pub fn text(soaked: &Soaked) -> String {
    let mut table =
        table::new(["at rest", "nginx", "first", "last", "slope an hour", "95 % interval", "bound"]);
    for (measure, _, bound, of) in MEASURES {
        for (seen, name) in soaked.seen.iter().zip(NAMES) {
            let growth = growth(&seen.samples, of);
            let number = |value| table::number(value, 2);
            let interval = growth.map_or_else(
                || "–".to_owned(),
                |growth| format!("{:.2} to {:.2}", growth.low(), growth.high()),
            );
            table.add_row([
                measure.to_owned(),
                name.to_owned(),
                number(seen.samples.first().map(of)),
                number(seen.samples.last().map(of)),
                number(growth.map(|growth| growth.mean)),
                interval,
                number(Some(bound)),
            ]);
        }
    }
    let mut lines = vec![table.to_string()];
    for ((seen, tally), name) in soaked.seen.iter().zip(&soaked.tallies).zip(NAMES) {
        let explained: usize = tally.explained.values().sum();
        lines.push(format!(
            "{name}: {} requests, {explained} failed as faults explain{}, {} unexplained; at most {:.1} MiB (RSS), {} \
             descriptors, {} threads; {} rests; struck by{}",
            tally.sent,
            counted(&tally.explained),
            tally.unexplained.len(),
            mib(seen.peak.rss),
            seen.peak.descriptors,
            seen.peak.threads,
            seen.samples.len(),
            counted(&tally.strikes),
        ));
    }
    lines.extend(unjudged(soaked));
    lines.push(format!("took {:.0} s", soaked.took.as_secs_f64()));
    lines.join("\n")
}

/// A line where a soak was too short to say whether anything grows.
fn unjudged(soaked: &Soaked) -> Option<String> {
    let rests = soaked.seen.iter().map(|seen| seen.samples.len()).min()?;
    (rests < JUDGED_FROM)
        .then(|| format!("too short to judge what grows: {rests} rests, and it takes {JUDGED_FROM}"))
}

/// ` (so many of these, so many of those)`.
fn counted(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<_> = counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// Why the soak failed; nothing if it did not. Memory is judged only if it is nginx's own.
pub fn failures(soaked: &Soaked, memory_is_own: bool) -> Vec<String> {
    let mut failures = Vec::new();
    for ((seen, tally), name) in soaked.seen.iter().zip(&soaked.tallies).zip(NAMES) {
        let mut add = |what: &str| failures.push(format!("{name}: {what}"));
        seen.grave.iter().for_each(|line| add(&format!("logged {line}")));
        seen.unrest.iter().for_each(|why| add(&format!("not as it was: {why}")));
        tally.unexplained.iter().for_each(|what| add(&format!("request failed: {what}")));
        grown(seen, memory_is_own).iter().for_each(|what| add(what));
        if tally.sent == 0 {
            add("no request was sent");
        }
    }
    failures.extend(soaked.findings.iter().map(|text| format!("the checker found:\n{text}")));
    failures
}

/// What grows faster than its bound, and not by chance.
fn grown(seen: &Seen, memory_is_own: bool) -> Vec<String> {
    if seen.samples.len() < JUDGED_FROM {
        return Vec::new();
    }
    let beyond = |(measure, is_memory, bound, of): &Measure| {
        let growth = growth(&seen.samples, *of)?;
        let judged = memory_is_own || !is_memory;
        let beyond = judged && growth.mean > *bound && growth.low() > 0.0;
        beyond.then(|| format!("{measure} grows by {:.2} an hour, beyond {bound}", growth.mean))
    };
    MEASURES.iter().filter_map(beyond).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tblb_sim::soak::{Tally, Usage};

    use super::*;

    /// A rest every half a minute, at which the master holds what this gives.
    fn seen(count: u64, master: impl Fn(u64) -> Usage) -> Seen {
        let sample = |at| Sample {
            at: Duration::from_secs(30 * at),
            pid: 1,
            master: master(at),
            workers: vec![(2, Usage::default())],
        };
        Seen { samples: (0..count).map(sample).collect(), ..Seen::default() }
    }

    fn soaked(kept: Seen) -> Soaked {
        let tally = || Tally { sent: 1, ..Tally::default() };
        Soaked {
            seen: [kept, Seen::default()],
            tallies: [tally(), tally()],
            findings: Vec::new(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn what_grows_beyond_its_bound_is_a_failure_and_what_fills_once_is_none() {
        // 40 KiB each half a minute are 4.7 MiB an hour.
        let leak = |at| Usage { rss: 5000 + 40 * at, ..Usage::default() };
        let fills = |at: u64| Usage { rss: 5000 + 400 * at.min(5), ..Usage::default() };
        assert_eq!(failures(&soaked(seen(60, leak)), true).len(), 1);
        assert!(failures(&soaked(seen(60, leak)), false).is_empty());
        let short = soaked(seen(JUDGED_FROM as u64 - 1, leak));
        assert!(failures(&short, true).is_empty() && text(&short).contains("too short to judge"));
        assert!(failures(&soaked(seen(60, fills)), true).is_empty());
        let descriptors = |at| Usage { descriptors: 20 + at / 10, ..Usage::default() };
        assert_eq!(failures(&soaked(seen(60, descriptors)), false).len(), 1);
    }

    #[test]
    fn whatever_is_not_explained_is_a_failure() {
        let mut soaked = soaked(Seen {
            grave: vec!["[alert] 7".to_owned()],
            unrest: vec!["1 in flight".to_owned()],
            ..Seen::default()
        });
        soaked.tallies[0].explained.insert("status 502".to_owned(), 3);
        soaked.tallies[0].unexplained.push("status 502 in round 3".to_owned());
        soaked.tallies[1].sent = 0;
        soaked.findings.push("Invalid read".to_owned());
        assert_eq!(failures(&soaked, true).len(), 5);
        assert!(text(&soaked).contains("3 failed as faults explain (status 502: 3), 1 unexplained"));
    }
}

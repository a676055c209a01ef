//! What a peer without fresh metrics is taken to report: what is typical of the others, for our own requests there.

use crate::load::{Load, Signal};
use crate::median::median;

/// What the peers with fresh metrics report, by the median of each number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Typical {
    /// What they report; a signal that none reports is unknown.
    pub load: Load,
    /// Requests there that are not our own; None if no peer says how many it runs.
    pub background: Option<f64>,
}

impl Typical {
    /// The medians of what is known of the peers: what they report, and the requests of others there. `sorted` is
    /// room to compute in.
    pub fn of(loads: &[Load], background: &[Option<f64>], sorted: &mut Vec<f64>) -> Self {
        let mut load = Load::default();
        for signal in Signal::ALL {
            load.set(signal, median_of(loads.iter().filter_map(|load| load.get(signal)), sorted));
        }
        Typical { load, background: median_of(background.iter().flatten().copied(), sorted) }
    }

    /// What such a peer would report with so many requests of our own: they are added to those of others. A peer
    /// that lets requests wait is full, so that all beyond the typical running ones wait; else all run. The cache is
    /// used in proportion to the running ones, which fill it.
    pub fn with(&self, own: f64) -> Load {
        let (Some(background), Some(running)) = (self.background, self.load.running) else {
            return self.load;
        };
        let requests = background + own;
        let full = self.load.waiting.is_some_and(|waiting| waiting > 0.0);
        let runs = if full { requests.min(running) } else { requests };
        let cache = |cache: f64| if running > 0.0 { (cache * runs / running).min(1.0) } else { cache };
        Load {
            waiting: self.load.waiting.map(|_| requests - runs),
            running: Some(runs),
            cache: self.load.cache.map(cache),
            closed: false,
        }
    }
}

fn median_of(values: impl Iterator<Item = f64>, sorted: &mut Vec<f64>) -> Option<f64> {
    sorted.clear();
    sorted.extend(values);
    median(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(waiting: f64, running: f64, cache: f64) -> Load {
        Load { waiting: Some(waiting), running: Some(running), cache: Some(cache), ..Load::default() }
    }

    #[test]
    fn our_own_requests_run_where_nothing_waits() {
        let loads = [load(0.0, 4.0, 0.2), load(0.0, 8.0, 0.4), load(0.0, 6.0, 0.3), Load::default()];
        let typical = Typical::of(&loads, &[Some(2.0), Some(6.0), Some(4.0), None], &mut Vec::new());
        assert_eq!(typical.load, load(0.0, 6.0, 0.3));
        assert_eq!(typical.with(2.0), load(0.0, 6.0, 0.3), "as many of our own: the typical one itself");
        assert_eq!(typical.with(8.0), load(0.0, 12.0, 0.6));
        assert_eq!(typical.with(0.0), load(0.0, 4.0, 0.3 * 4.0 / 6.0));
        assert_eq!(typical.with(1000.0).cache, Some(1.0));
    }

    #[test]
    fn our_own_requests_wait_where_others_do() {
        let typical = Typical::of(&[load(5.0, 16.0, 0.9)], &[Some(10.0)], &mut Vec::new());
        assert_eq!(typical.with(11.0), load(5.0, 16.0, 0.9));
        assert_eq!(typical.with(21.0), load(15.0, 16.0, 0.9));
        assert_eq!(typical.with(0.0), load(0.0, 10.0, 0.9 * 10.0 / 16.0));
    }

    #[test]
    fn what_nobody_reports_stays_unknown() {
        let typical = Typical::of(&[Load { cache: Some(0.5), ..Load::default() }], &[None], &mut Vec::new());
        assert_eq!(typical.with(9.0), Load { cache: Some(0.5), ..Load::default() });
        let none = Typical::of(&[Load::default()], &[None], &mut Vec::new());
        assert!(none.with(9.0).is_unknown());
        let running = Load { running: Some(3.0), ..Load::default() };
        let typical = Typical::of(&[running], &[Some(0.0)], &mut Vec::new());
        assert_eq!(typical.with(2.0), Load { running: Some(2.0), ..Load::default() });
    }
}

//! What requests took, live and simulated, and what is compared of it.

use crate::client;
use crate::compare::{Estimate, jackknife};
use crate::fleet;
use crate::summary::Summary;

/// Groups of requests that follow each other, by which the interval of a change is estimated: long against what one
/// request does to the next ones, and enough for Student's distribution to be near its limit.
const GROUPS: usize = 10;

/// What one request took, in ms of the engines' time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Its number among those that are measured.
    pub number: usize,
    /// To the first token, if one came.
    pub ttft: Option<f64>,
    /// For each token after the first, if there was one.
    pub tpot: Option<f64>,
    /// To the end.
    pub e2e: f64,
}

impl Times {
    /// What a client saw of engines that run `speed` times as fast as the model, after so many requests of warm-up.
    pub fn live(record: &client::Record, warmup: usize, speed: f64) -> Self {
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3 * speed;
        Self {
            number: record.number - warmup,
            ttft: record.ttft.map(ms),
            tpot: record.tpot().map(ms),
            e2e: ms(record.e2e),
        }
    }

    /// What the simulator says, after so many requests of warm-up.
    pub fn simulated(record: &fleet::Record, warmup: usize) -> Self {
        let &fleet::Record { number, ttft, tpot, e2e, .. } = record;
        Self { number: number - warmup, ttft, tpot, e2e }
    }
}

/// What is compared: its name, the time of each request, and what is taken of them.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// As a table's head has it.
    pub name: &'static str,
    of: fn(&Times) -> Option<f64>,
    part: fn(Summary) -> f64,
}

const fn measure(name: &'static str, of: fn(&Times) -> Option<f64>, part: fn(Summary) -> f64) -> Measure {
    Measure { name, of, part }
}

/// All that is compared.
pub const MEASURES: [Measure; 8] = [
    measure("TTFT mean", |times| times.ttft, |ms| ms.mean),
    measure("TTFT median", |times| times.ttft, |ms| ms.p50),
    measure("TTFT P99", |times| times.ttft, |ms| ms.p99),
    measure("TPOT mean", |times| times.tpot, |ms| ms.mean),
    measure("TPOT median", |times| times.tpot, |ms| ms.p50),
    measure("TPOT P99", |times| times.tpot, |ms| ms.p99),
    measure("E2E mean", |times| Some(times.e2e), |ms| ms.mean),
    measure("E2E median", |times| Some(times.e2e), |ms| ms.p50),
];

/// The values of [`MEASURES`], in their order; `None` of nothing.
pub fn values(times: &[Times]) -> [Option<f64>; MEASURES.len()] {
    MEASURES.map(|measure| value(&measure, times.iter()))
}

fn value<'a>(measure: &Measure, times: impl Iterator<Item = &'a Times>) -> Option<f64> {
    Summary::of(times.filter_map(measure.of)).map(measure.part)
}

/// By how many per cent a measure of `other` differs from that of `base`, both of the same requests. The interval is
/// a jackknife's over ten groups of requests that follow each other, in both alike.
pub fn change(measure: &Measure, base: &[Times], other: &[Times]) -> Option<Estimate> {
    let count = base.len().max(other.len());
    let without = |group: Option<usize>| {
        let kept = |times: &&Times| group != Some(times.number * GROUPS / count);
        let base = value(measure, base.iter().filter(kept))?;
        let other = value(measure, other.iter().filter(kept))?;
        Some((other / base - 1.0) * 100.0)
    };
    jackknife(GROUPS, without)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand requests whose time to the first token is what `ttft` says.
    fn times(ttft: impl Fn(usize) -> f64) -> Vec<Times> {
        (0..1000).map(|number| Times { number, ttft: Some(ttft(number)), tpot: None, e2e: 1.0 }).collect()
    }

    #[test]
    fn requests_are_paired_so_what_they_have_in_common_is_no_noise() {
        let common = |number: usize| 10.0 + (number * 7919 % 1000) as f64;
        let (base, other) = (times(common), times(|number| common(number) * 0.9));
        for measure in &MEASURES[..3] {
            let change = change(measure, &base, &other).expect("a change");
            assert!((change.mean + 10.0).abs() < 1e-9, "{}", change.mean);
            assert!(change.interval.is_some_and(|width| width < 1e-6), "{change:?}");
        }
        let noise = times(|number| common(number * 31 + 5));
        let change = change(&MEASURES[0], &base, &noise).expect("a change");
        assert!(change.interval.is_some_and(|width| (0.5..30.0).contains(&width)), "{change:?}");
    }

    #[test]
    fn what_nobody_measured_has_no_value_and_no_change() {
        let base = times(|_| 1.0);
        assert_eq!((values(&base)[0], values(&base)[3], values(&base)[6]), (Some(1.0), None, Some(1.0)));
        assert_eq!(change(&MEASURES[3], &base, &base), None);
        assert_eq!(change(&MEASURES[0], &base, &[]), None);
    }
}

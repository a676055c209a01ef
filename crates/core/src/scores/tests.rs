use super::*;
use crate::board::{Outcome, Shape};
use std::sync::atomic::AtomicU64;

struct Pool {
    words: Vec<AtomicU64>,
    slots: Vec<Option<u32>>,
}

impl Pool {
    fn new(n: u64) -> Self {
        let shape = Shape { upstreams: 1, slots: n as usize, rows: 1 };
        let words: Vec<_> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
        let board = Board::format(&words, shape).unwrap();
        let slots = (1..=n).map(|key| board.claim(key, 0, 0).map(|slot| slot as u32)).collect();
        Pool { words, slots }
    }

    fn report(&self, peer: usize, at: u64, waiting: Option<f64>, cache: Option<f64>) {
        let load = Load { waiting, cache, ..Load::default() };
        let outcome = Outcome { at, took: 1, result: Ok((0, load)) };
        Board::open(&self.words).unwrap().publish(self.slots[peer].unwrap() as usize, &outcome);
    }

    fn scores(&self, scores: &mut Scores, text: &str, now: u64) -> Vec<Option<f64>> {
        let how = Balance::parse(&text.split(' ').collect::<Vec<_>>()).unwrap();
        let board = Board::open(&self.words).unwrap();
        scores.refresh(&how, &board, 0, &self.slots, Freshness { now, stale: 1000 });
        (0..self.slots.len()).map(|i| scores.get(i).score).collect()
    }
}

#[test]
fn fresh_peers_are_scored_and_the_others_take_the_median() {
    let pool = Pool::new(4);
    let mut scores = Scores::with_capacity(4);
    assert_eq!(pool.scores(&mut scores, "s1", 0), [None; 4], "nothing is known yet");
    for (peer, cache) in [(0, 0.1), (1, 0.3), (2, 0.9)] {
        pool.report(peer, 100, Some(0.0), Some(cache));
    }
    let got = pool.scores(&mut scores, "s1 waiting=0 cache=1", 200);
    assert_eq!(got, [Some(0.9), Some(0.7), Some(1.0 - 0.9), Some(0.7)]);
    assert!(scores.get(0).fresh && !scores.get(3).fresh);
}

#[test]
fn a_sample_grows_stale_without_a_new_one() {
    let pool = Pool::new(2);
    let mut scores = Scores::with_capacity(2);
    pool.report(0, 100, Some(0.0), Some(0.2));
    pool.report(1, 600, Some(0.0), Some(0.4));
    let cache_only = "s1 waiting=0 cache=1";
    assert_eq!(pool.scores(&mut scores, cache_only, 1100), [Some(0.8), Some(0.6)]);
    assert_eq!(pool.scores(&mut scores, cache_only, 1101), [Some(0.6), Some(0.6)]);
    assert_eq!(pool.scores(&mut scores, cache_only, 1601), [None, None]);
}

#[test]
fn a_closed_peer_has_no_score_and_is_not_compared_with() {
    let pool = Pool::new(3);
    let mut scores = Scores::with_capacity(3);
    pool.report(0, 100, Some(4.0), Some(0.5));
    pool.report(1, 100, Some(8.0), Some(0.5));
    let load = Load { closed: true, waiting: Some(0.0), cache: Some(0.0), running: None };
    let outcome = Outcome { at: 100, took: 1, result: Ok((0, load)) };
    Board::open(&pool.words).unwrap().publish(pool.slots[2].unwrap() as usize, &outcome);
    let waiting_only = "s1 waiting=1 cache=0";
    assert_eq!(pool.scores(&mut scores, waiting_only, 200), [Some(1.0), Some(0.0), None]);
    assert_eq!(scores.get(2).standing, Standing::Closed);
    // Stale metrics close nobody.
    pool.scores(&mut scores, waiting_only, 5000);
    assert_eq!(scores.get(2).standing, Standing::Ready);
}

#[test]
fn a_signal_that_nobody_reports_loses_its_weight() {
    let pool = Pool::new(2);
    let mut scores = Scores::with_capacity(2);
    pool.report(0, 100, Some(8.0), None);
    pool.report(1, 100, Some(2.0), None);
    assert_eq!(pool.scores(&mut scores, "s1 waiting=0.2 cache=0.8", 100), [Some(0.0), Some(1.0)]);
    scores.forget();
    assert_eq!(
        pool.scores(&mut scores, "s1 waiting=0 cache=1", 100),
        [None, None],
        "nothing is left to score by"
    );
    scores.forget();
    assert_eq!(pool.scores(&mut scores, "least_conn", 100), [None, None]);
}

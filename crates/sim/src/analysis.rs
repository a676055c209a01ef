//! What each algorithm makes of the same metrics: scores, and the shares of the requests that follow from them.

use std::sync::atomic::AtomicU64;

use serde::Serialize;
use tblb_core::algorithm::{self, Rule};
use tblb_core::board::{Board, Outcome, Shape};
use tblb_core::config::{Balance, Block};
use tblb_core::load::Load;
use tblb_core::picker::{self, Candidate, Numbers};
use tblb_core::scores::{Freshness, Scores};

/// What an algorithm makes of the metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// The algorithm.
    pub algorithm: &'static str,
    /// The weight of requests waiting.
    pub waiting: f64,
    /// The weight of the KV-cache use.
    pub cache: f64,
    /// The weight of requests running.
    pub running: f64,
    /// The score of each node; null where the algorithm has nothing to score by.
    pub scores: Vec<Option<f64>>,
    /// The probability with which each node is picked at random by its score, all weights of servers being equal; all
    /// 0 where no score is above 0, which makes the choice least_conn's.
    pub shares: Vec<f64>,
}

/// Every algorithm that scores, with its defaults.
pub fn algorithms() -> impl Iterator<Item = Block> {
    let scored = algorithm::ALL.iter().filter(|algorithm| matches!(algorithm.rule, Rule::Score(_)));
    scored.filter_map(|algorithm| Block::parse(&format!("tblb {}", algorithm.name)).ok())
}

/// Scores nodes that have reported these loads just now, as a worker does. A load of which nothing is known is that of
/// a node without metrics. None for more nodes than there can be.
pub fn analyze(block: &Block, loads: &[Load]) -> Option<Analysis> {
    let shape = Shape { upstreams: 1, slots: loads.len(), rows: 0 };
    let words: Vec<AtomicU64> = (0..shape.words()?).map(|_| AtomicU64::new(0)).collect();
    let board = Board::format(&words, shape)?;
    let mut slots = Vec::new();
    for (key, load) in (1u64..).zip(loads) {
        let slot = board.claim(key, 0, 0)?;
        if !load.is_unknown() {
            board.publish(slot, &Outcome { at: 1, took: 1, result: Ok((0, *load)) });
        }
        slots.push(u32::try_from(slot).ok());
    }
    let mut scores = Scores::with_capacity(loads.len());
    scores.refresh(block, &board, 0, &slots, Freshness { now: 1, stale: 1 });
    let numbers = Numbers { conns: 0, weight: 1, effective_weight: 1, current_weight: 0 };
    let candidate = |place| Candidate::new(numbers, scores.get(place));
    let candidates: Vec<_> = (0..loads.len()).map(candidate).collect();
    let Balance { algorithm, params, .. } = &block.balance;
    Some(Analysis {
        algorithm: algorithm.name,
        waiting: params.weights.waiting,
        cache: params.weights.cache,
        running: params.weights.running,
        scores: candidates.iter().map(|candidate| candidate.known.score).collect(),
        shares: picker::shares(&candidates).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(waiting: f64, running: f64, cache: f64) -> Load {
        Load { waiting: Some(waiting), running: Some(running), cache: Some(cache), ..Load::default() }
    }

    #[test]
    fn every_scoring_algorithm_has_shares_that_add_up() {
        let loads = [load(0.0, 4.0, 0.2), load(2.0, 16.0, 0.9), load(0.0, 8.0, 0.4)];
        assert_eq!(algorithms().count(), 16);
        for block in algorithms() {
            let analysis = analyze(&block, &loads).unwrap();
            assert!((analysis.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{analysis:?}");
            assert!(analysis.shares[0] >= analysis.shares[1], "{analysis:?}");
        }
    }

    #[test]
    fn shares_are_in_proportion_to_scores_within_limits() {
        let block = Block::parse("tblb s1 waiting=0 cache=1; tblb_limit running=10").unwrap();
        let analysis =
            analyze(&block, &[load(0.0, 1.0, 0.25), load(0.0, 11.0, 0.0), load(0.0, 1.0, 0.75)]).unwrap();
        assert_eq!(analysis.scores, [Some(0.75), Some(1.0), Some(0.25)]);
        assert_eq!(analysis.shares, [0.75, 0.0, 0.25]);
    }

    #[test]
    fn nothing_known_gives_no_scores() {
        let analysis = analyze(&Block::parse("tblb s2").unwrap(), &[Load::default(); 2]).unwrap();
        assert_eq!((analysis.scores, analysis.shares), (vec![None; 2], vec![0.0; 2]));
    }
}

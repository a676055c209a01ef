//! The published scheduler's own results, and what holds for every row of the table.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;

const GOLDEN: &str = include_str!("../../golden/scores.jsonl");

#[derive(Deserialize)]
struct Case {
    algorithm: String,
    w_a: f64,
    w_b: f64,
    w_g: f64,
    transition_point: f64,
    steepness: f64,
    nodes: Vec<Node>,
    scores: Vec<f64>,
}

#[derive(Deserialize, Clone, Debug)]
struct Node {
    waiting: f64,
    cache: f64,
    running: f64,
}

fn scores(algorithm: &Algorithm, params: &Params, nodes: &[Node]) -> Option<Vec<f64>> {
    let mut columns = Nodes::with_capacity(nodes.len());
    nodes.iter().for_each(|n| columns.push(n.waiting, n.cache, n.running));
    let mut scores = vec![f64::NAN; nodes.len()];
    algorithm.score(params, &mut columns, &mut scores).then_some(scores)
}

#[test]
fn every_golden_case_agrees_to_1e_9() {
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    for line in GOLDEN.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let algorithm = Algorithm::by_name(&case.algorithm).unwrap();
        let weights = Weights { waiting: case.w_a, cache: case.w_b, running: case.w_g };
        let params = Params {
            weights,
            transition_point: case.transition_point,
            steepness: case.steepness,
            power: 2.0,
        };
        let got = scores(algorithm, &params, &case.nodes).unwrap();
        for (g, e) in got.iter().zip(&case.scores) {
            assert!((g - e).abs() <= 1e-9, "{line}\ngot {got:?}");
        }
        *seen.entry(algorithm.name).or_default() += 1;
    }
    for algorithm in ALL {
        let expected = if matches!(algorithm.rule, Rule::Score(_)) { 40 } else { 0 };
        assert_eq!(seen.get(algorithm.name).copied().unwrap_or(0), expected, "{}", algorithm.name);
    }
}

#[test]
fn names_are_unique() {
    for a in ALL {
        assert_eq!(ALL.iter().filter(|b| b.name == a.name).count(), 1, "{}", a.name);
    }
}

fn node() -> impl Strategy<Value = Node> {
    (0u32..2000, 0.0f64..=1.0, 0u32..2000, any::<bool>()).prop_map(|(w, c, r, empty)| Node {
        waiting: f64::from(w),
        cache: if empty { 0.0 } else { c },
        running: f64::from(r),
    })
}

proptest! {
    #[test]
    fn scores_are_in_range(nodes in prop::collection::vec(node(), 1..40)) {
        for a in ALL {
            let Some(scores) = scores(a, &Params::new(a.weights), &nodes) else { continue };
            // The published s1_ratio alone is not clamped: a queue makes it negative.
            let least = if a.name == "s1_ratio" { f64::MIN } else { 0.0 };
            prop_assert!(scores.iter().all(|s| (least..=1.0).contains(s)), "{}: {scores:?}", a.name);
        }
    }

    #[test]
    fn a_node_better_in_everything_never_scores_lower(nodes in prop::collection::vec(node(), 2..20)) {
        for a in ALL {
            let Some(scores) = scores(a, &Params::new(a.weights), &nodes) else { continue };
            for (i, x) in nodes.iter().enumerate() {
                for (j, y) in nodes.iter().enumerate() {
                    if x.waiting <= y.waiting && x.cache <= y.cache && x.running <= y.running {
                        prop_assert!(scores[i] >= scores[j] - 1e-12, "{}: {x:?} {y:?}", a.name);
                    }
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter(nodes in prop::collection::vec(node(), 2..20)) {
        let reversed: Vec<Node> = nodes.iter().rev().cloned().collect();
        for a in ALL {
            let (Some(s), Some(mut r)) = (scores(a, &Params::new(a.weights), &nodes), scores(a, &Params::new(a.weights), &reversed))
            else { continue };
            r.reverse();
            for (x, y) in s.iter().zip(&r) {
                prop_assert!((x - y).abs() < 1e-9, "{}", a.name);
            }
        }
    }
}

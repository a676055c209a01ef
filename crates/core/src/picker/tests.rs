use super::*;
use proptest::prelude::*;

fn peer(conns: u64, weight: i64, score: Option<f64>) -> Candidate {
    let numbers = Numbers { conns, weight, effective_weight: weight, current_weight: 0 };
    Candidate::new(numbers, Known { score, fresh: true, ..Known::default() })
}

fn how(text: &str) -> Block {
    Block::parse(&format!("tblb {text}")).unwrap()
}

const IDLE: Work = Work { prefill: 0.0, requests: 0.0, pace: 1.0, slowness: 1.0, step: 600.0 };

#[test]
fn a_hundred_thousand_random_picks_stay_within_one_per_cent_of_the_theoretical_shares() {
    let scores = [0.05, 0.9, 0.4, 0.0, 0.65];
    let mut peers: Vec<_> = scores.iter().map(|&s| peer(0, 1, Some(s))).collect();
    peers[2].weight = 3;
    let shares: Vec<f64> = shares(&peers).collect();
    assert!((shares[2] - 1.2 / 2.8).abs() < 1e-12, "score · weight / Σ: {shares:?}");
    let mut rng = fastrand::Rng::with_seed(7);
    let mut counts = [0u32; 5];
    for _ in 0..100_000 {
        let picked = pick(&how("s1"), 100, &mut peers, &mut rng).unwrap();
        assert_eq!(picked.reason, Reason::Score);
        counts[picked.index] += 1;
    }
    for (count, share) in counts.iter().zip(shares) {
        assert!((f64::from(*count) / 1e5 - share).abs() < 0.01, "{counts:?}");
    }
    assert_eq!(counts[3], 0, "a score of 0 is never picked while another is above it");
}

#[test]
fn scores_that_engines_give_themselves_go_before_the_least_work() {
    let rated = |score| {
        let mut peer = peer(9, 1, Some(score));
        (peer.known.rated, peer.known.work) = (true, Some(Work { requests: 1.0 / score, ..IDLE }));
        peer
    };
    let mut peers = [rated(0.25), rated(0.75), rated(0.001)];
    let mut rng = fastrand::Rng::with_seed(7);
    let mut counts = [0u32; 3];
    for _ in 0..10_000 {
        counts[pick(&how("least_work"), 100, &mut peers, &mut rng).unwrap().index] += 1;
    }
    assert!((counts[0].abs_diff(2500) < 200) && counts[2] < 50, "{counts:?}");
    assert_eq!(pick(&how("least_work pick=best"), 100, &mut peers, &mut rng).unwrap().index, 1);
    let picked = pick(&how("least_conn"), 100, &mut peers, &mut rng).unwrap();
    assert_eq!(picked.reason, Reason::LeastConn);
    // Beside an engine that is not, it is the least work of all.
    peers[0].known.rated = false;
    assert_eq!(pick(&how("least_work"), 100, &mut peers, &mut rng).unwrap().index, 1);
    peers[0].known.work = Some(IDLE);
    assert_eq!(pick(&how("least_work"), 100, &mut peers, &mut rng).unwrap().index, 0);
}

#[test]
fn least_conn_compares_by_weight() {
    let mut peers = [peer(4, 2, None), peer(3, 1, None), peer(9, 4, None)];
    assert_eq!(least_conn(&mut peers), Some(0));
}

#[test]
fn ties_rotate_by_smooth_weighted_round_robin() {
    let mut peers = [peer(0, 5, None), peer(0, 1, None), peer(0, 1, None)];
    let turns: Vec<_> = (0..7).map(|_| least_conn(&mut peers).unwrap()).collect();
    // The order of nginx's own documentation for the weights 5, 1, 1.
    assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn best_takes_the_best_and_rotates_among_equals() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut peers = [peer(0, 1, Some(0.2)), peer(9, 1, Some(0.8)), peer(0, 1, Some(0.8)), peer(0, 1, None)];
    let turns: Vec<_> =
        (0..4).map(|_| pick(&how("s1 pick=best"), 100, &mut peers, &mut rng).unwrap().index).collect();
    assert_eq!(turns, [1, 2, 1, 2]);
}

#[test]
fn a_peer_over_its_limit_is_picked_only_if_all_are() {
    let mut rng = fastrand::Rng::with_seed(1);
    for text in ["least_conn", "s1", "s1 pick=best"] {
        let mut peers = [peer(1, 1, Some(0.9)), peer(8, 1, Some(0.1)), peer(0, 1, Some(0.9))];
        peers[0].known.standing = Standing::Over;
        peers[2].known.standing = Standing::Over;
        assert_eq!(pick(&how(text), 100, &mut peers, &mut rng).unwrap().index, 1);
        peers[1].known.standing = Standing::Over;
        let picked = pick(&how(text), 100, &mut peers, &mut rng).unwrap();
        assert_eq!(picked, Picked { index: 2, reason: Reason::Limit }, "least_conn over all");
    }
}

#[test]
fn a_closed_peer_is_picked_only_if_all_are() {
    let mut rng = fastrand::Rng::with_seed(1);
    for text in ["least_work", "least_conn", "s1", "s1 pick=best"] {
        let mut peers = [peer(1, 1, None), peer(8, 1, Some(0.0)), peer(0, 1, None)];
        peers[0].known.standing = Standing::Closed;
        peers[2].known.standing = Standing::Closed;
        for open in [Standing::Ready, Standing::Over] {
            peers[1].known.standing = open;
            assert_eq!(pick(&how(text), 100, &mut peers, &mut rng).unwrap().index, 1);
        }
        peers[1].known.standing = Standing::Closed;
        let picked = pick(&how(text), 100, &mut peers, &mut rng).unwrap();
        assert_eq!(picked, Picked { index: 2, reason: Reason::LeastConn }, "least_conn over all");
    }
}

#[test]
fn a_peer_that_fails_is_picked_only_if_all_do() {
    let mut rng = fastrand::Rng::with_seed(1);
    for text in ["least_work", "s1", "s1 pick=best"] {
        let work = |n| Some(Work { requests: n, ..IDLE });
        let mut peers = [peer(1, 1, Some(0.9)), peer(8, 1, Some(0.1)), peer(2, 1, Some(0.0))];
        peers.iter_mut().zip([1.0, 80.0, 20.0]).for_each(|(peer, n)| peer.known.work = work(n));
        let index = |peers: &mut [Candidate], rng: &mut _| pick(&how(text), 100, peers, rng).unwrap().index;
        peers[0].known.standing = Standing::Failing;
        peers[2].known.standing = Standing::Failing;
        for well in [Standing::Ready, Standing::Over] {
            peers[1].known.standing = well;
            assert_eq!(index(&mut peers, &mut rng), 1, "{text}");
        }
        peers[1].known.standing = Standing::Failing;
        assert_eq!(index(&mut peers[..1], &mut rng), 0);
        let picked = pick(&how(text), 100, &mut peers, &mut rng).unwrap();
        let reason = if text == "least_work" { Reason::LeastConn } else { Reason::Score };
        assert_eq!(picked.reason, reason, "{text}");
    }
}

#[test]
fn idle_peers_that_cost_nearly_as_little_take_turns() {
    let mut rng = fastrand::Rng::with_seed(1);
    let costing = |conns, requests| {
        let mut peer = peer(conns, 1, None);
        peer.known.work = Some(Work { requests, ..IDLE });
        peer
    };
    // The cost grows with 6 requests beside these.
    let mut turns = |mut peers: [Candidate; 4]| {
        let pick = |_| pick(&how("least_work"), 100, &mut peers, &mut rng).unwrap().index;
        (0..4).map(pick).collect::<Vec<_>>()
    };
    let idle = [costing(0, 2.0), costing(0, 0.5), costing(1, 0.6), costing(0, 9.0)];
    assert_eq!(turns(idle), [0, 1, 0, 1], "the last costs too much, and the third is not idle");
    let mut new = idle;
    new[3].known.new = true;
    assert_eq!(turns(new), [0, 1, 3, 0], "one that is new takes turns whatever it costs");
    let busy = [costing(2, 2.0), costing(2, 1.9), costing(2, 1.9), costing(0, 9.0)];
    assert_eq!(turns(busy), [1, 2, 1, 2], "the least");
}

#[test]
fn under_bypass_it_is_least_conn_over_all() {
    let mut rng = fastrand::Rng::with_seed(1);
    for text in ["least_conn; tblb_bypass on", "s1; tblb_bypass on", "s1 pick=best; tblb_bypass on"] {
        let mut peers = [peer(2, 1, Some(0.9)), peer(1, 1, Some(0.1)), peer(3, 1, Some(0.5))];
        peers[1].known.standing = Standing::Over;
        let picked = pick(&how(text), 100, &mut peers, &mut rng).unwrap();
        assert_eq!(picked, Picked { index: 1, reason: Reason::Bypass });
    }
    assert_eq!(pick(&how("s1; tblb_bypass on"), 100, &mut [], &mut rng), None);
}

#[test]
fn without_a_score_above_zero_it_is_least_conn() {
    let mut rng = fastrand::Rng::with_seed(1);
    for text in ["s1", "s1 pick=best"] {
        for score in [None, Some(0.0), Some(-1.0), Some(f64::NAN)] {
            let mut peers = [peer(2, 1, score), peer(1, 1, score)];
            let picked = pick(&how(text), 100, &mut peers, &mut rng).unwrap();
            assert_eq!(picked, Picked { index: 1, reason: Reason::LeastConn });
        }
    }
    assert_eq!(pick(&how("s1"), 100, &mut [], &mut rng), None);
}

prop_compose! {
    fn any_work()([prefill, requests, pace, slowness, step] in [prop::num::f64::ANY; 5]) -> Work {
        Work { prefill, requests, pace, slowness, step }
    }
}

prop_compose! {
    fn any_candidate()(conns: u64, weight: i64, effective_weight: i64, current_weight: i64,
                       score in prop::option::of(prop::num::f64::ANY), fresh: bool, standing in 0..4usize,
                       work in prop::option::of(any_work())) -> Candidate {
        let standing = [Standing::Ready, Standing::Over, Standing::Failing, Standing::Closed][standing];
        let numbers = Numbers { conns, weight, effective_weight, current_weight };
        Candidate::new(numbers, Known { score, fresh, standing, work, ..Known::default() })
    }
}

/// What [`any_candidate`] may hold that no shell gives: JSON has no such numbers.
fn is_finite(candidate: &Candidate) -> bool {
    let work = candidate.known.work.map_or([0.0; 5], |w| [w.prefill, w.requests, w.pace, w.slowness, w.step]);
    candidate.known.score.into_iter().chain(work).all(f64::is_finite)
}

proptest! {
    #[test]
    fn a_record_is_replayed_to_the_same_pick(
        peers in prop::collection::vec(any_candidate().prop_filter("finite", is_finite), 1..20),
        seed: u64, prompt: u32, bypass: bool) {
        for algorithm in crate::algorithm::ALL {
            let bypass = if bypass { "on" } else { "off" };
            let block = how(&format!("{}; tblb_bypass {bypass}; tblb_limit waiting=3", algorithm.name));
            let mut rng = fastrand::Rng::with_seed(seed);
            let picked = pick(&block, prompt, &mut peers.clone(), &mut rng).unwrap();
            let directives = block.of_picks().into();
            let (upstream, candidates) = ("llm".into(), (&peers).into());
            let record =
                Record { upstream, backup: false, pid: 1, directives, prompt, seed, candidates, picked };
            let text = serde_json::to_string(&record).unwrap();
            let read: Record = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &record);
            prop_assert_eq!(read.replay(), Ok(Some(picked)));
        }
    }

    #[test]
    fn any_numbers_give_a_pick(mut peers in prop::collection::vec(any_candidate(), 1..70), seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        for algorithm in crate::algorithm::ALL {
            for pick_by in ["pick=random", "pick=best"] {
                let how = how(&format!("{} {pick_by}", algorithm.name));
                let picked = pick(&how, 100, &mut peers, &mut rng).unwrap();
                let standing = |c: &Candidate| c.known.standing;
                prop_assert_eq!(peers.get(picked.index).map(standing), peers.iter().map(standing).min());
            }
        }
    }

    #[test]
    fn a_pick_that_is_not_best_stays_within_its_weights(
        weights in prop::collection::vec(1i64..10, 2..20), conns in prop::collection::vec(0u64..4, 20)) {
        let mut peers: Vec<_> = weights.iter().zip(&conns).map(|(&w, &c)| peer(c, w, None)).collect();
        let index = least_conn(&mut peers).unwrap();
        let load = |p: &Candidate| p.conns as f64 / p.weight as f64;
        prop_assert!(peers.iter().all(|p| load(p) >= load(&peers[index]) - 1e-9));
        prop_assert_eq!(peers.iter().map(|p| p.current_weight).sum::<i64>(), 0);
    }
}

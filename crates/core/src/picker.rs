//! Which peer gets a request: among the eligible ones, by score or as nginx's least_conn does.
//!
//! The shell fills [`Candidate`]s from nginx's peers, calls [`pick`] and writes the weights back; the simulator
//! does the same with peers of its own. Nothing here allocates, and nothing panics for any input.

use std::cmp::Ordering;

/// One peer that may be picked: up, not tried yet for this request, and under its max_conns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Connections that nginx counts at the peer.
    pub conns: u64,
    /// The `weight` parameter of the server, ≥ 1.
    pub weight: i64,
    /// nginx's weight after failures, 0 to `weight`; [`pick`] lets it recover.
    pub effective_weight: i64,
    /// nginx's counter of smooth weighted round robin; [`pick`] moves it.
    pub current_weight: i64,
    /// The algorithm's score, higher is better; None where it has none for this peer.
    pub score: Option<f64>,
}

/// How scores become a pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    /// With a probability in proportion to score · weight, among the peers that score above 0.
    #[default]
    Random,
    /// The best score · weight, ties by smooth weighted round robin.
    Best,
}

impl Pick {
    /// Every way with its word in the directive.
    pub const ALL: [(&str, Pick); 2] = [("random", Pick::Random), ("best", Pick::Best)];
}

/// A pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picked {
    /// The index of the candidate.
    pub index: usize,
    /// Whether scores decided; else it was least_conn.
    pub by_score: bool,
}

/// Picks among `candidates`, None if there are none. If no candidate has a score above 0, it is least_conn.
pub fn pick(how: Pick, candidates: &mut [Candidate], rng: &mut fastrand::Rng) -> Option<Picked> {
    let scored = match how {
        Pick::Random => weighted_random(candidates, rng),
        Pick::Best => best(candidates),
    };
    match scored {
        Some(index) => Some(Picked { index, by_score: true }),
        None => least_conn(candidates).map(|index| Picked { index, by_score: false }),
    }
}

/// nginx's least_conn: the fewest connections by weight, compared by cross-multiplying; ties by smooth weighted
/// round robin among the tied ones.
pub fn least_conn(candidates: &mut [Candidate]) -> Option<usize> {
    least_by(candidates, |a, b| {
        let left = u128::from(a.conns) * b.weight.max(0) as u128;
        let right = u128::from(b.conns) * a.weight.max(0) as u128;
        left.cmp(&right)
    })
}

/// The best score · weight above 0.
fn best(candidates: &mut [Candidate]) -> Option<usize> {
    candidates.iter().any(|c| worth(c) > 0.0).then_some(())?;
    least_by(candidates, |a, b| worth(b).total_cmp(&worth(a)))
}

/// A candidate of probability score · weight / Σ.
fn weighted_random(candidates: &[Candidate], rng: &mut fastrand::Rng) -> Option<usize> {
    let total: f64 = candidates.iter().map(worth).sum();
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let mut left = rng.f64() * total;
    let mut last = None;
    for (i, candidate) in candidates.iter().enumerate() {
        let worth = worth(candidate);
        if worth > 0.0 {
            last = Some(i);
            left -= worth;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

/// What a candidate weighs among the others: score · weight, 0 where there is no score above 0.
fn worth(candidate: &Candidate) -> f64 {
    match candidate.score {
        Some(score) if score > 0.0 && score.is_finite() => score * candidate.weight.max(1) as f64,
        _ => 0.0,
    }
}

/// The least candidate by `compare`, ties by smooth weighted round robin. The steps are those of
/// ngx_http_upstream_get_least_conn_peer: the counters move only where there is a tie, and only those of the
/// tied peers.
fn least_by(
    candidates: &mut [Candidate],
    compare: impl Fn(&Candidate, &Candidate) -> Ordering,
) -> Option<usize> {
    let mut candidates_seen = candidates.iter().enumerate();
    let (mut index, mut least) = candidates_seen.next().map(|(i, c)| (i, *c))?;
    let mut tied = false;
    for (i, candidate) in candidates_seen {
        match compare(candidate, &least) {
            Ordering::Less => (index, least, tied) = (i, *candidate, false),
            Ordering::Equal => tied = true,
            Ordering::Greater => {}
        }
    }
    if tied {
        smooth_round_robin(candidates, index, |c| compare(c, &least) == Ordering::Equal)
    } else {
        Some(index)
    }
}

/// One turn of smooth weighted round robin from `first` on, over the candidates that are `tied` with it.
fn smooth_round_robin(
    candidates: &mut [Candidate],
    first: usize,
    tied: impl Fn(&Candidate) -> bool,
) -> Option<usize> {
    let mut total = 0i64;
    let mut chosen: Option<(usize, i64)> = None;
    for (i, c) in candidates.iter_mut().enumerate().skip(first).filter(|(_, c)| tied(c)) {
        c.current_weight = c.current_weight.saturating_add(c.effective_weight);
        total = total.saturating_add(c.effective_weight);
        if c.effective_weight < c.weight {
            c.effective_weight += 1;
        }
        if chosen.is_none_or(|(_, most)| c.current_weight > most) {
            chosen = Some((i, c.current_weight));
        }
    }
    let (index, _) = chosen?;
    if let Some(c) = candidates.get_mut(index) {
        c.current_weight = c.current_weight.saturating_sub(total);
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(conns: u64, weight: i64, score: Option<f64>) -> Candidate {
        Candidate { conns, weight, effective_weight: weight, current_weight: 0, score }
    }

    #[test]
    fn a_hundred_thousand_random_picks_stay_within_one_per_cent_of_the_theoretical_shares() {
        let scores = [0.05, 0.9, 0.4, 0.0, 0.65];
        let mut peers: Vec<_> = scores.iter().map(|&s| peer(0, 1, Some(s))).collect();
        peers[2].weight = 3;
        let total: f64 = peers.iter().map(worth).sum();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut counts = [0u32; 5];
        for _ in 0..100_000 {
            let picked = pick(Pick::Random, &mut peers, &mut rng).unwrap();
            assert!(picked.by_score);
            counts[picked.index] += 1;
        }
        for (count, peer) in counts.iter().zip(&peers) {
            let share = f64::from(*count) / 1e5;
            assert!((share - worth(peer) / total).abs() < 0.01, "{counts:?}");
        }
        assert_eq!(counts[3], 0, "a score of 0 is never picked while another is above it");
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
        let mut peers =
            [peer(0, 1, Some(0.2)), peer(9, 1, Some(0.8)), peer(0, 1, Some(0.8)), peer(0, 1, None)];
        let turns: Vec<_> = (0..4).map(|_| pick(Pick::Best, &mut peers, &mut rng).unwrap().index).collect();
        assert_eq!(turns, [1, 2, 1, 2]);
    }

    #[test]
    fn without_a_score_above_zero_it_is_least_conn() {
        let mut rng = fastrand::Rng::with_seed(1);
        for how in [Pick::Random, Pick::Best] {
            for score in [None, Some(0.0), Some(-1.0), Some(f64::NAN)] {
                let mut peers = [peer(2, 1, score), peer(1, 1, score)];
                let picked = pick(how, &mut peers, &mut rng).unwrap();
                assert_eq!(picked, Picked { index: 1, by_score: false });
            }
        }
        assert_eq!(pick(Pick::Random, &mut [], &mut rng), None);
    }

    prop_compose! {
        fn any_candidate()(conns: u64, weight: i64, effective_weight: i64, current_weight: i64,
                           score in prop::option::of(prop::num::f64::ANY)) -> Candidate {
            Candidate { conns, weight, effective_weight, current_weight, score }
        }
    }

    proptest! {
        #[test]
        fn any_numbers_give_a_pick(mut peers in prop::collection::vec(any_candidate(), 1..70), seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            for how in [Pick::Random, Pick::Best] {
                let picked = pick(how, &mut peers, &mut rng);
                prop_assert!(picked.is_some_and(|p| p.index < peers.len()));
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
}

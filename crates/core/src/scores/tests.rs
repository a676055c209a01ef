use super::*;
use crate::board::{InFlight, Outcome, Shape};
use crate::engine::Engine;
use crate::model::{Models, key};
use crate::picker::Standing;
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
        self.report_load(peer, at, Load { waiting, cache, ..Load::default() });
    }

    fn report_load(&self, peer: usize, at: u64, load: Load) {
        let outcome = Outcome { at, took: 1, result: Ok((0, load)) };
        Board::open(&self.words).unwrap().publish(self.slots[peer].unwrap() as usize, &outcome);
    }

    fn scores(&self, scores: &mut Scores, text: &str, now: u64) -> Vec<Option<f64>> {
        let how = Block::parse(&format!("tblb {text}")).unwrap();
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

#[test]
fn a_peer_is_over_a_limit_by_its_own_fresh_metrics_only() {
    let pool = Pool::new(4);
    let mut scores = Scores::with_capacity(4);
    for (peer, running) in [(0, 200.0), (1, 201.0), (2, 300.0)] {
        pool.report_load(peer, 100, Load { running: Some(running), ..Load::default() });
    }
    pool.report_load(2, 1000, Load { running: Some(1000.0), ..Load::default() });
    for text in ["least_conn; tblb_limit waiting=0 running=200", "s2; tblb_limit running=200"] {
        scores.forget();
        pool.scores(&mut scores, text, 200);
        let standings = [0, 1, 2, 3].map(|i| scores.get(i).standing);
        assert_eq!(standings, [Standing::Ready, Standing::Over, Standing::Over, Standing::Ready], "{text}");
        pool.scores(&mut scores, text, 1500);
        let standings = [0, 1, 2, 3].map(|i| scores.get(i).standing);
        assert_eq!(standings, [Standing::Ready, Standing::Ready, Standing::Over, Standing::Ready], "{text}");
    }
}

#[test]
fn a_peer_without_fresh_metrics_scores_the_lower_the_more_of_our_own_requests_are_there() {
    let pool = Pool::new(4);
    let board = Board::open(&pool.words).unwrap();
    for (peer, running) in [(0, 10.0), (1, 20.0)] {
        let (waiting, cache) = (Some(0.0), Some(running / 100.0));
        let load = Load { waiting, running: Some(running), cache, ..Load::default() };
        pool.report_load(peer, 100, load);
    }
    // The typical peer runs 20 of others, so that the third is taken to run 25, and the fourth 40.
    let row = board.row(0).unwrap();
    row.begin(1);
    for (peer, requests) in [(2, 5), (3, 20)] {
        (0..requests).for_each(|_| row.enter(pool.slots[peer].unwrap() as usize, InFlight::one(0)));
    }
    let mut scores = Scores::with_capacity(4);
    let got = pool.scores(&mut scores, "s2 waiting=0 cache=0 running=1", 200);
    let near = |got: &[Option<f64>], expected: [f64; 4]| {
        got.iter().zip(expected).all(|(got, expected)| (got.unwrap() - expected).abs() < 1e-9)
    };
    assert!(near(&got, [1.0, 2.0 / 3.0, 0.5, 0.0]), "{got:?}");
    scores.forget();
    let got = pool.scores(&mut scores, "s1 waiting=0 cache=1", 200);
    assert!(near(&got, [0.9, 0.8, 0.75, 0.6]), "{got:?}");
}

#[test]
fn with_stale_off_the_last_sample_counts_for_ever() {
    let pool = Pool::new(2);
    let mut scores = Scores::with_capacity(2);
    pool.report(0, 100, Some(0.0), Some(0.2));
    let block = Block::parse("tblb s1 waiting=0 cache=1; tblb_metrics stale=off").unwrap();
    let at = Freshness { now: u64::MAX - 1, stale: block.stale_ms() };
    scores.refresh(&block, &Board::open(&pool.words).unwrap(), 0, &pool.slots, at);
    assert!(scores.get(0).fresh && !scores.get(1).fresh);
    assert_eq!(scores.get(0).score, Some(0.8));
}

/// A peer of the engine of that name says that it serves these models.
fn report_models(pool: &Pool, peer: usize, engine: &str, models: &[(&str, f64)]) {
    let mut list = Models::default();
    models.iter().for_each(|(name, utilization)| list.add(name, Some(*utilization)));
    let by_model = engine == "xinference";
    let load = if by_model { Load::default() } else { Load { waiting: Some(1.0), ..Load::default() } };
    let row = Engine::named(engine).unwrap().index().unwrap();
    let outcome = Outcome { at: 100, took: 1, result: Ok((row, load)) };
    let listed = (engine != "llamacpp").then_some(&list);
    Board::open(&pool.words).unwrap().publish_with(pool.slots[peer].unwrap() as usize, &outcome, listed);
}

/// The score of each peer for a model (f64::NAN where it has none), None where it is not to be chosen, and the verdict.
fn ask(scores: &mut Scores, n: usize, text: &str, model: &str) -> (Vec<Option<f64>>, Verdict) {
    let asked = scores.ask(Some(key(model.as_bytes())));
    let of = |i| scores.get_for(i, &asked).map(|known| known.score.unwrap_or(f64::NAN));
    let block = Block::parse(&format!("tblb {text}")).unwrap();
    ((0..n).map(of).collect(), scores.verdict(&asked, &block))
}

#[test]
fn a_peer_that_reports_by_model_scores_what_is_left_for_the_model() {
    let pool = Pool::new(4);
    let mut scores = Scores::with_capacity(4);
    report_models(&pool, 0, "xinference", &[("a", 0.25), ("b", 0.5)]);
    report_models(&pool, 1, "xinference", &[("a", 1.0)]);
    report_models(&pool, 2, "xinference", &[("b", 0.0), ("c", 1.5)]);
    for text in ["s2_enhanced", "least_work", "s1 pick=best"] {
        scores.forget();
        // Without a model by the mean of all; the last has no metrics and is as the others are.
        assert_eq!(pool.scores(&mut scores, text, 200), [Some(0.625), Some(0.001), Some(0.25), Some(0.25)]);
        assert!((0..4).all(|i| scores.get(i).rated));
        let served = Verdict::Served;
        assert_eq!(ask(&mut scores, 4, text, "a"), (vec![Some(0.75), Some(0.001), None, Some(0.75)], served));
        assert_eq!(ask(&mut scores, 4, text, "b"), (vec![Some(0.5), None, Some(1.0), Some(1.0)], served));
        assert_eq!(ask(&mut scores, 4, text, "c"), (vec![None, None, Some(0.001), Some(0.001)], served));
        let (for_none, verdict) = ask(&mut scores, 4, text, "d");
        assert_eq!((for_none, verdict), (vec![None, None, None, Some(0.25)], served), "one may serve it");
    }
    report_models(&pool, 3, "xinference", &[]);
    // One that names no model yet may serve any, unless the user says that lists are whole.
    pool.scores(&mut scores, "s1", 201);
    assert_eq!(ask(&mut scores, 4, "s1", "d").0.iter().filter(|score| score.is_some()).count(), 1);
    assert_eq!(ask(&mut scores, 4, "s1", "d").1, Verdict::Served);
    scores.forget();
    pool.scores(&mut scores, "s1; tblb_model $x", 201);
    assert_eq!(ask(&mut scores, 4, "s1; tblb_model $x", "d"), (vec![None; 4], Verdict::Refused));
    assert_eq!(ask(&mut scores, 4, "s1; tblb_model $x unlisted=pass", "d").1, Verdict::Unlisted);
    // Stale lists say nothing.
    pool.scores(&mut scores, "s1; tblb_model $x", 5000);
    assert_eq!(ask(&mut scores, 4, "s1; tblb_model $x", "d").1, Verdict::Served);
    assert!(ask(&mut scores, 4, "s1; tblb_model $x", "d").0.iter().all(Option::is_some));
}

/// Without `tblb_model` no list refuses a request, and no list of one engine draws the requests of others.
#[test]
fn lists_refuse_nothing_that_the_user_did_not_ask_for() {
    let all_of = |pools: &[(&str, &[(&str, f64)])], model: &str| {
        let pool = Pool::new(pools.len() as u64);
        let mut scores = Scores::with_capacity(pools.len());
        for (peer, (engine, models)) in pools.iter().enumerate() {
            report_models(&pool, peer, engine, models);
        }
        pool.scores(&mut scores, "s1", 200);
        let (chosen, verdict) = ask(&mut scores, pools.len(), "s1", model);
        assert_ne!(verdict, Verdict::Refused);
        chosen.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    let (silent, base) = (("llamacpp", &[][..]), ("vllm", &[("base", 0.0)][..]));
    let xinference = ("xinference", &[("qwen", 0.0)][..]);
    assert_eq!(all_of(&[silent, silent, xinference], "qwen"), [true; 3]);
    assert_eq!(all_of(&[base, base, ("vllm", &[("base", 0.0), ("lora", 0.0)])], "lora"), [true; 3]);
    assert_eq!(all_of(&[base, base, xinference], "qwen"), [true; 3]);
    assert_eq!(all_of(&[base, ("sglang", &[("base", 0.0), ("other", 0.0)])], "other"), [true; 2]);
    // What is not of one deployment has no model in common.
    assert_eq!(all_of(&[base, ("sglang", &[("other", 0.0)])], "base"), [true, false]);
    assert_eq!(all_of(&[("xinference", &[]), ("xinference", &[])], "qwen"), [true; 2]);
    // Of engines that report all their models, those without this one stand back, but not for want of another.
    assert_eq!(all_of(&[xinference, ("xinference", &[("other", 0.0)])], "qwen"), [true, false]);
    assert_eq!(all_of(&[xinference, silent], "other"), [false, true]);
}

#[test]
fn labels_of_series_tell_who_serves_a_model() {
    const ASKED: &str = "s1; tblb_model $x";
    let pool = Pool::new(4);
    let mut scores = Scores::with_capacity(4);
    report_models(&pool, 0, "vllm", &[("a", 0.0)]);
    report_models(&pool, 1, "vllm", &[("b", 0.0), ("a", 0.0)]);
    report_models(&pool, 2, "llamacpp", &[]);
    pool.scores(&mut scores, ASKED, 200);
    let chosen = |scores: &mut Scores, model: &str| {
        ask(scores, 4, ASKED, model).0.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(
        chosen(&mut scores, "a"),
        [true, true, false, true],
        "who says nothing might answer with another"
    );
    assert_eq!(chosen(&mut scores, "b"), [false, true, false, true]);
    assert_eq!(chosen(&mut scores, "c"), [false, false, true, true]);
    assert_eq!(scores.get_for(0, &Asked::default()), Some(scores.get(0)), "no model is known");
    // A list of labels may be short of names: only a user may say that it is not.
    for peer in [2, 3] {
        report_models(&pool, peer, "vllm", &[("b", 0.0)]);
    }
    pool.scores(&mut scores, ASKED, 200);
    assert_eq!(ask(&mut scores, 4, ASKED, "c"), (vec![None; 4], Verdict::Refused));
    scores.forget();
    pool.scores(&mut scores, "s1", 200);
    assert_eq!(ask(&mut scores, 4, "s1", "c").1, Verdict::Served);
    assert!(ask(&mut scores, 4, "s1", "c").0.iter().all(Option::is_some));
}

#[test]
fn labels_without_a_model_in_common_tell_deployments_apart() {
    let pool = Pool::new(4);
    let mut scores = Scores::with_capacity(4);
    let mut chosen = |models: [&[(&str, f64)]; 4], model: &str| {
        models.iter().enumerate().for_each(|(peer, models)| report_models(&pool, peer, "vllm", models));
        scores.forget();
        pool.scores(&mut scores, "s1", 200);
        let (of, verdict) = ask(&mut scores, 4, "s1", model);
        assert_eq!(verdict, Verdict::Served);
        let matter = scores.models_matter(&Block::parse("tblb s1").unwrap());
        (of.iter().map(Option::is_some).collect::<Vec<_>>(), matter)
    };
    let (a, ab, b, c): (&[_], &[_], &[_], &[_]) =
        (&[("a", 0.0)], &[("a", 0.0), ("b", 0.0)], &[("b", 0.0)], &[("c", 0.0)]);
    assert_eq!(chosen([a, a, c, c], "a"), (vec![true, true, false, false], true));
    assert_eq!(chosen([a, a, c, c], "unknown"), (vec![true; 4], true), "it may be an adapter");
    // Replicas that share a model may all serve what only one of them names.
    assert_eq!(chosen([a, a, a, ab], "b"), (vec![true; 4], false));
    assert_eq!(chosen([a, ab, b, c], "b"), (vec![true, true, true, false], true), "by way of another");
    // Engines that name none leave it open who serves what.
    report_models(&pool, 3, "llamacpp", &[]);
    scores.forget();
    pool.scores(&mut scores, "s1", 200);
    assert!(ask(&mut scores, 4, "s1", "c").0.iter().all(Option::is_some));
}

#[test]
fn a_peer_of_very_many_models_may_serve_any() {
    let pool = Pool::new(2);
    let mut scores = Scores::with_capacity(2);
    let names: Vec<_> = (0..=crate::model::CAPACITY).map(|n| format!("m{n}")).collect();
    let models: Vec<_> = names.iter().map(|name| (name.as_str(), 0.5)).collect();
    report_models(&pool, 0, "xinference", &models);
    report_models(&pool, 1, "xinference", &[("m0", 0.9), ("x", 0.5)]);
    pool.scores(&mut scores, "s1", 200);
    assert_eq!(ask(&mut scores, 2, "s1", "m31").0, [Some(0.5), None]);
    assert_eq!(
        ask(&mut scores, 2, "s1", "m32"),
        (vec![Some(0.5), None], Verdict::Served),
        "it is beyond the bound"
    );
    assert_eq!(ask(&mut scores, 2, "s1", "none").1, Verdict::Served);
}

#[test]
fn models_matter_where_an_engine_reports_by_model_or_the_user_says_so() {
    let pool = Pool::new(2);
    let mut scores = Scores::with_capacity(2);
    let matter = |scores: &mut Scores, text: &str| {
        scores.forget();
        pool.scores(scores, text, 200);
        scores.models_matter(&Block::parse(&format!("tblb {text}")).unwrap())
    };
    assert!(!matter(&mut scores, "s1"));
    assert!(matter(&mut scores, "s1; tblb_model $http_x_model"));
    assert!(!matter(&mut scores, "s1; tblb_model $http_x_model; tblb_bypass on"));
    for peer in [0, 1] {
        report_models(&pool, peer, "vllm", &[("a", 0.0), ("b", 0.0)]);
    }
    assert!(!matter(&mut scores, "s1"), "all serve the same");
    report_models(&pool, 1, "vllm", &[("a", 0.0), ("c", 0.0)]);
    assert!(!matter(&mut scores, "s1"), "replicas of one model");
    report_models(&pool, 1, "vllm", &[("c", 0.0)]);
    assert!(matter(&mut scores, "s1"), "two deployments");
    assert!(!matter(&mut scores, "s1; tblb_model off"));
    report_models(&pool, 1, "llamacpp", &[]);
    assert!(!matter(&mut scores, "s1"));
    report_models(&pool, 1, "xinference", &[]);
    assert!(matter(&mut scores, "s1"));
}

#[test]
fn among_other_engines_one_that_reports_by_model_keeps_its_own_score() {
    let pool = Pool::new(3);
    let mut scores = Scores::with_capacity(3);
    pool.report(0, 100, Some(0.0), Some(0.2));
    report_models(&pool, 1, "xinference", &[("a", 0.25)]);
    let got = pool.scores(&mut scores, "s1 waiting=0 cache=1", 200);
    assert_eq!(got, [Some(0.8), Some(0.75), Some(0.8)], "the last is as the first is");
    assert_eq!([0, 1, 2].map(|i| scores.get(i).rated), [false, true, false]);
}

/// What is known for `least_work` at a time.
fn known(pool: &Pool, scores: &mut Scores, now: u64) -> Vec<crate::picker::Known> {
    pool.scores(scores, "least_work", now);
    (0..pool.slots.len()).map(|i| scores.get(i)).collect()
}

#[test]
fn silence_costs_in_proportion_and_any_sign_of_life_ends_it() {
    let pool = Pool::new(2);
    let board = Board::open(&pool.words).unwrap();
    let (mut scores, row) = (Scores::with_capacity(2), board.row(0).unwrap());
    row.begin(1);
    let slot = pool.slots[0].unwrap() as usize;
    let learned = board.slot(slot).unwrap().learned();
    learned.hear(1000, false);
    let mut seen = |text: &str, now: u64| {
        pool.scores(&mut scores, &format!("least_work {text}"), now);
        let known = scores.get(0);
        assert_eq!((known.standing, scores.get(1).suspect), (Standing::Ready, false), "a hint, no verdict");
        let requests = known.work.unwrap().requests;
        assert_eq!(known.suspect, requests > 1.0, "{requests}");
        requests
    };
    row.enter(slot, InFlight::one(100));
    assert_eq!(seen("", 60_000), 1.0, "no answer was coming");
    row.enter(slot, InFlight { streams: 1, ..InFlight::default() });
    assert_eq!([3000, 4000, 5000].map(|now| seen("", now)), [1.0, 2.5, 3.0]);
    assert_eq!(seen("", 60_000), 4.0, "no more than that");
    assert_eq!([seen("silence=off", 60_000), seen("silence=100s", 60_000)], [1.0, 1.0]);
    // Numbers that change are a sign of life, as far as they are fresh.
    pool.report(0, 58_000, Some(1.0), None);
    assert_eq!(seen("", 58_500), 1.0);
    pool.report(0, 61_000, Some(1.0), None);
    assert_eq!(seen("", 61_500), 2.75, "they have not changed since");
    learned.hear(62_000, false);
    assert_eq!(seen("", 63_000), 1.0);
    // Streams that usually pause for a second may do so for twenty.
    (0..300).for_each(|_| learned.gap().learn(1000.0));
    assert_eq!(seen("", 81_000), 1.0);
    assert!(seen("", 92_100) > 1.5);
}

#[test]
fn a_peer_that_fails_is_left_alone_and_then_put_on_trial() {
    let pool = Pool::new(2);
    let board = Board::open(&pool.words).unwrap();
    let slot = board.slot(pool.slots[0].unwrap() as usize).unwrap();
    for (text, leaves_alone) in [("least_work", true), ("s2_enhanced", true), ("least_conn", false)] {
        slot.health().succeed(u64::MAX);
        let mut scores = Scores::with_capacity(2);
        let mut seen = |now| {
            pool.scores(&mut scores, text, now);
            (scores.get(0).standing == Standing::Failing, scores.get(0).trial)
        };
        assert_eq!(seen(1000), (false, false));
        assert!(slot.health().fail(900, 1000));
        board.touch(&slot);
        assert_eq!([1001, 2999].map(&mut seen), [(leaves_alone, false); 2], "{text}");
        assert_eq!(seen(3000), (false, leaves_alone), "{text}: time alone puts it on trial");
    }
}

#[test]
fn work_is_what_all_workers_have_in_flight_and_what_was_learnt() {
    let pool = Pool::new(3);
    let board = Board::open(&pool.words).unwrap();
    let (mut scores, row) = (Scores::with_capacity(3), board.row(0).unwrap());
    row.begin(1);
    let slot = |peer: usize| pool.slots[peer].unwrap() as usize;
    row.enter(slot(0), InFlight::one(100));
    row.enter(slot(0), InFlight::one(40));
    board.slot(slot(0)).unwrap().learned().tpot().learn(20_000.0);
    board.slot(slot(1)).unwrap().learned().tpot().learn(15_000.0);
    board.slot(slot(0)).unwrap().learned().slope().learn(200.0);
    board.slot(slot(1)).unwrap().learned().slope().learn(300.0);
    board.slot(slot(0)).unwrap().learned().prefill().learn(100.0);
    board.slot(slot(1)).unwrap().learned().prefill().learn(80.0);
    pool.report_load(0, 100, Load { running: Some(7.0), ..Load::default() });
    let works: Vec<_> = known(&pool, &mut scores, 200).iter().map(|known| known.work.unwrap()).collect();
    assert_eq!((works[0].prefill, works[0].requests), (140.0, 2.0 + 0.1 * 5.0));
    assert_eq!((scores.others(0), works[1].requests), (5.0, 0.1 * 5.0), "as many of others as elsewhere");
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(close(works[0].pace, (20.0f64 / 15.0).sqrt()) && close(works[1].pace, 1.0), "{works:?}");
    assert!(close(works[0].slowness, 1.25f64.powf(0.25)), "its slope is the least: {works:?}");
    assert!(close(works[1].slowness, 1.5f64.sqrt()), "its prefill is the least: {works:?}");
    let median = (works[0].pace, (1.5 * 1.25f64.sqrt()).sqrt());
    assert_eq!((works[2].pace, works[2].slowness), median, "what taught nothing is taken for the median");
}

/// Found by fuzzing the words of a board.
#[test]
fn a_score_that_numbers_beyond_all_measure_would_make_is_none() {
    let pool = Pool::new(2);
    for algorithm in crate::algorithm::ALL {
        let mut scores = Scores::with_capacity(2);
        for (peer, huge) in [1e300, f64::MAX].into_iter().enumerate() {
            let load = Load { waiting: Some(huge), running: Some(huge), cache: Some(huge), closed: false };
            pool.report_load(peer, 100, load);
        }
        let got = pool.scores(&mut scores, algorithm.name, 100);
        assert!(got.iter().flatten().all(|score| score.is_finite()), "{}: {got:?}", algorithm.name);
    }
}

#[test]
fn a_slow_peer_that_has_long_been_idle_is_asked_anew_now_and_then() {
    let pool = Pool::new(2);
    let board = Board::open(&pool.words).unwrap();
    let (mut scores, row) = (Scores::with_capacity(2), board.row(0).unwrap());
    row.begin(1);
    let slots = [0, 1].map(|peer| pool.slots[peer].unwrap() as usize);
    for (slot, us) in slots.iter().zip([20_000.0, 800_000.0]) {
        let learned = board.slot(*slot).unwrap().learned();
        learned.hear(1000, false);
        learned.tpot().learn(us);
    }
    row.enter(slots[0], InFlight::one(100));
    let mut taken_for_the_best = |now| {
        let picks = (0..64).map(|_| known(&pool, &mut scores, now)[1].work.unwrap().pace);
        picks.filter(|pace| *pace == 1.0).count()
    };
    assert_eq!(taken_for_the_best(3_000), 0, "what it taught is not old");
    assert_eq!(taken_for_the_best(3_001), 2);
    row.enter(slots[1], InFlight::one(100));
    assert_eq!(taken_for_the_best(60_000), 0, "it is not idle: it will teach");
}

//! Whole runs.

use super::*;
use crate::scenario::PRESETS;
use crate::summary::Summary;

fn scenario(name: &str) -> Scenario {
    Scenario::named(name).expect("a preset")
}

fn rule(text: &str) -> Rule {
    Rule::parse(text).expect("a policy")
}

const LOADS: [Load; 2] = [Load::Concurrency(30), Load::Rate(15.0)];

/// The numbers of the requests that ended, and whether their answers came whole.
fn ended(outcome: &Outcome) -> Vec<(usize, bool)> {
    let mut ended: Vec<_> = outcome.records.iter().map(|record| (record.number, record.whole)).collect();
    ended.sort_unstable();
    ended
}

#[test]
fn every_request_ends_once_and_whole_unless_a_node_dies() {
    for (name, _) in PRESETS {
        let scenario = scenario(name);
        for text in ["tblb least_work", "round_robin"] {
            let load = scenario.loads()[0];
            let ended = ended(&run(&scenario, load, &rule(text), 1, 300));
            assert!(ended.iter().map(|one| one.0).eq(0..300), "{name} {text}");
            let dies = scenario.events.iter().any(|event| event.kind == crate::scenario::Blow::Die);
            assert!(dies || ended.iter().all(|one| one.1), "{name} {text}");
        }
    }
}

#[test]
fn the_seed_fixes_a_run() {
    for load in LOADS {
        for text in ["tblb least_work", "tblb s1", "random_two_least_conn"] {
            let run = |seed| run(&scenario("homogeneous"), load, &rule(text), seed, 200);
            assert_eq!(run(3), run(3), "{text}");
            assert_ne!(run(3), run(4), "{text}");
        }
    }
}

#[test]
fn all_policies_of_a_seed_get_the_same_requests() {
    for load in LOADS {
        let requests = |text| {
            let outcome = run(&scenario("hetero"), load, &rule(text), 5, 300);
            let of = |record: &Record| (record.number, record.prompt, record.output);
            let mut requests: Vec<_> = outcome.records.iter().map(of).collect();
            requests.sort_unstable();
            requests
        };
        assert_eq!(requests("tblb least_conn"), requests("random"));
    }
}

#[test]
fn a_closed_loop_keeps_its_concurrency() {
    let (scenario, load) = (Scenario { warmup: 0, ..scenario("hetero") }, Load::Concurrency(7));
    let plan = Plan::draw(&scenario, load, 200, 1);
    let mut fleet = Fleet::new(&scenario, load, &rule("least_conn"), 1, &plan);
    fleet.begin(load);
    let mut checked = 0;
    while fleet.outcome.records.len() < 200 {
        let (at, what) = fleet.agenda.pop().expect("more to come");
        fleet.happen(at, what);
        let open = fleet.flights.len() - fleet.outcome.records.len();
        let conns: u64 = fleet.instances[0].peers.iter().map(|peer| peer.conns).sum();
        assert_eq!(conns, open as u64);
        // Those that just ended are followed by others at the same time.
        let (next, what) = fleet.agenda.pop().expect("polls never end");
        fleet.agenda.push(next, what);
        if (7..200).contains(&fleet.flights.len()) && next > at {
            assert_eq!(open, 7);
            checked += 1;
        }
    }
    assert!(checked > 1000);
}

#[test]
fn the_load_comes_after_what_nginx_learns_from_and_is_measured_alone() {
    let (scenario, load) = (scenario("hetero"), Load::Concurrency(7));
    let plan = Plan::draw(&scenario, load, 50, 1);
    assert_eq!((plan.warm, plan.asked.len()), (2 * scenario.warmup, 2 * scenario.warmup + 50));
    assert!(plan.asked[..plan.warm].iter().all(|asked| asked.at < plan.begins));
    let cold = Plan::draw(&Scenario { warmup: 0, ..scenario.clone() }, load, 50, 1);
    let what = |asked: &[Asked]| asked.iter().map(|asked| (asked.length, asked.body)).collect::<Vec<_>>();
    assert_eq!(what(&plan.asked[plan.warm..]), what(&cold.asked), "the load is the same");
    let outcome = run(&scenario, load, &rule("least_conn"), 1, 50);
    assert_eq!(ended(&outcome), (0..50).map(|number| (number, true)).collect::<Vec<_>>());
}

#[test]
fn equal_policies_give_equal_runs() {
    for load in LOADS {
        let run = |text| run(&scenario("hetero"), load, &rule(text), 2, 200);
        assert_eq!(run("least_conn"), run("tblb least_conn"));
    }
}

/// The mean time of the requests of a run in ms.
fn mean_e2e(outcome: &Outcome) -> f64 {
    Summary::of(outcome.records.iter().map(|record| record.e2e)).expect("requests").mean
}

/// Runs the preset with and without its events.
fn with_and_without_events(name: &str) -> [Outcome; 2] {
    let with = scenario(name);
    let without = Scenario { events: Vec::new(), ..with.clone() };
    [with, without].map(|scenario| run(&scenario, scenario.loads()[0], &rule("least_conn"), 1, 1500))
}

#[test]
fn a_node_that_dies_breaks_its_answers_off_and_is_left_alone() {
    let [with, without] = with_and_without_events("die");
    let broken = with.records.iter().filter(|record| !record.whole).count();
    assert!((10..40).contains(&broken), "{broken} of about 80/4 that were there");
    let measures = |outcome: &Outcome| outcome.measures(&Slo { ttft: 500.0, tpot: 50.0 });
    assert!(measures(&with).shares[1] < measures(&without).shares[1] / 2.0);
}

#[test]
fn a_node_that_hangs_or_slows_keeps_its_requests_waiting() {
    for name in ["hang", "slowdown"] {
        let [with, without] = with_and_without_events(name);
        assert!(mean_e2e(&with) > 1.03 * mean_e2e(&without), "{name}");
        assert!(with.records.iter().all(|record| record.whole), "{name}");
    }
    let [mut with, mut without] = with_and_without_events("hang");
    for outcome in [&mut with, &mut without] {
        outcome.records.sort_by_key(|record| record.number);
    }
    let later = with.records.iter().zip(&without.records).map(|(with, without)| with.e2e - without.e2e);
    let longest = later.fold(0.0, f64::max);
    assert!((19_000.0..25_000.0).contains(&longest), "{longest}");
}

#[test]
fn conversations_profit_from_a_node_that_knows_them() {
    let scenario = Scenario { nodes: vec![NodeGroup::new("1gpu", 1)], ..scenario("multi-turn") };
    let load = Load::Concurrency(8);
    let known = Plan::draw(&scenario, load, 400, 1);
    let mut strange = known.clone();
    strange.asked.iter_mut().for_each(|asked| asked.past = 0);
    let ttft = |plan: &Plan| {
        let mut fleet = Fleet::new(&scenario, load, &rule("random"), 1, plan);
        fleet.begin(load);
        while fleet.outcome.records.len() < 400 {
            let (at, what) = fleet.agenda.pop().expect("more to come");
            fleet.happen(at, what);
        }
        Summary::of(fleet.outcome.records.iter().filter_map(|record| record.ttft)).expect("requests").mean
    };
    let (known, strange) = (ttft(&known), ttft(&strange));
    assert!(known < 0.8 * strange, "{known} against {strange}");
}

#[test]
fn speculative_decoding_is_faster_and_its_streams_have_fewer_events() {
    let scenario = scenario("speculative");
    let outcome = run(&scenario, Load::Concurrency(40), &rule("round_robin"), 1, 800);
    let tpot = |node| {
        let of = outcome.records.iter().filter(|record| record.node == Some(node));
        Summary::of(of.filter_map(|record| record.tpot)).expect("requests").mean
    };
    assert!(tpot(3) < 0.6 * tpot(0), "{} against {}", tpot(3), tpot(0));
}

#[test]
fn a_node_that_dies_while_it_hangs_stays_away_until_it_starts_anew() {
    use crate::scenario::Blow;
    let second = |seconds: u64| seconds * 1_000_000_000;
    let mut member = Member::new(&NodeGroup { background: 5, ..NodeGroup::new("1gpu", 1) }, 1, 0);
    member.advance(second(5), &mut Vec::new());
    assert!(member.running() > 0);
    member.hang(second(5));
    assert_eq!((member.listens(), member.answers(), member.schedule()), (true, false, None));
    member.die();
    member.recover(second(7), Blow::Hang);
    assert!(!member.listens());
    member.recover(second(9), Blow::Die);
    assert!(member.answers());
    member.advance(second(10), &mut Vec::new());
    assert!(member.running() > 0, "its background is back");
}

#[test]
fn frozen_pages_stay_as_they_were() {
    let mut member = Member::new(&NodeGroup { background: 5, ..NodeGroup::new("1gpu", 1) }, 1, 0);
    let mut at = |ms: u64, frozen| {
        member.advance(ms * 1_000_000, &mut Vec::new());
        member.page(frozen)
    };
    let first = at(500, true);
    assert_ne!(at(5000, false), first);
    assert_eq!(at(6000, true), first);
}

//! Who fails is not mistaken for who is fast: one of four engines fails in each way that is known, or seems to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use tblb_tests::config::{Config, upstream};
use tblb_tests::failures::{CASES, Case, Pool, complete_all};
use tblb_tests::node::{Failure, Mood, Node};

/// What a pool under `tblb` is compared with.
const YARDSTICK: &str = "least_conn";

/// Pools that run at a time: they wait most of the time.
const AT_A_TIME: usize = 8;

/// Requests of a single client, and of many.
const ONE_AT_A_TIME: usize = 55;
const MANY: usize = 300;

/// How many clients many are.
const CLIENTS: usize = 16;

/// Requests by which the engine is found to fail, which do not count.
const FIRST: usize = 5;

/// Good answers by which a pool may fall behind by chance: as many requests may be at the bad engine when it begins to fail.
const CHANCE: usize = CLIENTS / 2;

/// The fair share of one of four engines.
const FAIR: f64 = 0.25;

/// Tries something with all of these, some at a time, and fails the test with all that was wrong.
fn each<T: Sync>(of: &[T], f: impl Fn(&T) -> Vec<String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = of.get(next.fetch_add(1, Relaxed)) {
            let found = f(case);
            wrong.lock().expect("no panic").extend(found);
        }
    };
    thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A pool of which an engine fails from the start, or after it was found to be the fastest.
fn pool(method: &str, case: &Case, was_fast: bool) -> Pool {
    let mut pool = Pool::start(method, case);
    if was_fast {
        pool.good_of(80, 8);
        pool.good_of(20, 1);
    }
    pool.fall_ill();
    pool
}

/// Each way to fail, with what the engine was before.
fn all() -> Vec<(Case, bool)> {
    CASES.iter().flat_map(|case| [false, true].map(|was_fast| (*case, was_fast))).collect()
}

/// What is wrong where a share or a number is not as it should be.
fn unless(right: bool, what: String) -> Option<String> {
    println!("{} {what}", if right { "right" } else { "wrong" });
    (!right).then_some(what)
}

/// Whether the engine of a pool gets half of its fair share within 15 s after it is well again, of four clients.
fn gets_its_share_again(pool: &mut Pool) -> bool {
    pool.recover();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(15) {
        if pool.ask(60, 4).bad >= FAIR / 2.0 {
            return true;
        }
    }
    false
}

/// Promise 11: whatever way an engine fails, of the requests of a single client at most 15 % go there after the first five,
/// the pool gives as many good answers as under least_conn, and the engine has half of its share within 15 s after it is well
/// again.
#[test]
fn a_bad_engine_before_one_client() {
    each(&all(), |(case, was_fast)| {
        let name = format!("{}, was fast {was_fast}", case.name);
        let mut judged = pool("tblb", case, *was_fast);
        let first = judged.good_of(FIRST, 1);
        let outcome = judged.ask(ONE_AT_A_TIME, 1);
        let yardstick = pool(YARDSTICK, case, *was_fast).good_of(FIRST + ONE_AT_A_TIME, 1);
        let good = first + outcome.good;
        let mut wrong = vec![
            unless(outcome.bad <= 0.15, format!("{name}: {:.3} of one client's requests", outcome.bad)),
            unless(good + 1 >= yardstick, format!("{name}: {good} good answers, least_conn {yardstick}")),
        ];
        if !was_fast {
            let again = gets_its_share_again(&mut judged);
            wrong.push(unless(again, format!("{name}: has its share again {again}")));
        }
        wrong.into_iter().flatten().collect()
    });
}

/// Promise 11: whatever way an engine fails, of the requests of 16 clients at most 10 % go there where they do not wait there,
/// and no more than its share where the status blames the client or half of its answers are good; and the pool gives as many good answers as under least_conn.
#[test]
fn a_bad_engine_before_many_clients() {
    each(&all(), |(case, was_fast)| {
        let name = format!("{}, was fast {was_fast}", case.name);
        let outcome = pool("tblb", case, *was_fast).ask(MANY, CLIENTS);
        let yardstick = pool(YARDSTICK, case, *was_fast).good_of(MANY, CLIENTS);
        let partly = matches!(case.mood, Some(Mood::FailsEachSecond(_)));
        let most = if case.blames_client || partly { FAIR } else { 0.1 };
        let wrong = [
            unless(
                case.holds || outcome.bad <= most,
                format!("{name}: {:.3} of {CLIENTS} clients' requests", outcome.bad),
            ),
            unless(
                outcome.good + CHANCE >= yardstick,
                format!("{name}: {} good answers of {MANY}, least_conn {yardstick}", outcome.good),
            ),
        ];
        wrong.into_iter().flatten().collect()
    });
}

/// Promise 11: under scores an engine that fails at once, and so looks idle, gets no more than its fair share, whatever way
/// it fails; and the pool gives as many good answers as under least_conn.
#[test]
fn a_bad_engine_under_scores() {
    let methods = ["tblb s1_enhanced", "tblb s2_enhanced"];
    let at_once = CASES.iter().filter(|case| !case.holds && !case.blames_client);
    let cases: Vec<_> = at_once.flat_map(|case| methods.map(|method| (*case, method))).collect();
    each(&cases, |(case, method)| {
        let name = format!("{method}, {}", case.name);
        let outcome = pool(method, case, false).ask(MANY, CLIENTS);
        let yardstick = pool(YARDSTICK, case, false).good_of(MANY, CLIENTS);
        let wrong = [
            unless(outcome.bad <= FAIR, format!("{name}: {:.3} of {CLIENTS} clients' requests", outcome.bad)),
            unless(
                outcome.good + CHANCE >= yardstick,
                format!("{name}: {} good answers of {MANY}, least_conn {yardstick}", outcome.good),
            ),
        ];
        wrong.into_iter().flatten().collect()
    });
}

/// Promise 11: where all engines fail, requests are spread as before: each of four gets at least 10 %.
#[test]
fn where_all_fail_requests_are_spread() {
    let ways = [Failure::Refuses(503, 0), Failure::Refuses(500, 0), Failure::ErrorEvent];
    let methods = ["tblb", "tblb s2_enhanced"];
    let by_method = ways.iter().flat_map(|way| methods.map(|method| (*way, method)));
    let cases: Vec<_> = by_method.flat_map(|(way, method)| [1, CLIENTS].map(|n| (way, method, n))).collect();
    each(&cases, |(way, method, clients)| {
        let nodes = Node::several(4);
        nodes.iter().for_each(Node::report_itself);
        let first = format!("zone llm 512k; {method}; tblb_metrics interval=500ms timeout=5s; keepalive 16;");
        let nginx = Config::new(upstream("llm", &first, nodes.iter().map(Node::name))).start();
        nginx.wait_until_all("fresh");
        complete_all(nginx.address(), "/v1/completions", 40, 4);
        nodes.iter().for_each(|node| node.set_mood(Mood::Fails(*way)));
        let before: Vec<_> = nodes.iter().map(|node| node.seen().requests).collect();
        complete_all(nginx.address(), "/v1/completions", 200, *clients);
        let gets: Vec<_> =
            nodes.iter().zip(before).map(|(node, before)| node.seen().requests - before).collect();
        let what = format!("{method}, all {way:?}, {clients} clients: {gets:?} of 200");
        unless(gets.iter().all(|gets| *gets >= 20), what).into_iter().collect()
    });
}

//! Upstreams of the sizes that users have: each server is picked.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines::{self, Engine};
use tblb_tests::nginx::Nginx;

/// Around a word of 64 bits, and beyond it.
const SIZES: [usize; 7] = [1, 2, 64, 65, 100, 200, 300];

/// Clients that ask at a time.
const CLIENTS: usize = 4;

/// Requests for each server at most. Where chance picks among equals, one of 300 servers gets none of them with a
/// probability of 300 × e⁻²⁰, which is less than one in a million.
const REQUESTS: usize = 20;

/// One engine at many addresses, `n` of them as servers.
fn servers(engine: &Engine, n: usize) -> Vec<String> {
    let port = engine.addr().port();
    (1..=n).map(|n| format!("127.0.{}.{}:{port}", n / 250, 1 + n % 250)).collect()
}

/// Sends requests until each of `n` servers was picked, and gives those that were.
fn picked(nginx: &Nginx, n: usize) -> BTreeSet<String> {
    let (sent, seen) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    let client = || {
        let mut connection = nginx.connect();
        while sent.fetch_add(1, Relaxed) < n * REQUESTS && seen.lock().expect("no panic").len() < n {
            let answer = connection.get("/health").expect("an answer");
            assert_eq!(answer.status, 200);
            seen.lock().expect("no panic").insert(answer.header("x-upstream").to_owned());
        }
    };
    thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(client))));
    seen.into_inner().expect("no panic")
}

/// Each server of each size is picked under a method, with a zone and without, and is in the status.
fn each_is_picked(method: &str, state: &str) {
    let engine = Engine::start("0.0.0.0:0".parse().expect("an address"), &engines::options());
    let engine = engine.expect("an engine");
    for zone in ["zone llm 2m;", ""] {
        for n in SIZES {
            let servers = servers(&engine, n);
            let first = format!("{zone} {method}");
            let nginx = Config::new(upstream("llm", &first, &servers)).start();
            nginx.wait_until_all(state);
            let missing: Vec<_> = {
                let picked = picked(&nginx, n);
                servers.iter().filter(|server| !picked.contains(*server)).cloned().collect()
            };
            assert!(missing.is_empty(), "{first} {n} servers: {} never: {missing:?}", missing.len());
            assert_eq!(nginx.status().peers("llm").count(), n, "{first}");
        }
    }
}

/// Promise 11: under `least_work` each of 1 to 300 servers gets requests.
#[test]
fn least_work() {
    each_is_picked("tblb; tblb_metrics off;", "unknown");
}

/// Promise 11: under `least_conn` of the module each of 1 to 300 servers gets requests.
#[test]
fn least_conn() {
    each_is_picked("tblb least_conn; tblb_metrics off;", "unknown");
}

/// Promise 11: under a score each of 1 to 300 servers gets requests.
#[test]
fn a_score() {
    each_is_picked("tblb s1_enhanced; tblb_metrics interval=1s timeout=5s stale=60s;", "fresh");
}

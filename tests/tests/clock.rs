//! The clock on the wall, which somebody sets or which a leap takes: nothing of ours goes by it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::Node;
use tblb_tests::wait_for;

const POLLED: &str = "zone llm 64k; tblb s1; tblb_metrics interval=50ms timeout=1s stale=10s;";
const STALE_MS: f64 = 10_000.0;
const DAY: i64 = 24 * 60 * 60;

/// An nginx whose wall clock, and no other, goes by that file: libfaketime reads it at each look at the clock.
fn start(nodes: &[Node], shift: &Path) -> Nginx {
    Config::new(upstream("llm", POLLED, nodes.iter().map(Node::name)))
        .server("add_header X-Time $msec always;")
        .environment("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1")
        .environment("FAKETIME_TIMESTAMP_FILE", &shift.display().to_string())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
}

/// Moves the wall clock by so many seconds from what it is; the file is there in whole at any time.
fn set(shift: &Path, seconds: i64) {
    let written = shift.with_extension("new");
    fs::write(&written, format!("{seconds:+}\n")).expect("a file");
    fs::rename(written, shift).expect("a file in place of the other");
}

/// By how many seconds nginx's wall clock is ahead of ours.
fn ahead(nginx: &Nginx) -> f64 {
    let theirs: f64 = nginx.get("/").header("x-time").parse().expect("a time");
    theirs - SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs_f64()
}

/// The wall clock jumps a day ahead, then one back of where it was, then to where it was: all that while metrics are fresh and
/// their age is that of the last poll, the same worker polls, and requests go to the servers in turn.
/// Promises 2 and 6.
#[test]
#[ignore = "make faults"]
fn jumps_do_nothing() {
    let nodes = Node::several(2);
    let directory = tempfile::tempdir().expect("a directory");
    let shift = directory.path().join("shift");
    set(&shift, 0);
    let nginx = start(&nodes, &shift);
    nginx.wait_until_all("fresh");
    let poller = nginx.status().poller();
    assert!(poller.is_some());
    for (waiting, seconds) in [(2.0, DAY), (3.0, -DAY), (4.0, 0)] {
        let polls =
            |nginx: &Nginx| nginx.status().peers("llm").map(|peer| peer.part("polls").count("count")).min();
        let before = polls(&nginx);
        set(&shift, seconds);
        wait_for("the clock jumps", || ((ahead(&nginx) - seconds as f64).abs() < 5.0).then_some(()));
        // Numbers that stand still while requests come and go would not be believed.
        nodes.iter().for_each(|node| node.report(waiting, 1.0, 0.5));
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert_eq!(nginx.get("/").status, 200);
            let status = nginx.status();
            assert_eq!(status.poller(), poller, "{seconds}");
            for peer in status.peers("llm") {
                let age = peer.number("age_ms");
                assert_eq!(peer.text("state"), "fresh", "{seconds}: {age:?}");
                assert!(age.is_some_and(|age| (0.0..STALE_MS).contains(&age)), "{seconds}: {age:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        wait_for("it polls on", || (polls(&nginx) > before.map(|n| n + 3)).then_some(()));
    }
    let picks = nginx.status().peers("llm").map(|peer| peer.count("picks")).collect::<Vec<_>>();
    assert!(picks.iter().all(|of| of * 3 > picks.iter().sum()), "{picks:?}");
}

//! `least_work`: what it learns of engines, and what it makes of that.

use std::time::Duration;
use tblb_sim::node::NodeSpec;
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines::{self, COMPLETIONS, Engine, Fault, Options, completion, start};
use tblb_tests::meanwhile;
use tblb_tests::nginx::Nginx;

/// Engines so many times as fast as a real one.
fn engines<const N: usize>(speeds: [f64; N]) -> [Engine; N] {
    speeds.map(|speed| start(&Options::new(NodeSpec::named("4gpu-tp").expect("a type").at_speed(speed))))
}

fn before(engines: &[Engine], method: &str) -> Nginx {
    let servers = engines::names(engines);
    Config::new(upstream("llm", method, servers)).start()
}

/// Sends streams by four clients until so many have been picked.
fn send(nginx: &Nginx, picks: u64) {
    let clients = meanwhile::load(nginx.address(), 4, 40);
    nginx.wait_for("so many picks", |status| (status.sum("llm", "picks") >= picks).then_some(()));
    clients.end_well();
    nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
}

/// The module: it is the default, works without metrics, learns the time per token of each engine and sends more to the
/// fast one. A reload keeps what was learnt.
#[test]
fn the_default_learns_which_engine_is_fast() {
    let engines = engines([10.0, 2.5]);
    let nginx = before(&engines, "tblb; tblb_metrics off;");
    send(&nginx, 200);
    let [fast, slow] = [0, 1].map(|n| engines[n].addr().to_string());
    let learnt =
        || [&fast, &slow].map(|name| nginx.status().peer("llm", name).number("tpot_ms").expect("learnt"));
    let [fast_ms, slow_ms] = learnt();
    assert!(slow_ms > 2.0 * fast_ms, "{fast_ms} and {slow_ms} ms");
    let status = nginx.status();
    let picks = [&fast, &slow].map(|name| status.peer("llm", name).count("picks"));
    assert!(picks[0] > picks[1], "{picks:?}");
    assert_eq!(status.sum("llm", "prefill"), 0);
    let mut answer = nginx.connect();
    let answer = answer.send("POST", COMPLETIONS, &[], &completion(1)).expect("an answer");
    assert_eq!((answer.header("x-algorithm"), answer.header("x-reason")), ("least_work", "score"));
    nginx.reload();
    let [fast_after, slow_after] = learnt();
    assert!(slow_after > 2.0 * fast_after, "{fast_after} and {slow_after} ms");
}

/// The module: an engine whose answers stop coming is suspect, and requests go to the others; when it goes on it is not.
#[test]
fn an_engine_that_hangs_is_left_alone() {
    let engines = engines([10.0, 10.0]);
    let nginx = before(&engines, "tblb; tblb_metrics off;");
    send(&nginx, 60);
    let hung = engines[0].addr().to_string();
    // Streams that last until the engine hangs, and so many that some are there.
    let mut streams: Vec<_> = (0..6)
        .map(|_| nginx.connect().stream("POST", COMPLETIONS, &completion(2000)).expect("a stream"))
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    engines[0].set_fault(Fault::HangInference);
    nginx.wait_for("it is suspect", |status| (status.peer("llm", &hung).0["suspect"] == true).then_some(()));
    for _ in 0..20 {
        let answer = Connection::open(nginx.address())
            .and_then(|mut connection| connection.send("POST", COMPLETIONS, &[], &completion(5)));
        assert!(answer.expect("an answer").header("x-upstream") != hung);
    }
    engines[0].set_fault(Fault::None);
    nginx.wait_for("it is not", |status| (status.peer("llm", &hung).0["suspect"] == false).then_some(()));
    streams.clear();
}

/// The module: a page that was not generated says nothing of how fast the engine is, however fast it comes.
#[test]
fn pages_teach_nothing() {
    let engines = engines([10.0]);
    let nginx = before(&engines, "tblb; tblb_metrics off;");
    let learnt = || nginx.status().peer("llm", &engines[0].addr().to_string()).0["tpot_ms"].as_f64();
    let get = || nginx.connect().get("/metrics").expect("an answer").body.len();
    let length = get();
    engines[0].set_fault(Fault::Freeze);
    let late = std::thread::scope(|scope| {
        let page = scope.spawn(get);
        std::thread::sleep(Duration::from_millis(500));
        engines[0].set_fault(Fault::None);
        page.join().expect("a page")
    });
    assert!(length.min(late) > 2000, "of a completion it would be hundreds of tokens: {length}, {late}");
    assert_eq!(learnt(), None);
    nginx.connect().send("POST", COMPLETIONS, &[], &completion(100)).expect("an answer");
    assert!(learnt().is_some());
}

//! Time to first token: to the first byte of the body, from the choice of the server.

use std::time::{Duration, Instant};
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::{Logged, Nginx};
use tblb_tests::node::{Mood, Node};
use tblb_tests::status::Part;

/// The engine sends its first byte so long after its header.
const FIRST: f64 = 0.4;

/// And its last so long after the first: what is measured at the end is told apart from what is measured at the
/// first byte by this.
const REST: f64 = 0.6;

const ARGUMENTS: &str = "?first=400&rest=600";

fn start(node: &Node, proxying: &str) -> Nginx {
    Config::new(upstream("llm", "tblb; tblb_metrics off;", [node.name()])).server(proxying).start()
}

fn seconds(value: &str) -> f64 {
    value.parse().unwrap_or_else(|_| panic!("{value:?} is no number"))
}

/// Fails unless the time is that of the first byte, which comes after the header and well before the end.
fn assert_first_byte(logged: &Logged) {
    let (ttft, header, whole) =
        (seconds(&logged.ttft), seconds(&logged.header_time), seconds(&logged.request_time));
    assert!(ttft >= FIRST - 0.002, "{logged:?}");
    assert!(header + FIRST / 2.0 < ttft, "the header comes before: {logged:?}");
    assert!(ttft + REST / 2.0 < whole, "the end comes after: {logged:?}");
}

fn count(peer: Part) -> u64 {
    peer.part("ttft_ms").count("count")
}

/// The module, TTFT: of a streamed answer it is the time to the first byte of the body, not to the header, which
/// engines send at once; in the variable and in the status.
#[test]
fn of_a_stream_it_is_the_first_byte_of_the_body() {
    let node = Node::start();
    let nginx = start(&node, "");
    let began = Instant::now();
    let mut stream = nginx.stream(&format!("/tokens{ARGUMENTS}"));
    let header = began.elapsed();
    assert!(stream.piece().expect("a piece").is_some());
    let first = began.elapsed();
    assert!(
        header + Duration::from_millis(200) < first,
        "the client gets the header at once: {header:?}, {first:?}"
    );
    assert_eq!(stream.rest(), Ok("rest.\n".to_owned()));
    let logged = nginx.logged("/tokens");
    assert_first_byte(&logged);
    assert!(seconds(&logged.ttft) <= first.as_secs_f64() + 0.002, "{logged:?}, {first:?}");
    let status = nginx.status();
    let ttft = status.peer("llm", &node.name()).part("ttft_ms");
    assert_eq!(ttft.count("count"), 1);
    assert!(
        ttft.number("mean").is_some_and(|mean| (mean / 1e3 - seconds(&logged.ttft)).abs() < 0.002),
        "{ttft:?}"
    );
    for quantile in ["p50", "p99"] {
        // Four buckets an octave: 9 % off at most.
        let off = ttft.number(quantile).map(|value| value / 1e3 / seconds(&logged.ttft));
        assert!(off.is_some_and(|off| (0.9..1.1).contains(&off)), "{ttft:?}");
    }
}

/// The module, TTFT: with a Content-Length too, where the answer is not buffered.
#[test]
fn of_a_counted_answer_that_is_not_buffered_it_is_the_first_byte() {
    let node = Node::start();
    let nginx = start(&node, "");
    assert_eq!(nginx.get(&format!("/counted{ARGUMENTS}")).body, "first\nrest.\n");
    assert_first_byte(&nginx.logged("/counted"));
}

/// The module, TTFT: buffered, a stream without a Content-Length still shows its first byte; an answer with one does
/// not, and is left out.
#[test]
fn of_a_buffered_answer_with_a_length_there_is_none() {
    let node = Node::start();
    let nginx = start(&node, "proxy_buffering on;");
    assert_eq!(nginx.get(&format!("/counted{ARGUMENTS}")).body, "first\nrest.\n");
    assert_eq!(nginx.logged("/counted").ttft, "-");
    let status = nginx.status();
    let peer = status.peer("llm", &node.name());
    assert_eq!((count(peer), peer.count("completions")), (0, 1));
    assert_eq!(nginx.get(&format!("/tokens{ARGUMENTS}")).body, "first\nrest.\n");
    assert_first_byte(&nginx.logged("/tokens"));
    assert_eq!(count(nginx.status().peer("llm", &node.name())), 1);
}

/// The module, TTFT: it is that of the try that answered, from the choice of its server.
#[test]
fn after_a_retry_it_is_that_of_the_last_try() {
    let nodes = Node::several(2);
    nodes[0].set_mood(Mood::Close);
    let servers = nodes.iter().map(|node| format!("{} max_fails=0", node.name()));
    let http = upstream("llm", "tblb; tblb_metrics off;", servers);
    let nginx = Config::new(http).workers(1).start();
    // Ties rotate from the first server on.
    assert_eq!(nginx.get(&format!("/tokens{ARGUMENTS}")).status, 200);
    let logged = nginx.logged("/tokens");
    let (failed, answered) = logged.ttft.split_once(", ").expect("two tries");
    assert_eq!(failed, "-");
    let header_time = logged.header_time.split_once(", ").expect("two tries").1.to_owned();
    assert_first_byte(&Logged { ttft: answered.to_owned(), header_time, ..logged.clone() });
    let status = nginx.status();
    assert_eq!(count(status.peer("llm", &nodes[0].name())), 0);
    assert_eq!(count(status.peer("llm", &nodes[1].name())), 1);
}

/// The module, TTFT: an answer without a body has none.
#[test]
fn an_answer_without_a_body_has_none() {
    let node = Node::start();
    let nginx = start(&node, "");
    let answer = nginx.connect().send("HEAD", "/", &[], "").expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(nginx.logged("/").ttft, "-");
    assert_eq!(count(nginx.status().peer("llm", &node.name())), 0);
}

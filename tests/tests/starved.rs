//! Workers that lack what they need: threads, descriptors, time. Requests go on, the status says what is missing, and it is
//! made up for when it is there again.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use std::thread;
use std::time::{Duration, Instant};
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::meanwhile::Meanwhile;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, page};
use tblb_tests::status::{Part, Status};
use tblb_tests::{process, wait_for};

const POLLED: &str = "zone llm 64k; tblb s1; tblb_metrics interval=50ms timeout=1s stale=500ms; keepalive 8;";

/// Room for requests, and not for the stack of a thread.
const ROOM: u64 = 100 << 10;

/// Two workers that poll and pass on requests.
fn start(nodes: &[Node]) -> Nginx {
    let http = upstream("llm", POLLED, nodes.iter().map(Node::name));
    let nginx = Config::new(http).server("add_header X-Worker $pid always;").start();
    nginx.wait_until_all("fresh");
    nginx
}

/// The worker that polls, and the other.
fn workers(nginx: &Nginx) -> (u32, u32) {
    let polls = nginx.status().poller().expect("a poller");
    (polls, nginx.workers().into_iter().find(|pid| *pid != polls).expect("another worker"))
}

/// Sets the limit of a worker that counts; what bounds it is this process's, which nginx has inherited.
fn limit(pid: u32, resource: Resource, current: Option<u64>) {
    let bound = getrlimit(resource).maximum;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, resource, Rlimit { current, maximum: bound }).expect("a limit of a process of ours");
}

/// As it was before [`limit`].
fn lift(pid: u32, resource: Resource) {
    limit(pid, resource, getrlimit(resource).current);
}

fn requests_go_on(nginx: &Nginx) {
    (0..20).for_each(|_| assert_eq!(nginx.get("/").status, 200));
}

/// The worker that polls is stopped, and the one that should poll instead gets no thread, for want of room for a stack:
/// that is logged once and shown, and when there is room it polls. The one that was stopped goes on as one that does not.
/// Promises 2 and 5.
#[test]
fn no_more_threads() {
    let nodes = Node::several(2);
    let nginx = start(&nodes);
    let (stopped, other) = workers(&nginx);
    requests_go_on(&nginx);
    let size = process::memory_kb(other, "VmSize") * 1024;
    limit(other, Resource::As, Some(size + ROOM));
    process::signal(stopped, Signal::STOP);
    wait_for("the log says so", || nginx.log_with("the poller cannot be started").pop());
    nginx.wait_for("the status says so", |status| {
        (status.upstream("llm").part("poller").text("state") == "stopped").then_some(())
    });
    nginx.wait_until_all("stale");
    requests_go_on(&nginx);
    assert_eq!(process::poller_threads(other), 0);
    assert_eq!(nginx.log_with("the poller cannot be started").len(), 1, "{}", nginx.log());

    lift(other, Resource::As);
    nginx.wait_until_all("fresh");
    assert_eq!(nginx.status().poller(), Some(other));
    wait_for("the log says that", || nginx.log_with("the poller is started").pop());
    process::signal(stopped, Signal::CONT);
    requests_go_on(&nginx);
    nginx.wait_until_all("fresh");
    assert_eq!(nginx.status().poller(), Some(other));
}

/// The worker that polls gets no descriptor: metrics grow stale, requests go on by the other worker, and when there are
/// descriptors again metrics are fresh again.
/// Promises 2 and 5.
#[test]
fn no_more_descriptors() {
    let nodes = Node::several(2);
    let closing = String::from_utf8(page(1.0, 2.0, 0.5)).expect("text").replacen(
        "\r\n",
        "\r\nConnection: close\r\n",
        1,
    );
    nodes.iter().for_each(|node| node.answer_metrics(closing.as_bytes()));
    let nginx = start(&nodes);
    let (polls, other) = workers(&nginx);
    // A worker without descriptors accepts no connection, and keeps nginx from giving it to another.
    let mut connection = wait_for("a connection to the other worker", || {
        let mut connection = nginx.connect();
        let worker = connection.get("/").expect("an answer").header("x-worker").to_owned();
        (worker == other.to_string()).then_some(connection)
    });
    let mut status = || Status::parse(&connection.get("/tblb?format=json").expect("an answer").body);
    limit(polls, Resource::Nofile, Some(3));
    wait_for("metrics fail and grow stale", || {
        let of = |peer: Part| (peer.text("state").to_owned(), peer.part("polls").text("fault").to_owned());
        status().peers("llm").all(|peer| of(peer) == ("stale".into(), "local".into())).then_some(())
    });
    (0..20).for_each(|_| assert_eq!(connection.get("/").expect("an answer").status, 200));

    lift(polls, Resource::Nofile);
    nginx.wait_until_all("fresh");
    requests_go_on(&nginx);
}

/// A worker that polls is stopped for a minute, under load: another polls meanwhile, never two at once, and when it goes on it
/// does nothing that it should have done before.
/// Promises 4 and 9.
#[test]
#[ignore = "make faults"]
fn a_worker_that_is_stopped_for_a_minute() {
    let nodes = Node::several(2);
    let nginx = start(&nodes);
    let (stopped, other) = workers(&nginx);
    process::signal(stopped, Signal::STOP);
    wait_for("another polls", || (nginx.status().poller() == Some(other)).then_some(()));
    let address = nginx.address();
    let load =
        Meanwhile::start(4, move || Connection::open(address)?.get("/tokens").map(|answer| answer.status));
    thread::sleep(Duration::from_secs(60));
    process::signal(stopped, Signal::CONT);
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        assert_eq!(nginx.status().poller(), Some(other));
        thread::sleep(Duration::from_millis(50));
    }
    let answers = load.end();
    assert!(answers.len() > 1000 && answers.iter().all(|answer| *answer == Ok(200)));
    // Numbers that stood still under load are believed again when they change.
    nodes.iter().for_each(|node| node.report(2.0, 1.0, 0.25));
    nginx.wait_until_all("fresh");
    assert_eq!((process::poller_threads(other), process::poller_threads(stopped)), (4, 0));
    nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
    let picks = nginx.status().peers("llm").map(|peer| peer.count("picks")).collect::<Vec<_>>();
    assert!(picks.iter().all(|of| of * 3 > picks.iter().sum()), "{picks:?}");
}

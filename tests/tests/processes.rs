//! nginx's processes: which of them polls, and what becomes of polling when they come and go.

use rustix::process::Signal;
use std::time::Duration;
use tblb_tests::client::Stream;
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::Node;
use tblb_tests::process::{self, poller_threads};
use tblb_tests::{wait_for, wait_within};

const METHOD: &str = "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s;";

/// As many threads as a poller may have.
const MOST_THREADS: usize = 4;

fn config(nodes: &[Node]) -> Config {
    Config::new(upstream("llm", METHOD, nodes.iter().map(Node::name)))
}

/// The workers that have threads of a poller, and how many.
fn pollers(nginx: &Nginx) -> Vec<(u32, usize)> {
    let threads = nginx.workers().into_iter().map(|pid| (pid, poller_threads(pid)));
    threads.filter(|(_, threads)| *threads > 0).collect()
}

/// Polls that the nodes have seen.
fn polls(nodes: &[Node]) -> Vec<u64> {
    nodes.iter().map(|node| node.seen().polls).collect()
}

fn wait_for_polls(nodes: &[Node]) {
    let before = polls(nodes);
    wait_for("all are polled", || {
        polls(nodes).iter().zip(&before).all(|(now, then)| now > then).then_some(())
    });
}

/// The module, the worker thread: one worker of all polls, with four threads at most; neither the master nor the
/// processes that look after a cache have any.
/// Promise 5.
#[test]
fn one_worker_polls() {
    let nodes = Node::several(12);
    let cache = "proxy_cache_path cache keys_zone=cache:1m;";
    let servers = nodes.iter().map(Node::name);
    let nginx = Config::new(cache.to_owned() + &upstream("llm", METHOD, servers)).workers(4).start();
    nginx.wait_until_all("fresh");
    let [(pid, threads)] = pollers(&nginx)[..] else { panic!("{:?}", pollers(&nginx)) };
    assert!(threads <= MOST_THREADS, "{:?}", process::threads(pid));
    let status = nginx.status();
    assert_eq!(status.poller(), Some(pid));
    assert_eq!(status.upstream("llm").part("poller").count("threads"), threads as u64);
    for _ in 0..10 {
        wait_for_polls(&nodes);
        assert_eq!(pollers(&nginx), [(pid, threads)]);
    }
    let others = nginx.processes().into_iter().filter(|process| process.pid != pid);
    let others: Vec<_> = others.map(|process| (process::threads(process.pid).len(), process.title)).collect();
    assert!(others.iter().any(|(_, title)| title.contains("cache manager")), "{others:?}");
    assert!(others.iter().all(|(threads, _)| *threads == 1), "{others:?}");
}

/// The module, the worker thread: where no upstream is polled there are no threads, after a reload neither; but when
/// one is again, there are.
/// Promise 5.
#[test]
fn without_metrics_there_are_no_threads() {
    let nodes = Node::several(2);
    let off = METHOD.replace("interval=50ms timeout=5s", "off");
    let off = Config::new(upstream("llm", &off, nodes.iter().map(Node::name)));
    let mut nginx = off.start();
    // Longer than a worker takes to find that nobody polls, and than a lease lasts.
    let no_threads = |nginx: &Nginx| {
        for _ in 0..20 {
            assert!(nginx.workers().into_iter().all(|pid| process::threads(pid).len() == 1));
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(nginx.status().upstream("llm").part("poller").text("state"), "off");
    };
    no_threads(&nginx);
    nginx.reload_with(&config(&nodes));
    nginx.wait_until_all("fresh");
    nginx.reload_with(&off);
    no_threads(&nginx);
    nginx.quit();
}

/// The worker that holds a stream.
fn worker_of(stream: &Stream) -> u32 {
    stream.header("x-worker").parse().expect("a process id")
}

/// Holds streams at the nodes until each worker has a few of them.
fn hold_in_each_worker(nginx: &Nginx) -> Vec<Stream> {
    let mut held = Vec::new();
    wait_for("each worker has streams", || {
        held.push(nginx.stream("/hold/stream"));
        let each = |pid| held.iter().filter(|stream| worker_of(stream) == pid).count() >= 3;
        nginx.workers().into_iter().all(each).then_some(())
    });
    held
}

/// The module, the board and the worker thread: when the worker that polls is killed another polls within 3 s,
/// requests are served all the while, and what it had in flight is forgotten, in a zone of nginx's and without.
/// Promises 2 and 4.
#[test]
fn the_worker_that_polls_is_killed() {
    for zone in ["zone llm 64k;", ""] {
        let nodes = Node::several(2);
        let method = METHOD.replace("zone llm 64k;", zone);
        let http = upstream("llm", &method, nodes.iter().map(Node::name));
        let mut nginx = Config::new(http).server("add_header X-Worker $pid always;").start();
        nginx.expect_in_log("exited on signal 9");
        nginx.wait_until_all("fresh");
        let held = hold_in_each_worker(&nginx);
        let status = nginx.status();
        assert_eq!(status.sum("llm", "in_flight"), held.len() as u64);

        let killed = status.poller().expect("a poller");
        process::signal(killed, Signal::KILL);
        wait_for("it is gone", || process::of_pid(killed).is_none().then_some(()));
        let before = polls(&nodes);
        wait_within(Duration::from_secs(3), "another polls", || {
            assert_eq!(nginx.get("/").status, 200);
            let polled = polls(&nodes).iter().zip(&before).all(|(now, then)| *now > then + 1);
            let poller = nginx.status().poller();
            (polled && poller.is_some_and(|pid| pid != killed)).then_some(())
        });
        let (lost, mut held): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|stream| worker_of(stream) == killed);
        assert!(lost.into_iter().all(|mut stream| stream.rest().is_err()));
        nginx.wait_for("what it had in flight is forgotten", |status| {
            (status.sum("llm", "in_flight") == held.len() as u64).then_some(())
        });
        nodes.iter().for_each(|node| node.release("stream"));
        assert!(held.iter_mut().all(|stream| stream.rest() == Ok("held.\n".to_owned())));
        nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
        wait_for("it has a successor", || (nginx.workers().len() == 2).then_some(()));
        assert_eq!(pollers(&nginx).len(), 1);
    }
}

/// The module, processes: `nginx -t` starts no thread and connects to no engine.
#[test]
fn a_check_polls_nothing() {
    let nodes = Node::several(2);
    // On a busy machine a check may be over before it could be looked at.
    wait_for("a look at a check", || {
        let checked = config(&nodes).check();
        assert!(checked.right, "{}", checked.said);
        assert!(checked.threads <= 1, "{} threads", checked.threads);
        (checked.threads == 1).then_some(())
    });
    // A thread that was under way to an engine would have reached it by now.
    std::thread::sleep(Duration::from_millis(200));
    assert!(nodes.iter().all(|node| node.seen().accepted == 0));
}

/// The module, processes: with `master_process off` the only process polls; over reloads one poller follows the
/// other, each polls the servers of its configuration, and the last ends with the process. (nginx answers hardly
/// anything after such a reload, with this module and without.)
/// Promise 9.
#[test]
fn a_single_process() {
    for end in [Nginx::quit, Nginx::terminate] {
        let nodes = Node::several(3);
        let mut nginx = config(&nodes[..2]).single_process().start();
        nginx.wait_until_all("fresh");
        let [(pid, threads)] = pollers(&nginx)[..] else { panic!("{:?}", pollers(&nginx)) };
        assert_eq!(pid, nginx.master());
        (0..10).for_each(|_| assert_eq!(nginx.get("/").status, 200));
        assert_eq!(nginx.status().sum("llm", "completions"), 10);
        for (polled, left) in [(1..3, 0), (0..2, 2), (1..3, 0)] {
            nginx.reload_with(&config(&nodes[polled.clone()]).single_process());
            wait_for("the poller of before has ended", || {
                let before = nodes[left].seen().polls;
                wait_for_polls(&nodes[polled.clone()]);
                (nodes[left].seen().polls == before).then_some(())
            });
            assert_eq!(pollers(&nginx), [(pid, threads)]);
        }
        end(nginx);
        let before = polls(&nodes);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(polls(&nodes), before, "nobody polls");
    }
}

/// The module, processes: with `daemon on` it is one of the workers of the process in the background that polls.
#[test]
fn a_daemon() {
    let nodes = Node::several(2);
    let nginx = config(&nodes).daemon().start();
    nginx.wait_until_all("fresh");
    let [(pid, _)] = pollers(&nginx)[..] else { panic!("{:?}", pollers(&nginx)) };
    assert_ne!(pid, nginx.master());
    assert_eq!(process::threads(nginx.master()).len(), 1);
    nginx.reload();
    nginx.wait_for("a new worker polls", |status| status.poller().filter(|poller| *poller != pid));
    wait_for_polls(&nodes);
    (0..10).for_each(|_| assert_eq!(nginx.get("/").status, 200));
    nginx.quit();
}

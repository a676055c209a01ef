//! Workers that are killed, or whose threads panic, at named points of the module.

use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::time::Duration;
use tblb_core::failpoint::Point;
use tblb_tests::config::{Config, build, upstream};
use tblb_tests::dns::{Dns, FOLLOWED_SINCE};
use tblb_tests::engines::{self, COMPLETIONS, Engine, Fault, completion, name};
use tblb_tests::failpoints::{Action, Failpoints};
use tblb_tests::meanwhile::load;
use tblb_tests::nginx::Nginx;
use tblb_tests::{process, wait_for, wait_within};

/// When a worker comes by a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Requests and polls go on.
    Load,
    /// The worker that polls is killed: another follows it, and one begins instead.
    Succession,
    /// A worker is killed, and the next one in its place is slow to begin.
    Gap,
    /// nginx reads its configuration again.
    Reload,
    /// It has lost a server.
    Removal,
    /// A server appears in the DNS, which only newer versions of nginx follow.
    Resolved,
}

/// Each point has one, so that none can be forgotten.
fn occasion(point: Point) -> Occasion {
    use Point::*;
    match point {
        PromptLearnt | PeerPicked | TryEntered | PickCounted | FirstByteCounted | PromptComputed
        | ByteHeard | AverageMoved | TryLeft | PeerHeld | LeaseRenewed | PollDue | PollConnects
        | PollAnswered | PollRead | PollDone | PollBacksOff | PollPublishes | SampleBegun | SampleWritten
        | SamplePublished | FaultWritten => Occasion::Load,
        WorkerBegins | RowEmptied | LeaseTaken | PollerStarts | PollerStarted | PollConnected => {
            Occasion::Succession
        }
        RowForgotten => Occasion::Gap,
        LeaseReleased | PollerEnds => Occasion::Reload,
        SlotEmptied => Occasion::Removal,
        SlotClaimed => Occasion::Resolved,
    }
}

fn points(of: Occasion) -> impl Iterator<Item = Point> {
    Point::ALL.iter().copied().filter(move |point| occasion(*point) == of)
}

const METHOD: &str = "zone llm 256k; tblb; tblb_metrics interval=50ms timeout=1s stale=2s; keepalive 8;";
const CLIENTS: usize = 6;
const WORKERS: usize = 3;

/// nginx before two engines that are well, one whose metrics fail, and one that is not there.
struct Room {
    failpoints: Failpoints,
    engines: Vec<Engine>,
    nginx: Nginx,
}

impl Room {
    fn new() -> Room {
        let failpoints = Failpoints::new();
        let engines = engines::several(3);
        engines[2].set_fault(Fault::MetricsStatus { status: 500 });
        let mut nginx = config(&failpoints, &engines).start();
        nginx.expect_in_log("exited on signal 9");
        let room = Room { failpoints, engines, nginx };
        room.polls_go_on();
        room
    }

    /// Under load, something happens at a point on an occasion; so many workers die of it. Afterwards all is as it should be.
    fn happens(&mut self, point: Point, action: Action, occur: impl FnOnce(&mut Room), deaths: usize) {
        let load = load(self.nginx.address(), CLIENTS, 20);
        self.failpoints.arm(point, action);
        occur(self);
        self.failpoints.wait(point);
        self.is_whole();
        self.polls_go_on();
        let done = load.end();
        let failed: Vec<_> = done.iter().filter_map(|done| done.as_ref().err()).collect();
        assert!(failed.len() <= deaths * CLIENTS, "{point:?}: {} failed: {failed:?}", failed.len());
        (0..10).for_each(|_| self.request());
    }

    /// A worker is killed at each point of an occasion, by which so many workers die in all.
    fn survives(&mut self, occasion: Occasion, deaths: usize, mut occur: impl FnMut(&mut Room)) {
        for point in points(occasion) {
            self.happens(point, Action::Kill, &mut occur, deaths);
            self.rests(point);
        }
    }

    /// Each worker that died has a successor.
    fn is_whole(&self) {
        wait_for("all workers are there", || {
            (self.nginx.workers().len() == WORKERS && self.nginx.status_if_any().is_some()).then_some(())
        });
    }

    fn request(&self) {
        let answer = self.nginx.connect().send("POST", COMPLETIONS, &[], &completion(2)).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// One worker polls: the engines that are well are fresh, and all are asked again, also those that fail.
    fn polls_go_on(&self) {
        let polls = || -> Option<Vec<u64>> {
            let status = self.nginx.status_if_any()?;
            let mut well = self.engines[..2].iter().map(|engine| status.peer("llm", &name(engine)));
            let fresh = well.all(|peer| peer.text("state") == "fresh");
            let polled = status.poller().is_some_and(|pid| self.nginx.workers().contains(&pid));
            (fresh && polled)
                .then(|| status.peers("llm").map(|peer| peer.part("polls").count("count")).collect())
        };
        let before = wait_for("engines that are well are fresh", polls);
        wait_for("all are polled again", || {
            polls()?.iter().zip(&before).all(|(now, before)| now > before).then_some(())
        });
        let pollers = |count: &usize| *count > 0;
        wait_for("one polls", || {
            let threads = self.nginx.workers().into_iter().map(process::poller_threads);
            (threads.filter(pollers).count() == 1).then_some(())
        });
    }

    /// Without load, nothing is in flight and nobody has anything to do but to poll.
    fn rests(&self, point: Point) {
        wait_within(Duration::from_secs(3), &format!("after {point:?} nothing is in flight"), || {
            (self.nginx.status().sum("llm", "in_flight") == 0).then_some(())
        });
        let spent = || -> u64 { self.nginx.workers().into_iter().map(process::processor_ms).sum() };
        // On a busy machine one look may fall on what was left to do.
        wait_for(&format!("after {point:?} nothing spins"), || {
            let before = spent();
            std::thread::sleep(Duration::from_millis(200));
            (spent().saturating_sub(before) < 60).then_some(())
        });
    }

    fn kill_the_poller(&mut self) {
        let poller = self.nginx.status().poller().expect("a poller");
        process::signal(poller, Signal::KILL);
    }
}

fn config(failpoints: &Failpoints, engines: &[Engine]) -> Config {
    let servers = engines.iter().map(name).chain(["127.0.0.9:1".to_owned()]);
    Config::new(upstream("llm", METHOD, servers)).workers(WORKERS).failpoints(failpoints.directory())
}

/// Workers are killed at each point that requests and polls come by: their successors count right, and polls go on.
/// Promises 2 and 4.
#[test]
#[ignore = "make faults"]
fn killed_at_work() {
    Room::new().survives(Occasion::Load, 1, |_| ());
}

/// The same of a worker that takes over polling, and of one that begins.
/// Promises 2 and 4.
#[test]
#[ignore = "make faults"]
fn killed_as_a_successor() {
    Room::new().survives(Occasion::Succession, 2, Room::kill_the_poller);
}

/// The same where a row is without a worker for a moment, after a reload, and where a server has gone or come.
/// Promises 2 and 4.
#[test]
#[ignore = "make faults"]
fn killed_at_a_change() {
    let mut room = Room::new();
    room.survives(Occasion::Gap, 2, Room::leave_a_row_alone);
    room.survives(Occasion::Reload, 1, |room| room.nginx.reload());
    let fewer = config(&room.failpoints, &room.engines[..2]);
    room.survives(Occasion::Removal, 1, |room| room.nginx.reload_with(&fewer));
}

impl Room {
    /// A worker that does not poll is killed, and its successor stopped before it begins, until the one that polls has seen
    /// that the row is nobody's.
    fn leave_a_row_alone(&mut self) {
        let poller = self.nginx.status().poller();
        let idle = |pid: &u32| Some(*pid) != poller;
        let killed = self.nginx.workers().into_iter().find(idle).expect("one that does not poll");
        self.failpoints.arm(Point::WorkerBegins, Action::Stop);
        process::signal(killed, Signal::KILL);
        self.failpoints.wait(Point::WorkerBegins);
        self.failpoints.wait(Point::RowForgotten);
        // One that has not begun has no title of a worker yet.
        let all = self.nginx.processes();
        all.into_iter().for_each(|process| process::signal(process.pid, Signal::CONT));
    }
}

/// A worker is killed while it gives a server that has just come a place on the board.
/// Promises 2 and 4.
#[test]
#[ignore = "make faults"]
fn killed_where_a_server_comes() {
    if build().version < FOLLOWED_SINCE {
        return; // It cannot come by there: `resolve` is refused, as another test shows.
    }
    let addresses = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];
    let first = engines::start(&engines::options());
    let second = Engine::start((addresses[1], first.addr().port()).into(), &engines::options());
    let engines = vec![first, second.expect("an engine")];
    let dns = Dns::start(&addresses[..1]);
    let failpoints = Failpoints::new();
    let method = format!("resolver {} valid=1s ipv6=off; {METHOD}", dns.address());
    let servers = [format!("engines.test:{} resolve", engines[0].addr().port())];
    let config = Config::new(upstream("llm", &method, servers)).workers(WORKERS);
    let mut nginx = config.failpoints(failpoints.directory()).start();
    nginx.expect_in_log("exited on signal 9");
    nginx.wait_until_all("fresh");
    let mut room = Room { failpoints, engines, nginx };
    room.survives(Occasion::Resolved, 1, |_| dns.answer(&addresses));
    assert_eq!(room.nginx.status().peers("llm").count(), 2);
}

/// Threads panic at each point that requests and polls come by: no worker ends, no request fails, no server stays taken,
/// and polls go on.
/// Promise 2.
#[test]
#[ignore = "make faults"]
fn panics_go_no_further() {
    let mut room = Room::new();
    room.nginx.expect_in_log("panicked");
    let workers = room.nginx.workers();
    for point in points(Occasion::Load) {
        room.happens(point, Action::Panic, |_| (), 0);
        assert_eq!(room.nginx.workers(), workers, "{point:?}");
    }
    room.nginx.wait_for("no server is taken", |status| (status.sum("llm", "conns") == 0).then_some(()));
}

/// What is released has no failpoints: nothing happens where a test wants it, and the module names no point.
/// Promise 4.
#[test]
fn what_is_released_has_none() {
    let module = std::env::var_os("TBLB_MODULE").expect("the module");
    let bytes = std::fs::read(module).expect("the module");
    let has = |text: &str| bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(has("tblb_metrics"));
    assert!(!has("TBLB_FAILPOINTS"));
    Point::ALL.iter().for_each(|point| assert!(!has(&format!("{point:?}")), "{point:?}"));
}

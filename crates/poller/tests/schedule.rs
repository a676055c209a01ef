//! When engines are polled, and that none delays another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tblb_core::fault::Fault;
use tblb_poller::{Poller, Settings, State, Target};
use tblb_poller_tests::*;

/// An engine that answers after that time.
fn slow(time: Duration) -> Server {
    Server::start(move |mut stream| {
        while request(&mut stream)?.is_some() {
            std::thread::sleep(time);
            stream.write_all(ok(PAGE).as_bytes())?;
        }
        Ok(())
    })
}

/// An engine that answers, but not while that is set.
fn asleep_while(asleep: &Arc<AtomicBool>) -> Server {
    let asleep = Arc::clone(asleep);
    Server::start(move |mut stream| {
        while request(&mut stream)?.is_some() {
            while asleep.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            stream.write_all(ok(PAGE).as_bytes())?;
        }
        Ok(())
    })
}

#[test]
fn engines_that_hang_do_not_keep_others_from_being_found() {
    let hung: Vec<_> = (0..20).map(|_| hung()).collect();
    let others: Vec<_> = (0..10).map(|_| Server::answering(ok(PAGE))).collect();
    let late = [slow(Duration::from_millis(300))];
    // So long that who waits behind a hung one is not found while none is left.
    let settings = Settings { timeout: Duration::from_secs(25), ..settings() };
    let all =
        [targets(0, &hung, &settings), targets(100, &others, &settings), targets(200, &late, &settings)];
    let (poller, recorder) = start(all.concat());
    for key in (100..110).chain([200]) {
        recorder.wait(key, 3).outcome.unwrap();
    }
    assert!((0..20).all(|key| recorder.of(key).is_empty()));
    poller.join();
}

#[test]
fn engines_that_begin_to_hang_delay_only_each_other() {
    let asleep = Arc::new(AtomicBool::new(false));
    let hanging: Vec<_> = (0..20).map(|_| asleep_while(&asleep)).collect();
    let others: Vec<_> = (0..10).map(|_| Server::answering(ok(PAGE))).collect();
    let timeout = Duration::from_secs(12);
    let settings = Settings { interval: Duration::from_millis(100), timeout, ..settings() };
    let (poller, recorder) =
        start([targets(0, &hanging, &settings), targets(100, &others, &settings)].concat());
    for key in (0..20).chain(100..110) {
        recorder.wait(key, 2).outcome.unwrap();
    }
    asleep.store(true, SeqCst);
    let start = Instant::now();
    while !(0..20).any(|key| recorder.of(key).iter().any(|poll| poll.outcome == Err(Fault::Timeout))) {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    poller.join();
    asleep.store(false, SeqCst);
    for key in 100..110 {
        let polls: Vec<_> = recorder.of(key).into_iter().filter(|poll| poll.at > start).collect();
        assert!(polls.iter().all(|poll| poll.outcome.is_ok()));
        let times = [start].into_iter().chain(polls.iter().map(|poll| poll.at)).collect::<Vec<_>>();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest < timeout / 2, "target {key} waited for {longest:?}");
        assert!(start + timeout - *times.last().unwrap() < timeout / 2);
    }
}

/// How old the newest reading of a target became at most, from `start` to `end`.
fn oldest(recorder: &Recorder, key: u64, start: Instant, end: Instant) -> Duration {
    let good = recorder.of(key).into_iter().filter(|poll| poll.outcome.is_ok()).map(|poll| poll.at);
    let times: Vec<_> =
        [start].into_iter().chain(good.filter(|at| (start..end).contains(at))).chain([end]).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

/// Of 600 engines of which 300 take requests and never answer, from the first poll on, the good ones have metrics that are
/// younger than two intervals, from the first poll on; and so have 300 when the other 300 begin to hang at once.
/// Promise 2.
#[test]
fn half_of_many_engines_hang() {
    const HALF: u64 = 300;
    let asleep = Arc::new(AtomicBool::new(true));
    let (good, hanging) = (Server::answering(ok(PAGE)), asleep_while(&asleep));
    let settings =
        Settings { interval: Duration::from_secs(1), timeout: Duration::from_secs(1), ..settings() };
    let all = |from: u64, server: &Server| {
        (from..from + HALF).map(|key| target(key, server.address, &settings)).collect::<Vec<_>>()
    };
    let start = Instant::now();
    let (poller, recorder) = tblb_poller_tests::start([all(0, &good), all(HALF, &hanging)].concat());
    std::thread::sleep(Duration::from_secs(8));
    let woken = Instant::now();
    for key in 0..HALF {
        let age = oldest(&recorder, key, start, woken);
        assert!(age < 2 * settings.interval, "target {key}: {age:?} from the start on");
    }
    asleep.store(false, SeqCst);
    (HALF..2 * HALF).for_each(|key| _ = (1..).find(|&count| recorder.wait(key, count).outcome.is_ok()));
    asleep.store(true, SeqCst);
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(4));
    let end = Instant::now();
    poller.join();
    asleep.store(false, SeqCst);
    let worst = (0..HALF).map(|key| oldest(&recorder, key, begun, end)).max().unwrap();
    println!("300 engines begin to hang: the oldest metrics of the others were {worst:?} old");
    assert!(worst < 2 * settings.interval, "{worst:?}");
}

#[test]
fn an_engine_that_wakes_up_is_quick_again() {
    let asleep = Arc::new(AtomicBool::new(true));
    let server = asleep_while(&asleep);
    let settings = Settings { timeout: Duration::from_millis(300), ..settings() };
    let (poller, recorder) = start(vec![target(1, server.address, &settings)]);
    assert_eq!(recorder.wait(1, 2).outcome, Err(Fault::Timeout));
    asleep.store(false, SeqCst);
    let count = (1..).find(|&count| recorder.wait(1, count).outcome.is_ok()).unwrap();
    recorder.wait(1, count + 20);
    poller.join();
    let changes = recorder.changes.lock().unwrap();
    assert!(matches!(changes[0], (1, None, State::Fails(Fault::Timeout))));
    assert!(matches!(changes[1], (1, Some(State::Fails(Fault::Timeout)), State::Answers(_))));
}

#[test]
fn few_threads_serve_all_engines() {
    for threads in 0..=4 {
        let (hung, late, good) = (hung(), slow(Duration::from_millis(150)), Server::answering(ok(PAGE)));
        let settings = Settings { timeout: Duration::from_millis(400), ..settings() };
        let servers = [hung, late, good];
        let recorder = Arc::new(Recorder::default());
        let poller = Poller::start(Arc::<Recorder>::clone(&recorder), threads).unwrap();
        poller.set_targets(targets(0, &servers, &settings));
        assert_eq!(recorder.wait(0, 2).outcome, Err(Fault::Timeout));
        recorder.wait(1, 2).outcome.unwrap();
        recorder.wait(2, 10).outcome.unwrap();
        poller.join();
    }
}

#[test]
fn no_engine_is_asked_twice_at_a_time() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asked, worst) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |mut stream| {
        while request(&mut stream)?.is_some() {
            worst.fetch_max(asked.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::sleep(Duration::from_millis(30));
            asked.fetch_sub(1, SeqCst);
            stream.write_all(ok(PAGE).as_bytes())?;
        }
        Ok(())
    });
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    for count in 1..=30 {
        // Every time as another target: no connection and no schedule is kept.
        let timeout = settings().timeout + Duration::from_millis(count);
        poller.set_targets(vec![target(1, server.address, &Settings { timeout, ..settings() })]);
        std::thread::sleep(Duration::from_millis(20));
    }
    recorder.wait(1, 3);
    poller.join();
    assert_eq!(most.load(SeqCst), 1);
}

#[test]
fn an_engine_that_is_dead_is_polled_less_and_less() {
    let good = Server::answering(ok(PAGE));
    let (poller, recorder) =
        start(vec![target(1, nobody(), &settings()), target(2, good.address, &settings())]);
    recorder.wait(2, 60);
    poller.join();
    let dead = recorder.of(1);
    assert!(dead.iter().all(|poll| poll.outcome == Err(Fault::Refused)));
    // 3 s: at 0, 50, 150, 350, 750, 1550 and 2350 ms.
    assert!((4..=15).contains(&dead.len()), "{}", dead.len());
    let changes = recorder.changes.lock().unwrap();
    let told: Vec<_> = changes.iter().filter(|change| change.0 == 1).collect();
    assert!(matches!(told[..], [(1, None, State::Fails(Fault::Refused))]), "{told:?}");
}

/// A listener that has all the connections it can hold, so that further ones are not answered at all.
fn full() -> (OwnedFd, SocketAddr, Vec<TcpStream>) {
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&listener, 0).unwrap();
    let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let streams = std::iter::from_fn(connect).collect();
    (listener, address, streams)
}

#[test]
fn a_connection_that_is_not_answered() {
    let (_listener, address, _streams) = full();
    let timeout = Duration::from_millis(400);
    let poll = poll_once(target(1, address, &Settings { timeout, ..settings() }));
    assert_eq!(poll.outcome, Err(Fault::ConnectTimeout));
    assert!(poll.took >= timeout && poll.took < timeout + Duration::from_secs(5), "{:?}", poll.took);
    // It does not delay the end either.
    let (poller, _) =
        start(vec![target(1, address, &Settings { timeout: Duration::from_secs(600), ..settings() })]);
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    poller.join();
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn targets_come_and_go_and_those_that_stay_are_not_disturbed() {
    let servers: Vec<_> = (0..3).map(|_| Server::answering(ok(PAGE))).collect();
    let with = |keys: &[u64]| -> Vec<Target> {
        keys.iter().map(|&key| target(key, servers[key as usize].address, &settings())).collect()
    };
    let (poller, recorder) = start(with(&[0, 1]));
    recorder.wait(0, 2);
    recorder.wait(1, 2);
    poller.set_targets(with(&[1, 2]));
    let gone = recorder.of(0).len();
    recorder.wait(2, 2);
    recorder.wait(1, recorder.of(1).len() + 5);
    assert_eq!(recorder.of(0).len(), gone, "nothing is published of a target that was taken away");
    // Another slot is no reason to begin anew, another path is.
    poller.set_targets(vec![Target { slots: vec![77, 78], ..with(&[1]).remove(0) }]);
    recorder.wait(1, recorder.of(1).len() + 5);
    assert!(kept(&servers[1], &recorder));
    let connections = servers[1].connections();
    let settings = Settings { path: tblb_poller::MetricsPath::new("/other"), ..settings() };
    poller.set_targets(vec![target(1, servers[1].address, &settings)]);
    recorder.wait(1, recorder.of(1).len() + 5);
    assert!(servers[1].connections() > connections);
    poller.join();
}

#[test]
fn an_engine_that_starts_is_found() {
    let address = nobody();
    let (poller, recorder) = start(vec![target(1, address, &settings())]);
    recorder.wait(1, 2);
    let _server = Server::at(address, |mut stream| {
        while request(&mut stream)?.is_some() {
            stream.write_all(ok(PAGE).as_bytes())?;
        }
        Ok(())
    });
    (1..).find(|&count| recorder.wait(1, count).outcome.is_ok());
    recorder.wait(1, recorder.of(1).len() + 3);
    poller.join();
    let changes: Vec<_> = recorder.changes.lock().unwrap().iter().map(|change| change.2).collect();
    assert!(
        matches!(changes[..], [State::Fails(Fault::Refused), State::Answers(engine)] if engine.name == "vllm")
    );
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let proxy = Arc::new(Server::answering(ok(PAGE)));
    let kept = Arc::clone(&proxy);
    let child = in_child("proxies_of_the_environment_are_not_used", || {
        let to = format!("http://{}", kept.address);
        let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        (names.into_iter().map(|name| (name, to.clone())).collect(), String::new(), Box::new(kept))
    });
    if child.is_some() {
        let server = Server::answering(ok(PAGE));
        outcome(&server).unwrap();
        assert_eq!(server.connections(), 1);
    } else {
        assert_eq!(proxy.connections(), 0);
    }
}

//! When engines are polled, and that none delays another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::*;
use tblb_core::fault::Fault;
use tblb_poller::{Poller, Settings, State, Target};

/// An engine that takes requests and never answers.
fn hung() -> Server {
    Server::start(|mut stream| {
        while request(&mut stream)?.is_some() {}
        Ok(())
    })
}

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

/// One target for each server, with keys from that one on.
fn targets(from: u64, servers: &[Server], settings: &Settings) -> Vec<Target> {
    (from..).zip(servers).map(|(key, server)| target(key, server.address, settings)).collect()
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
fn few_threads_serve_all_lanes() {
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

#[test]
fn what_is_under_way_does_not_delay_the_end() {
    let server = hung();
    let settings = Settings { timeout: Duration::from_secs(600), ..settings() };
    let (poller, recorder) = start(vec![target(1, server.address, &settings)]);
    // The second is in the slow lane, without the small budget.
    while server.connections() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    poller.stop();
    poller.join();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(recorder.of(1).is_empty());
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
    poller.set_targets(vec![Target { slot: 77, ..with(&[1]).remove(0) }]);
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
fn without_the_lease_nothing_is_polled() {
    let server = Server::answering(ok(PAGE));
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    recorder.wait(1, 2);
    recorder.let_go.store(true, SeqCst);
    let asked = recorder.holds.load(SeqCst);
    while recorder.holds.load(SeqCst) < asked + 3 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (count, connections) = (recorder.of(1).len(), server.connections());
    while recorder.holds.load(SeqCst) < asked + 8 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(recorder.of(1).len(), count);
    recorder.let_go.store(false, SeqCst);
    recorder.wait(1, count + 3).outcome.unwrap();
    poller.join();
    assert!(server.connections() > connections, "connections are closed with the lease");
}

/// Waits until that is so, and fails the test where it does not come.
fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where writing down what a poll brought panics, polls go on, and are written down when it panics no more.
/// Promise 2.
#[test]
fn a_sink_that_panics_does_not_end_polling() {
    let server = Server::answering(ok(PAGE));
    let recorder = Arc::new(Recorder::default());
    recorder.panics.store(true, SeqCst);
    let poller = Poller::start(Arc::<Recorder>::clone(&recorder), 3).unwrap();
    poller.set_targets(vec![target(1, server.address, &settings())]);
    until(|| server.requests() >= 5);
    recorder.panics.store(false, SeqCst);
    recorder.wait(1, recorder.of(1).len() + 5).outcome.unwrap();
    poller.join();
}

/// A poller whose thread is held up does not ask for the lease, so that another process can have it; when the thread is let
/// go it asks before it polls again, and where the lease is lost it does not poll.
/// Promise 6.
#[test]
fn a_poller_that_parks_keeps_no_lease() {
    let server = Server::answering(ok(PAGE));
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    recorder.wait(1, 3).outcome.unwrap();
    recorder.parks.store(true, SeqCst);
    until(|| recorder.parked.load(SeqCst));
    let asked = recorder.holds.load(SeqCst);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(recorder.holds.load(SeqCst), asked);
    recorder.let_go.store(true, SeqCst);
    recorder.parks.store(false, SeqCst);
    until(|| recorder.holds.load(SeqCst) >= asked + 2);
    let polls = server.requests();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.requests(), polls);
    recorder.let_go.store(false, SeqCst);
    recorder.wait(1, recorder.of(1).len() + 3).outcome.unwrap();
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

/// The names of this process's threads. A thread that a polling thread started would have its name.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks
        .filter_map(name)
        .map(|name| name.trim().to_string())
        .filter(|name| name.starts_with("tblb-"))
        .collect()
}

#[test]
fn threads_are_few_and_end() {
    if in_child("threads_are_few_and_end", || (vec![], String::new(), Box::new(()))).is_none() {
        return;
    }
    let most = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&most);
    let servers: Vec<_> = (0..50)
        .map(|_| {
            let seen = Arc::clone(&seen);
            // New connections all the time, which is when ureq would look names up.
            Server::start(move |mut stream| {
                request(&mut stream)?;
                let count = threads().len();
                let mut most = seen.lock().unwrap();
                *most = count.max(*most);
                stream.write_all(ok(PAGE).as_bytes())
            })
        })
        .collect();
    let (poller, recorder) = start(targets(0, &servers, &settings()));
    for key in 0..50 {
        recorder.wait(key, 3);
    }
    assert_eq!(threads().len(), 8, "{:?}", threads());
    poller.join();
    assert_eq!(*most.lock().unwrap(), 8);
    assert!(threads().is_empty(), "{:?}", threads());
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

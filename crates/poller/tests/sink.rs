//! What the poller does for its sink, and what a sink that panics, parks or loses the lease does to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tblb_poller::Poller;
use tblb_poller_tests::*;

#[test]
fn without_the_lease_nothing_is_polled() {
    let server = Server::answering(ok(PAGE));
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    recorder.wait(1, 2);
    recorder.let_go.store(true, SeqCst);
    let asked = recorder.holds.load(SeqCst);
    until(|| recorder.holds.load(SeqCst) >= asked + 3);
    let (count, connections) = (recorder.of(1).len(), server.connections());
    until(|| recorder.holds.load(SeqCst) >= asked + 8);
    assert_eq!(recorder.of(1).len(), count);
    recorder.let_go.store(false, SeqCst);
    recorder.wait(1, count + 3).outcome.unwrap();
    poller.join();
    assert!(server.connections() > connections, "connections are closed with the lease");
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

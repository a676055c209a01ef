//! A reload under load: nobody notices but those who wait for a new configuration.

use std::sync::Arc;
use std::time::Duration;
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines;
use tblb_tests::meanwhile::{Meanwhile, load};
use tblb_tests::process::poller_threads;
use tblb_tests::status::Status;
use tblb_tests::wait_for;

const RELOADS: usize = 20;

/// So long from one reload to the next: all of them take longer than the old poller's lease lasts, several times, so
/// that some come while nobody polls and others while somebody does.
const PAUSE: Duration = Duration::from_millis(400);

/// The module, the board: 20 reloads while clients stream fail no request. What is known of the servers is carried
/// over each time, engines see one poller at a time, and the old processes end with their requests.
/// Promise 9.
#[test]
fn twenty_reloads_under_load() {
    let engines = Arc::new(engines::several(3));
    let names: Vec<_> = engines.iter().map(|engine| engine.addr().to_string()).collect();
    let first = "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s; keepalive 8;";
    let nginx = Config::new(upstream("llm", first, &names)).start();
    nginx.wait_until_all("fresh");
    let before = nginx.status();

    let clients = load(nginx.address(), 8, 60);
    let watched = Arc::clone(&engines);
    let pollers = Meanwhile::start(1, move || {
        std::thread::sleep(Duration::from_millis(2));
        watched.iter().map(|engine| engine.stats().scrape_connections).max().expect("engines")
    });
    let to = nginx.address();
    let unknown = Meanwhile::start(1, move || {
        std::thread::sleep(Duration::from_millis(20));
        let answer = Connection::open(to)?.get("/tblb?format=json")?;
        let status = Status::parse(&answer.body);
        Ok::<_, String>(status.peers("llm").filter(|peer| peer.text("state") == "unknown").count())
    });
    for _ in 0..RELOADS {
        nginx.reload();
        std::thread::sleep(PAUSE);
    }
    let answers = clients.end();
    let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of {} requests failed: {failed:?}", failed.len(), answers.len());
    assert!(answers.len() > 10 * RELOADS, "{} requests", answers.len());
    let unknown = unknown.end();
    assert!(unknown.len() > RELOADS && unknown.iter().all(|answer| *answer == Ok(0)), "{unknown:?}");
    let most = pollers.end().into_iter().max();
    assert_eq!(most, Some(1), "connections of pollers to one engine at a time");

    wait_for("the old processes are gone", || (nginx.processes().len() == 3).then_some(()));
    nginx.wait_for("one of the workers polls", |status| {
        let polling: Vec<_> = nginx.workers().into_iter().filter(|pid| poller_threads(*pid) > 0).collect();
        (polling.len() == 1 && status.poller() == Some(polling[0])).then_some(())
    });
    nginx.wait_until_all("fresh");
    let after = nginx.status();
    assert_eq!(after.sum("llm", "in_flight"), 0);
    assert_eq!(after.sum("llm", "failures"), 0);
    for name in &names {
        let [before, after] =
            [&before, &after].map(|status| status.peer("llm", name).part("polls").count("count"));
        assert!(before < after, "polls are counted on: {before}, {after}");
        assert!(engines.iter().all(|engine| engine.stats().refused == 0));
    }
    nginx.quit();
}

/// The module, the board: over a reload the counts of a server go with its name, those of one that is gone are not
/// another's, and a new one is unknown until it answers.
/// Promise 9.
#[test]
fn counts_go_with_the_server() {
    let engines = engines::several(3);
    let names: Vec<_> = engines.iter().map(|engine| engine.addr().to_string()).collect();
    let config = |names: &[String]| {
        Config::new(upstream("llm", "zone llm 64k; tblb; tblb_metrics interval=50ms timeout=5s;", names))
    };
    let mut nginx = config(&names[..2]).start();
    nginx.wait_until_all("fresh");
    (0..20).for_each(|_| assert_eq!(nginx.get("/v1/models").status, 200));
    let picks = nginx.status().peer("llm", &names[1]).count("picks");
    assert!(picks > 0);

    nginx.reload_with(&config(&[names[2].clone(), names[1].clone()]));
    let status = nginx.status();
    let [new, kept] = [2, 1].map(|index| status.peer("llm", &names[index]));
    assert_eq!((kept.count("picks"), kept.text("engine")), (picks, "vllm"));
    assert_ne!(kept.text("state"), "unknown");
    assert_eq!((new.count("picks"), new.text("state")), (0, "unknown"));
    nginx.wait_until_all("fresh");
}

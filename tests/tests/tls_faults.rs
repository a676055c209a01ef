//! Engines whose https is not to be trusted, or hangs.

use std::net::TcpListener;
use std::time::Duration;
use tblb_tests::certificates::{authority, engine};
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines::{COMPLETIONS, completion, name};
use tblb_tests::meanwhile::ages;
use tblb_tests::nginx::Nginx;
use tblb_tests::process::Taken;

/// Waits until each of these servers has had so many polls that ended so, and no other.
fn wait_for_faults(nginx: &Nginx, faults: &[(String, &str)], polls: u64) {
    nginx.wait_for("each fault has its kind", |status| {
        let counted = |(server, kind): &(String, &str)| {
            let of = status.peer("llm", server).part("polls");
            of.text("fault") == *kind && of.part("faults").0[*kind].as_u64() >= Some(polls)
        };
        faults.iter().all(counted).then_some(())
    });
}

/// Metrics come from nobody but who proves to be the engine: each kind of certificate that is not good, and a handshake
/// that stalls, is named in the status and told once, while requests go on (nginx itself does not look at certificates
/// unless it is told to), the metrics of the engine that is good stay younger than two intervals, and what the workers
/// take stays.
/// Promises 2, 5 and 10.
#[test]
fn certificates_that_are_not_good() {
    let (known, unknown) = (authority("known"), authority("unknown"));
    let good = engine(&known, "127.0.0.1", 2100);
    let bad = [
        (engine(&known, "127.0.0.1", 2001), "tls_expired"),
        (engine(&known, "llm.example", 2100), "tls_name"),
        (engine(&unknown, "127.0.0.1", 2100), "tls_authority"),
    ];
    // Connections are made by the system, and nobody ever says anything.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = (silent.local_addr().expect("an address").to_string(), silent);
    let faults: Vec<_> = bad.iter().map(|(engine, kind)| (name(engine), *kind)).collect();
    let faults: Vec<_> = faults.into_iter().chain([(silent.0.clone(), "timeout")]).collect();
    let servers = [name(&good)].into_iter().chain(bad.iter().map(|(engine, _)| name(engine)));
    let servers = servers.chain([format!("{} down", silent.0)]);
    let first = "zone llm 128k; tblb; tblb_metrics scheme=https ssl_trusted_certificate=known.pem \
                 interval=500ms timeout=500ms stale=60s;";
    let nginx = Config::new(upstream("llm", first, servers))
        .server("location /v1/ { proxy_pass https://llm; }")
        .file("known.pem", known.pem())
        .start();
    nginx.wait_for("the good one is fresh", |status| {
        (status.peer("llm", &name(&good)).text("state") == "fresh").then_some(())
    });
    let ages = ages(&nginx, [name(&good)]);
    wait_for_faults(&nginx, &faults, 2);
    for _ in 0..20 {
        let answer = Connection::open(nginx.address())
            .and_then(|mut connection| connection.send("POST", COMPLETIONS, &[], &completion(2)));
        assert_eq!(answer.map(|answer| answer.status), Ok(200));
    }
    let before = Taken::by(&nginx.workers());
    wait_for_faults(&nginx, &faults, 4);
    ages.end_within_two(Duration::from_millis(500));
    Taken::by(&nginx.workers()).is_as(&before);
    assert_eq!(good.stats().most_scrapes, 1, "polls at a time");
    let status = nginx.status();
    let peer = status.peer("llm", &name(&good));
    assert_eq!((peer.text("state"), peer.part("polls").text("fault")), ("fresh", "null"));
    for (server, kind) in &faults {
        assert_eq!(status.peer("llm", server).text("state"), "unknown", "{kind}");
        let lines = nginx.log_with(&format!("metrics of {server} in upstream"));
        assert!(lines.len() == 1 && lines[0].ends_with(kind), "{lines:?}");
    }
}

//! Metrics that cannot be had: each fault is counted by its kind and logged once, and harms nobody else.

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines::{self, COMPLETIONS, Engine, completion, name};
use tblb_tests::faults::{CASES, Patient};
use tblb_tests::meanwhile::{ages, load};
use tblb_tests::nginx::Nginx;
use tblb_tests::process::Taken;
use tblb_tests::wait_for;

/// How often engines are polled: two of it are long enough for a busy machine.
const INTERVAL: Duration = Duration::from_millis(500);

/// An address where connections are refused or, with a queue of connections that is full, hang.
struct Closed {
    address: SocketAddr,
    _sockets: Vec<OwnedFd>,
}

impl Closed {
    fn refusing() -> Closed {
        let bound = nonblocking();
        bind(&bound, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // Nobody listens there, and nobody else can.
        let address = getsockname(&bound).expect("its address").try_into().expect("an IPv4 address");
        Closed { address, _sockets: vec![bound] }
    }

    fn hanging() -> Closed {
        let Closed { address, _sockets: mut sockets } = Closed::refusing();
        listen(&sockets[0], 0).expect("a listener");
        for _ in 0..8 {
            let waiting = nonblocking();
            // It is under way, or has to wait for ever.
            let _ = connect(&waiting, &address);
            sockets.push(waiting);
        }
        Closed { address, _sockets: sockets }
    }
}

fn nonblocking() -> OwnedFd {
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None).expect("a socket")
}

/// Waits until each of these servers has had some polls that ended so, and no other.
fn wait_for_faults(nginx: &Nginx, faults: &[(String, &str)]) {
    nginx.wait_for("all faults are counted", |status| {
        let counted = |(server, fault): &(String, &str)| {
            let polls = status.peer("llm", server).part("polls");
            polls.text("fault") == *fault && polls.part("faults").0[*fault].as_u64() >= Some(2)
        };
        faults.iter().all(counted).then_some(())
    });
}

/// The module, bad input: a metrics page that cannot be used is counted by kind, shown, and logged once; requests go
/// on, the metrics of other engines stay younger than two intervals, what the workers take stays, redirects are not
/// followed; and when the page is well again it is used again.
/// Promises 2, 5 and 10.
#[test]
fn metrics_that_cannot_be_used() {
    let well = engines::several(2);
    let patients = CASES.map(Patient::start);
    let (ill, odd): (Vec<_>, Vec<_>) = patients.iter().partition(|patient| patient.case.kind.is_some());
    let faults: Vec<_> =
        ill.iter().map(|patient| (patient.name(), patient.case.kind.unwrap_or_default())).collect();
    patients.iter().for_each(Patient::fall_ill);
    let closed = [(Closed::refusing(), "refused"), (Closed::hanging(), "connect_timeout")];
    let unreachable: Vec<_> =
        closed.iter().map(|(closed, word)| (closed.address.to_string(), *word)).collect();
    let servers = well.iter().map(name).chain(patients.iter().map(Patient::name));
    let servers = servers.chain(unreachable.iter().map(|(server, _)| format!("{server} down")));
    let first = "zone llm 128k; tblb; tblb_metrics interval=500ms timeout=800ms stale=60s;";
    let nginx = Config::new(upstream("llm", first, servers)).start();
    // Two requests that are over before an engine is asked again would speak against what it says.
    let clients = load(nginx.address(), 1, 5);
    let well = wait_until_fresh(&nginx, &well);
    let ages = ages(&nginx, well);
    wait_for_faults(&nginx, &faults);
    wait_for_faults(&nginx, &unreachable);
    let status = nginx.status();
    for (server, word) in faults.iter().chain(&unreachable) {
        assert_eq!(status.peer("llm", server).text("state"), "unknown", "{word}");
        let signals = ["waiting", "running", "cache"].map(|name| status.peer("llm", server).number(name));
        assert_eq!(signals, [None; 3], "{word}: unknown, not 0");
        let line = last_line(&nginx, server, 1);
        assert!(line.contains("[warn]") && line.contains("no metrics") && line.ends_with(word), "{line}");
    }
    for patient in odd {
        assert_eq!(status.peer("llm", &patient.name()).text("state"), "fresh", "{:?}", patient.case);
    }
    let before = Taken::by(&nginx.workers());

    // What lasts for one poll only is not told; so the next change is made when this one was.
    patients.iter().for_each(Patient::recover);
    faults.iter().for_each(|(server, _)| assert!(last_line(&nginx, server, 2).contains("\" by ")));
    let status = nginx.status();
    assert!(faults.iter().all(|(server, _)| status.peer("llm", server).text("state") == "fresh"));
    patients.iter().for_each(Patient::fall_ill);
    faults.iter().for_each(|(server, word)| assert!(last_line(&nginx, server, 3).ends_with(word)));
    assert!(!patients.iter().any(Patient::was_followed));
    assert!(patients.iter().all(|patient| patient.engine.stats().most_scrapes == 1), "polls at a time");
    ages.end_within_two(INTERVAL);
    Taken::by(&nginx.workers()).is_as(&before);
    clients.end_well();
    let answer = nginx.connect().send("POST", COMPLETIONS, &[], &completion(2)).expect("an answer");
    assert_eq!(answer.status, 200);
}

/// Waits until the metrics of these are fresh, and gives their names.
fn wait_until_fresh(nginx: &Nginx, well: &[Engine]) -> Vec<String> {
    let names = engines::names(well);
    nginx.wait_for("others are fresh", |status| {
        names.iter().all(|name| status.peer("llm", name).text("state") == "fresh").then_some(())
    });
    names
}

/// Waits until the log tells of a server's metrics so often, and gives the last line.
fn last_line(nginx: &Nginx, server: &str, lines: usize) -> String {
    wait_for(&format!("{lines} lines of {server}"), || {
        let told = nginx.log_with(&format!("metrics of {server} in upstream \"llm\""));
        (told.len() == lines).then(|| told[lines - 1].clone())
    })
}

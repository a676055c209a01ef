//! Servers that come and go in the DNS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, build, upstream};
use tblb_tests::dns::{Dns, FOLLOWED_SINCE};
use tblb_tests::meanwhile::Meanwhile;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::Node;
use tblb_tests::process::memory_kb;
use tblb_tests::wait_for;

const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

/// Nodes at the three addresses, all at one port.
fn nodes() -> [Node; 3] {
    let first = Node::start_at(SocketAddr::from((ADDRESSES[0], 0)));
    let port = first.address().port();
    let [_, second, third] = ADDRESSES;
    [first, Node::start_at((second, port).into()), Node::start_at((third, port).into())]
}

/// The module: while servers come and go in the DNS, requests go on, new servers are polled and get requests, and nothing
/// is left in flight at those that went. Older versions of nginx refuse the parameter.
/// Promise 4.
#[test]
fn servers_come_and_go() {
    let nodes = nodes();
    let dns = Dns::start(&ADDRESSES[..2]);
    let first = format!(
        "zone llm 256k; resolver {} valid=1s ipv6=off; tblb; \
         tblb_metrics interval=50ms timeout=5s stale=30s; keepalive 8;",
        dns.address()
    );
    let server = format!("engines.test:{} resolve", nodes[0].address().port());
    let config = Config::new(upstream("llm", &first, [server]));
    if build().version < FOLLOWED_SINCE {
        let checked = config.check();
        assert!(!checked.right && checked.said.contains("resolve"), "{}", checked.said);
        return;
    }
    let nginx = config.start();
    let are_there = |expected: &[usize]| {
        nginx.wait_for(&format!("{expected:?} are there"), |status| {
            let names: Vec<_> = expected.iter().map(|at| nodes[*at].name()).collect();
            let there = status.peers("llm").filter(|peer| peer.text("state") == "fresh");
            let mut there: Vec<_> = there.map(|peer| peer.text("server").to_owned()).collect();
            there.sort();
            (there == names).then_some(())
        });
    };
    are_there(&[0, 1]);
    let to = nginx.address();
    let load = Meanwhile::start(4, move || {
        std::thread::sleep(Duration::from_millis(5));
        Connection::open(to)?.get("/tokens").map(|answer| answer.status)
    });
    for (now, addresses) in
        [(&[1, 2][..], &ADDRESSES[1..]), (&[0][..], &ADDRESSES[..1]), (&[0, 1, 2][..], &ADDRESSES[..])]
    {
        dns.answer(addresses);
        are_there(now);
    }
    let picks = |at: usize| nginx.status().peer("llm", &nodes[at].name()).count("picks");
    let before = picks(2);
    nginx.wait_for("the newest server gets requests", |_| (picks(2) > before + 10).then_some(()));
    let statuses = load.end();
    assert!(statuses.iter().all(|status| *status == Ok(200)), "{} requests", statuses.len());
    nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
}

/// nginx with one worker and an upstream of a large zone, whose servers are these ports of all addresses that the DNS knows; None
/// where nginx knows no `resolve`.
fn start(dns: &Dns, nodes: &[Node]) -> Option<Nginx> {
    let first =
        format!("zone llm 10m; resolver {} valid=1s ipv6=off; tblb; tblb_metrics off;", dns.address());
    let servers = nodes.iter().map(|node| format!("engines.test:{} resolve", node.address().port()));
    let config = Config::new(upstream("llm", &first, servers)).workers(1);
    (build().version >= FOLLOWED_SINCE).then(|| config.start())
}

/// Nodes that listen at all addresses of this machine, each at a port of its own.
fn everywhere(n: usize) -> Vec<Node> {
    (0..n).map(|_| Node::start_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))).collect()
}

/// The module: shared memory follows the servers that there are, and not those that a large zone could hold.
/// Promise 5.
#[test]
fn memory_follows_the_servers_that_there_are() {
    let (dns, nodes) = (Dns::start(&ADDRESSES[..2]), everywhere(1));
    let Some(nginx) = start(&dns, &nodes) else { return };
    nginx.wait_for("two servers", |status| (status.peers("llm").count() == 2).then_some(()));
    for _ in 0..20 {
        assert_eq!(nginx.get("/tokens").status, 200);
    }
    // The worker looks after its slots and rows four times a second.
    std::thread::sleep(Duration::from_secs(1));
    let processes = [nginx.master(), nginx.workers()[0]];
    let shared = processes.map(|pid| memory_kb(pid, "RssShmem"));
    println!("{shared:?} kB shared");
    assert!(shared.iter().all(|kb| *kb < 2048), "{shared:?} kB");
}

/// The module: servers beyond the room of the shared zone get requests without being measured, which the log and the status
/// report; after a reload there is room for them.
/// Promise 2.
#[test]
fn servers_beyond_the_room_serve_unmeasured() {
    let addresses: Vec<_> = (1..=250).map(|n| Ipv4Addr::new(127, 0, 1, n)).collect();
    let (dns, nodes) = (Dns::start(&addresses), everywhere(5));
    let Some(nginx) = start(&dns, &nodes) else { return };
    let all = nodes.len() * addresses.len();
    nginx.wait_for("all servers", |status| (status.peers("llm").count() == all).then_some(()));
    let unmeasured = nginx.status().upstream("llm").count("unmeasured");
    println!("{unmeasured} of {all} servers have no room");
    assert!((1..200).contains(&unmeasured), "{unmeasured}");
    let warned = "tblb: the shared zone has no room for ";
    wait_for("a warning", || (!nginx.log_with(warned).is_empty()).then_some(()));
    for _ in 0..100 {
        assert_eq!(nginx.get("/tokens").status, 200);
    }
    let warnings = nginx.log_with(warned);
    assert!(warnings.len() == 1 && warnings[0].contains("[warn]"), "{warnings:?}");
    nginx.reload();
    nginx.wait_for("room for all", |status| {
        (status.peers("llm").count() == all && status.upstream("llm").count("unmeasured") == 0).then_some(())
    });
}

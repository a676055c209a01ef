//! Servers that come and go in the DNS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, build, upstream};
use tblb_tests::dns::{Dns, FOLLOWED_SINCE};
use tblb_tests::meanwhile::Meanwhile;
use tblb_tests::node::Node;

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

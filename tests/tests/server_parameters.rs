//! The parameters of `server`, and what else nginx does around a method, mean what they mean with least_conn.

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, build, upstream};
use tblb_tests::engines::{self, COMPLETIONS, Options, Tls, completion};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Mood, Node};
use tblb_tests::wait_for;

/// The method with and without metrics, and in a zone and outside of one.
const METHODS: [&str; 4] = [
    "tblb; tblb_metrics off;",
    "zone llm 64k; tblb; tblb_metrics off;",
    "tblb s1 waiting=0 cache=1; tblb_metrics interval=50ms timeout=5s;",
    "zone llm 64k; tblb s1 waiting=0 cache=1; tblb_metrics interval=50ms timeout=5s;",
];

/// One worker, where the counts of an upstream without a zone are those of all requests.
fn start(method: &str, servers: &[String]) -> Nginx {
    let nginx = Config::new(upstream("llm", method, servers)).workers(1).start();
    if !method.contains("off") {
        // Those that answer: a server that is down is polled too, as it may come back.
        nginx.wait_for("metrics", |status| {
            status.peers("llm").any(|peer| peer.text("state") == "fresh").then_some(())
        });
    }
    nginx
}

/// An address where connections are refused, for as long as this lives.
struct Refusing {
    _socket: rustix::fd::OwnedFd,
    address: SocketAddr,
}

impl Refusing {
    fn new() -> Refusing {
        let bound = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&bound, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // Nobody listens there, and nobody else can.
        let address = getsockname(&bound).expect("its address").try_into().expect("an IPv4 address");
        Refusing { _socket: bound, address }
    }
}

fn with(node: &Node, parameters: &str) -> String {
    format!("{} {parameters}", node.name())
}

/// Promise 1, weight: with scores that are equal the shares are those of the weights (without metrics,
/// `without_metrics_it_is_least_conn_to_the_letter` has weights).
#[test]
fn weight() {
    let nodes = Node::several(2);
    let nginx = start(METHODS[3], &[with(&nodes[0], "weight=3"), nodes[1].name()]);
    nginx.wait_until_all("fresh");
    let mut connection = nginx.connect();
    let mut first = 0.0;
    for _ in 0..800 {
        let answer = connection.get("/").expect("an answer");
        first += f64::from(u8::from(answer.header("x-upstream") == nodes[0].name()));
    }
    // 800 · 3/4, and five standard deviations of a binomial.
    assert!((first - 600.0_f64).abs() <= 5.0 * (800.0_f64 * 0.75 * 0.25).sqrt(), "{first}");
    assert_eq!(nginx.status().peer("llm", &nodes[0].name()).count("weight"), 3);
}

/// Promise 1, max_conns: a server that has as many requests gets no more, and gets them again when it has fewer.
#[test]
fn max_conns() {
    for method in METHODS {
        let nodes = Node::several(2);
        let servers = [with(&nodes[0], "max_conns=1"), with(&nodes[1], "max_conns=2")];
        let nginx = start(method, &servers);
        let mut held: Vec<_> = (0..3).map(|n| nginx.stream(&format!("/hold/{n}"))).collect();
        assert!(held.iter().all(|stream| stream.status == 200));
        let at = |node: &Node| held.iter().filter(|held| held.header("x-upstream") == node.name()).count();
        assert_eq!([at(&nodes[0]), at(&nodes[1])], [1, 2], "{method}");
        let refused = nginx.get("/");
        assert_eq!((refused.status, refused.header("x-upstream")), (502, "llm"), "{method}");
        let freed = held[0].header("x-upstream").to_owned();
        nodes.iter().for_each(|node| node.release("0"));
        assert_eq!(held[0].rest(), Ok("held.\n".to_owned()));
        assert_eq!(nginx.get("/").header("x-upstream"), freed, "{method}");
    }
}

/// Sends requests until so many of them have failed at a node first; all are answered all the same.
fn fail(nginx: &Nginx, node: &Node, times: u64) {
    let before = node.seen().requests;
    wait_for("failures", || {
        assert_eq!(nginx.get("/").status, 200);
        (node.seen().requests == before + times).then_some(())
    });
}

/// Promise 1, max_fails: a server that failed so often gets nothing. Its failures are counted.
#[test]
fn max_fails() {
    for method in METHODS {
        let nodes = Node::several(2);
        nodes[0].set_mood(Mood::Close);
        let servers = [with(&nodes[0], "max_fails=2 fail_timeout=60s"), nodes[1].name()];
        let nginx = start(method, &servers);
        fail(&nginx, &nodes[0], 2);
        let status = nginx.status();
        let peer = status.peer("llm", &nodes[0].name());
        assert_eq!((peer.count("failures"), peer.count("completions")), (2, 0), "{method}: {peer:?}");
        assert_eq!(peer.0["down"], true, "{method}");
        for _ in 0..20 {
            assert_eq!(nginx.get("/").header("x-upstream"), nodes[1].name(), "{method}");
        }
    }
}

/// Promise 1, fail_timeout: after that time a server that failed gets requests again.
#[test]
fn fail_timeout() {
    for method in METHODS {
        let nodes = Node::several(2);
        nodes[0].set_mood(Mood::Close);
        let nginx = start(method, &[with(&nodes[0], "fail_timeout=1s"), nodes[1].name()]);
        fail(&nginx, &nodes[0], 1);
        nodes[0].set_mood(Mood::Well);
        wait_for("it gets requests again", || {
            (nginx.get("/").header("x-upstream") == nodes[0].name()).then_some(())
        });
    }
}

/// Promise 1, max_fails=0: nginx never takes the server out. What the algorithms count themselves is another matter: under
/// them a server that fails is tried now and then.
#[test]
fn max_fails_of_0() {
    let nodes = Node::several(2);
    nodes[0].set_mood(Mood::Close);
    for method in METHODS {
        let nginx = start(method, &[with(&nodes[0], "max_fails=0"), nodes[1].name()]);
        let before = nodes[0].seen().requests;
        let tries = if method.contains("least_conn") { 10 } else { 2 };
        wait_for("tries", || {
            assert_eq!(nginx.get("/").status, 200, "{method}");
            (nodes[0].seen().requests >= before + tries).then_some(())
        });
        assert_eq!(nginx.status().peer("llm", &nodes[0].name()).0["down"], false, "{method}");
    }
}

/// Promise 1, a server that refuses connections: requests go on to others.
#[test]
fn a_refusing_server_costs_no_request() {
    for method in METHODS {
        let (refusing, node) = (Refusing::new(), Node::start());
        let nginx = start(method, &[refusing.address.to_string(), node.name()]);
        for _ in 0..20 {
            let answer = nginx.get("/");
            assert_eq!(answer.status, 200, "{method}");
            assert!(answer.header("x-upstream").ends_with(&node.name()), "{method}");
        }
    }
}

/// Promise 1, backup: such servers get requests only when no other can take them, and several of them are balanced
/// as the others are.
#[test]
fn backup() {
    for method in METHODS {
        let nodes = Node::several(4);
        let servers = [
            with(&nodes[0], "max_fails=0"),
            with(&nodes[1], "max_fails=0"),
            with(&nodes[2], "backup"),
            with(&nodes[3], "backup"),
        ];
        let nginx = start(method, &servers);
        (0..20).for_each(|_| assert_eq!(nginx.get("/").status, 200));
        assert_eq!(nodes[2].seen().requests + nodes[3].seen().requests, 0, "{method}");
        nodes[..2].iter().for_each(|node| node.set_mood(Mood::Close));
        wait_for("both backup servers serve", || {
            let answer = nginx.get("/");
            assert_eq!(answer.status, 200, "{method}");
            // Both of the others were tried before.
            assert_eq!(answer.header("x-upstream").split(", ").count(), 3, "{method}");
            nodes[2..].iter().all(|node| node.seen().requests > 0).then_some(())
        });
        let status = nginx.status();
        let backup: Vec<_> = status.peers("llm").map(|peer| peer.0["backup"] == true).collect();
        assert_eq!(backup, [false, false, true, true], "{method}");
        assert_eq!(status.sum("llm", "in_flight"), 0, "{method}");
    }
}

/// Promise 1, down: such a server gets nothing, whatever it reports.
#[test]
fn down() {
    for method in METHODS {
        let nodes = Node::several(3);
        nodes[1].report(0.0, 0.0, 0.9);
        nodes[2].report(0.0, 0.0, 0.9);
        let nginx = start(method, &[with(&nodes[0], "down"), nodes[1].name(), nodes[2].name()]);
        (0..40).for_each(|_| assert_eq!(nginx.get("/").status, 200));
        assert_eq!(nodes[0].seen().requests, 0, "{method}");
        let status = nginx.status();
        assert_eq!(status.peer("llm", &nodes[0].name()).0["down"], true, "{method}");
        assert_eq!(status.sum("llm", "picks"), 40, "{method}");
    }
}

/// Promise 1, an upstream of one server: it is round robin's, which never holds failures against it.
#[test]
fn a_single_server() {
    for method in METHODS {
        let node = Node::start();
        let nginx = start(method, &[node.name()]);
        node.set_mood(Mood::Close);
        (0..5).for_each(|_| assert_eq!(nginx.get("/").status, 502, "{method}"));
        node.set_mood(Mood::Well);
        let answer = nginx.get("/");
        assert_eq!((answer.status, answer.header("x-reason")), (200, "single"), "{method}");
        let status = nginx.status();
        let peer = status.peer("llm", &node.name());
        assert_eq!(
            (peer.count("picks"), peer.count("failures"), peer.count("completions")),
            (6, 5, 1),
            "{method}"
        );
    }
}

/// The module, keepalive: connections to engines are used again.
#[test]
fn keepalive() {
    for method in METHODS {
        let nodes = Node::several(2);
        let nginx = start(&format!("{method} keepalive 8;"), &[nodes[0].name(), nodes[1].name()]);
        let mut connection = nginx.connect();
        (0..60).for_each(|_| assert_eq!(connection.get("/").map(|answer| answer.status), Ok(200)));
        for node in &nodes {
            let seen = node.seen();
            assert!(seen.requests > 10, "{method}: {seen:?}");
            assert_eq!(seen.connections, 1, "{method}: {seen:?}");
        }
        assert_eq!(nginx.status().sum("llm", "completions"), 60, "{method}");
    }
}

/// The module, proxy_next_upstream: a request that an engine refuses goes on to the next, each of which is told in
/// the variables, and is a failure.
#[test]
fn next_upstream() {
    for method in METHODS {
        let nodes = Node::several(2);
        nodes[0].set_mood(Mood::Status(503));
        let http = upstream("llm", method, [with(&nodes[0], "max_fails=0"), with(&nodes[1], "max_fails=0")]);
        let nginx = Config::new(http).server("proxy_next_upstream error http_503;").workers(1).start();
        let both = format!("{}, {}", nodes[0].name(), nodes[1].name());
        let answer = wait_for("a request that goes to both", || {
            let answer = nginx.get("/");
            assert_eq!(answer.status, 200, "{method}");
            (answer.header("x-upstream") == both).then_some(answer)
        });
        assert_eq!(answer.header("x-algorithm").split(", ").count(), 2, "{method}");
        assert_eq!(answer.header("x-reason").split(", ").count(), 2, "{method}");
        let status = nginx.status();
        let refused = status.peer("llm", &nodes[0].name());
        assert_eq!(
            (refused.count("failures"), refused.count("completions")),
            (refused.count("picks"), 0),
            "{method}"
        );
        assert_eq!(status.peer("llm", &nodes[1].name()).count("failures"), 0, "{method}");
        nodes[1].set_mood(Mood::Status(503));
        assert_eq!(nginx.get("/").status, 503, "{method}");
    }
}

/// The module, https upstreams: requests and polls are encrypted, and TLS sessions are taken up again.
#[test]
fn https_upstreams() {
    let signed = rcgen::generate_simple_self_signed(["engine".to_owned()]).expect("a certificate");
    let certificate = signed.cert.pem();
    let tls = Tls {
        certificates: certificate.clone().into_bytes(),
        key: signed.signing_key.serialize_pem().into_bytes(),
    };
    let engines: Vec<_> =
        (0..2).map(|_| engines::start(&Options { tls: Some(tls.clone()), ..engines::options() })).collect();
    let polled = "tblb; tblb_metrics scheme=https ssl_trusted_certificate=engine.pem ssl_name=engine interval=50ms timeout=5s;";
    for zone in ["", "zone llm 64k;"] {
        let servers = engines.iter().map(|engine| engine.addr().to_string());
        let config = Config::new(upstream("llm", &format!("{zone} {polled}"), servers))
            .server("location /v1/ { proxy_pass https://llm; }")
            .file("engine.pem", &certificate)
            .workers(1);
        let nginx = config.start();
        nginx.wait_until_all("fresh");
        for _ in 0..20 {
            let answer = nginx.connect().send("POST", COMPLETIONS, &[], &completion(2)).expect("an answer");
            assert_eq!(answer.status, 200);
            assert!(answer.body.ends_with("data: [DONE]\n\n"), "{}", answer.body);
        }
        assert_eq!(nginx.status().sum("llm", "completions"), 20);
    }
}

/// The module, subrequests: those of auth_request are picks of their own, end as others do, and are no first tokens.
#[test]
fn subrequests() {
    build().require("--with-http_auth_request_module");
    for method in METHODS {
        let nodes = Node::several(2);
        let http = upstream("llm", method, nodes.iter().map(Node::name));
        let location = "location /v1/ { auth_request /auth; proxy_pass http://llm; }\n\
                        location = /auth { internal; proxy_pass http://llm; proxy_pass_request_body off; }";
        let nginx = Config::new(http).server(location).workers(1).start();
        for _ in 0..10 {
            let answer = nginx.get("/v1/tokens");
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{method}");
        }
        let status = nginx.status();
        let sum = |name| status.sum("llm", name);
        assert_eq!((sum("picks"), sum("completions"), sum("in_flight")), (20, 20, 0), "{method}");
        let samples: u64 = status.peers("llm").map(|peer| peer.part("ttft_ms").count("count")).sum();
        assert_eq!(samples, 10, "{method}");
        nodes.iter().for_each(|node| node.set_mood(Mood::Status(403)));
        assert_eq!(nginx.get("/v1/tokens").status, 403, "{method}");
    }
}

/// The module, HTTP/2: its streams are balanced and counted as requests are, and those that a client gives up are
/// no more in flight.
#[test]
fn http2() {
    for method in METHODS {
        let nodes = Node::several(2);
        let http = upstream("llm", method, nodes.iter().map(Node::name));
        let nginx = Config::new(http).http2().workers(1).start();
        let mut connection = Connection::open_http2(nginx.http2_address()).expect("a connection");
        for _ in 0..20 {
            let answer = connection.get("/tokens").expect("an answer");
            assert_eq!((answer.status, answer.body.as_str()), (200, "first\nrest.\n"), "{method}");
        }
        let mut stream = connection.stream("GET", "/hold/1", "").expect("an answer");
        assert!(stream.piece().expect("a piece").is_some());
        assert_eq!(nginx.status().sum("llm", "in_flight"), 1, "{method}");
        drop(stream);
        nginx.wait_for("nothing is in flight", |status| (status.sum("llm", "in_flight") == 0).then_some(()));
        let status = nginx.status();
        assert_eq!((status.sum("llm", "completions"), status.sum("llm", "aborts")), (20, 1), "{method}");
        assert!(nodes.iter().all(|node| node.seen().requests > 0), "{method}");
    }
}

/// The module, proxy_connect_timeout and proxy_read_timeout: an engine that hangs is a failure.
#[test]
fn an_engine_that_hangs_is_a_failure() {
    let node = Node::start();
    let http = upstream("llm", METHODS[0], [node.name()]);
    let nginx = Config::new(http).server("proxy_read_timeout 200ms;").workers(1).start();
    let mut stream = nginx.stream("/hold/1");
    assert!(stream.piece().expect("a piece").is_some());
    assert!(stream.rest().is_err(), "the stream breaks off");
    nginx.wait_for("a failure", |status| (status.sum("llm", "failures") == 1).then_some(()));
    assert_eq!(nginx.status().sum("llm", "in_flight"), 0);
}

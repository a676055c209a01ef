//! Same inputs and seed, same picks: what nginx picked under load is picked again from its record.

use rustix::process::Signal;
use std::collections::HashSet;
use std::time::Duration;
use tblb_core::picker::Record;
use tblb_sim::replay::{Replayed, replay};
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::engines::{self, COMPLETIONS, Engine, completion};
use tblb_tests::meanwhile::Meanwhile;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Mood, Node};
use tblb_tests::{process, wait_for, wait_within};

/// Upstreams by their methods: by work, by scores at random, and nginx's own; and one of all that a directive can say.
const METHODS: [(&str, &str); 4] = [
    ("work", "tblb least_work;"),
    ("random", "tblb s2_enhanced waiting=0.5 cache=0.5 running=0; tblb_limit running=2;"),
    ("conn", "tblb least_conn;"),
    ("bypass", "tblb s1 waiting=3 cache=1 pick=best; tblb_bypass on;"),
];

/// Picks of each upstream that are waited for.
const PICKS: usize = 1000;

/// Clients at a time: first fewer than the primary servers take, so that there is much to choose from, then more, so that
/// some go to the backup servers.
const CLIENTS: [usize; 2] = [6, 24];

fn lines(nginx: &Nginx, name: &str) -> String {
    nginx.read(&format!("{name}.picks"))
}

/// The first directive of a method.
fn first(method: &str) -> &str {
    method.split_inclusive(';').next().unwrap_or(method)
}

fn replayed(lines: &str) -> Replayed {
    replay(lines.as_bytes()).expect("records")
}

/// The same picks, made of something else.
fn changed(records: &[Record<'static>], change: impl Fn(&mut Record<'static>)) -> Replayed {
    let change = |record: &Record<'static>| {
        let mut record = record.clone();
        change(&mut record);
        serde_json::to_string(&record).expect("a line") + "\n"
    };
    replayed(&records.iter().map(change).collect::<String>())
}

/// Asks an upstream, with prompts that are short and long, until so many picks are written down.
fn load(nginx: &Nginx, name: &'static str, clients: usize, picks: usize) {
    let to = nginx.address();
    let clients = Meanwhile::start(clients, move || {
        let body = completion(2).replace("hello", &"hello ".repeat(fastrand::usize(1..1000)));
        let mut connection = Connection::open(to).expect("a connection");
        let answer =
            connection.send("POST", &format!("/of/{name}{COMPLETIONS}"), &[], &body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
    wait_within(Duration::from_secs(60), "hundreds of picks", || {
        (lines(nginx, name).lines().count() >= picks).then_some(())
    });
    clients.end();
}

/// nginx with the upstreams of [`METHODS`] before four primary servers, one that always fails, and two backup ones.
fn start(engines: &[Engine], failing: &Node) -> Nginx {
    let parameters =
        ["weight=2 max_conns=4", "max_conns=4", "max_conns=4", "max_conns=4", "backup", "backup"];
    let servers = engines.iter().zip(parameters).map(|(engine, with)| format!("{} {with}", engine.addr()));
    let servers: Vec<_> = servers.chain([format!("{} max_fails=0", failing.name())]).collect();
    let (mut http, mut locations) = (upstream("llm", "tblb; tblb_metrics off;", &servers), String::new());
    for (name, method) in METHODS {
        let first = format!(
            "zone {name} 64k; {method} tblb_metrics interval=50ms timeout=5s stale=30s; \
             tblb_record {name}.picks max_size=64m;"
        );
        http += &upstream(name, &first, &servers);
        locations += &format!(
            "location /of/{name}/ {{ proxy_pass http://{name}/; proxy_next_upstream error non_idempotent; }}\n"
        );
    }
    Config::new(http).server(&locations).start()
}

/// Every pick of two workers under load is written down, first tries, retries and backup servers alike, and each is
/// picked again.
/// Promise 8.
#[test]
fn what_nginx_picked_under_load_is_picked_again() {
    let engines = engines::several(6);
    let failing = Node::start();
    failing.set_mood(Mood::Close);
    let nginx = start(&engines, &failing);
    let mut workers = HashSet::new();
    for (name, method) in METHODS {
        load(&nginx, name, CLIENTS[0], PICKS / 2);
        load(&nginx, name, CLIENTS[1], PICKS);
        let Replayed { records, differences } = replayed(&lines(&nginx, name));
        assert!(differences.is_empty(), "{name}: {} differ: {:#?}", differences.len(), differences[0]);
        let whose = |record: &Record| record.upstream == name && record.directives.starts_with(first(method));
        assert!(records.iter().all(whose), "{name}: {:?}", records[0]);
        are_of_all_kinds(&nginx, name, &records);
        differs_where_something_else_is_recorded(name, &records);
        workers.extend(records.iter().map(|record| record.pid));
    }
    assert_eq!(workers, nginx.workers().into_iter().collect(), "both workers pick");
}

/// There are picks among many servers, among backup ones, and for requests that failed at others before; and all that
/// nginx made are there.
fn are_of_all_kinds(nginx: &Nginx, name: &str, records: &[Record]) {
    let backup = records.iter().filter(|record| record.backup).count();
    assert!(backup > PICKS / 100, "{name}: {backup} at backup servers");
    let among_many = records.iter().filter(|record| record.candidates.len() > 3).count();
    assert!(among_many > PICKS / 10, "{name}: {among_many} among more than three");
    // nginx says of each request where it has been: as often as there are picks.
    let tries = wait_for("all requests in the access log", || {
        let logged = nginx.all_logged().into_iter();
        let logged = logged.filter(|logged| logged.path.contains(&format!("/of/{name}/")));
        let tries: Vec<_> = logged.map(|logged| logged.upstream.split(", ").count()).collect();
        (tries.iter().sum::<usize>() == records.len()).then_some(tries)
    });
    let retries = tries.iter().filter(|tries| **tries > 1).count();
    assert!(retries > PICKS / 100, "{name}: {retries} retries");
}

/// What was recorded decides: with anything else in it, picks come out otherwise.
fn differs_where_something_else_is_recorded(name: &str, records: &[Record<'static>]) {
    let one = changed(&records[..1], |record| record.picked.index += 1);
    assert_eq!(one.differences.len(), 1, "{name}: another pick");
    let differ = |what: &str, change: fn(&mut Record<'static>)| {
        let differences = changed(records, change).differences.len();
        assert!(differences > 0, "{name}: {what} makes no difference");
    };
    differ("the order of the peers", |record| record.candidates.to_mut().reverse());
    match name {
        "random" => differ("the seed", |record| record.seed ^= 1 << 40),
        "work" => differ("the work", |record| {
            record.candidates.to_mut().iter_mut().for_each(|peer| peer.known.work = None);
        }),
        _ => differ("nginx's count", |record| {
            record.candidates.to_mut().iter_mut().for_each(|peer| peer.conns = 100 - peer.conns);
        }),
    }
}

/// Promise 5: a record does not grow beyond its size; that is said once, requests go on, and when it is rotated as logs
/// are there is room again.
#[test]
fn a_record_stays_within_its_size_and_is_rotated() {
    let nodes = Node::several(2);
    let first = "zone llm 64k; tblb least_conn; tblb_metrics off; tblb_record picks max_size=4k;";
    let nginx = Config::new(upstream("llm", first, nodes.iter().map(Node::name))).workers(1).start();
    let mut connection = nginx.connect();
    let mut ask = || (0..100).for_each(|_| assert_eq!(connection.get("/").expect("an answer").status, 200));
    ask();
    let picks = nginx.read("picks");
    assert!(picks.len() <= 4096 && picks.len() > 2048, "{}", picks.len());
    assert!(replayed(&picks).differences.is_empty());
    let said =
        nginx.log_with("picks of upstream \"llm\" are not recorded: the file has reached its max_size");
    assert_eq!(said.len(), 1);
    std::fs::rename(nginx.path("picks"), nginx.path("picks.0")).expect("renamed");
    process::signal(nginx.master(), Signal::USR1);
    wait_for("another file", || {
        ask();
        replayed(&nginx.read("picks")).records.first().map(drop)
    });
    assert_eq!(nginx.read("picks.0"), picks);
}

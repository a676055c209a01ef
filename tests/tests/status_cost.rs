//! What the status costs the worker that serves it: 300 servers that name 32 models each.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use tblb_tests::PATIENCE;
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, whole};
use tblb_tests::process::{memory_kb, processor_ms};

const SERVERS: usize = 300;
const MODELS: usize = 32;

/// nginx with one worker, whose engines have all been polled; they are one node at many addresses.
fn start() -> (Nginx, Node) {
    let node = Node::start_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let page: String = (0..MODELS)
        .map(|n| format!("vllm:num_requests_running{{model_name=\"{}{n}\"}} 1\n", "m".repeat(60)))
        .collect();
    node.answer_metrics(&whole(200, &page));
    let port = node.address().port();
    let servers = (0..SERVERS).map(|n| format!("127.0.{}.{}:{port}", 1 + n / 250, 1 + n % 250));
    let http = upstream("llm", "zone llm 1m; tblb; tblb_metrics interval=1s timeout=5s stale=60s;", servers);
    let nginx = Config::new(http).workers(1).start();
    nginx.wait_until_all("fresh");
    (nginx, node)
}

fn connect(nginx: &Nginx) -> TcpStream {
    let socket = TcpStream::connect(nginx.address()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket
}

/// 300 requests for the header alone, on one connection at once, cost the worker next to nothing, and 300 for the whole as
/// much as a few.
/// Promise 5.
#[test]
fn many_requests_on_one_connection_hold_up_no_worker() {
    let (nginx, _node) = start();
    let worker = nginx.workers()[0];
    for (method, forms, most_ms) in
        [("HEAD", &["json", "html", "prometheus"][..], 100), ("GET", &["html"], 1000)]
    {
        for form in forms {
            let mut socket = connect(&nginx);
            let before = processor_ms(worker);
            let one = |close| format!("{method} /tblb?format={form} HTTP/1.1\r\nHost: x\r\n{close}\r\n");
            let all = one("").repeat(299) + &one("Connection: close\r\n");
            let mut sending = socket.try_clone().expect("the socket");
            let sender =
                std::thread::spawn(move || sending.write_all(all.as_bytes()).expect("they are sent"));
            let mut answers = Vec::new();
            socket.read_to_end(&mut answers).expect("the answers");
            sender.join().expect("it ends well");
            let count = answers.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count();
            assert_eq!(count, 300, "{method} {form}");
            let took = processor_ms(worker) - before;
            assert!(took < most_ms, "{method} {form}: {took} ms of the processor");
        }
    }
}

/// 200 clients that read nothing share one copy of the answer.
/// Promise 5.
#[test]
fn slow_readers_share_an_answer() {
    let (nginx, _node) = start();
    let worker = nginx.workers()[0];
    let get = || {
        let mut socket = connect(&nginx);
        socket.write_all(b"GET /tblb?format=prometheus HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is sent");
        socket
    };
    let first = nginx.get("/tblb?format=prometheus").body.len();
    assert!(first > 500_000, "{first} bytes");
    let before = memory_kb(worker, "VmRSS");
    let sockets: Vec<_> = (0..200).map(|_| get()).collect();
    std::thread::sleep(Duration::from_secs(1));
    let grown = memory_kb(worker, "VmRSS").saturating_sub(before);
    println!("{grown} kB for {} clients", sockets.len());
    // A copy for each would be 100 MB and more. nginx's own connections and requests are less than 2 MB.
    assert!(grown < 16 * 1024, "{grown} kB");
}

/// The models of a server are summed up, and listed in full on request.
#[test]
fn models_are_listed_in_full_on_request() {
    let (nginx, _node) = start();
    let models = |form: &str| {
        let status: serde_json::Value = serde_json::from_str(&nginx.get(form).body).expect("JSON");
        let peer = &status["upstreams"][0]["peers"][0];
        (peer["models"].as_array().map(Vec::len), peer["models_total"].as_u64())
    };
    assert_eq!(models("/tblb?format=json"), (Some(4), Some(MODELS as u64)));
    assert_eq!(models("/tblb?format=json&models=all"), (Some(MODELS), Some(MODELS as u64)));
}

//! Bodies of requests as clients send them: in chunks, without a length, as forms.

use std::io::{Read, Write};
use std::net::TcpStream;
use tblb_tests::client::Connection;
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Node, whole};

const POLLED: &str =
    "zone llm 64k; tblb; tblb_model $http_x_model; tblb_metrics interval=50ms timeout=5s stale=30s;";

/// Two vLLMs, one with the model `m1`, one with `m2`.
fn nodes() -> Vec<Node> {
    let nodes = Node::several(2);
    for (node, model) in nodes.iter().zip(["m1", "m2"]) {
        let page = format!(
            "vllm:num_requests_waiting{{model_name=\"{model}\"}} 0\nvllm:num_requests_running{{model_name=\"{model}\"}} 0\n"
        );
        node.answer_metrics(&whole(200, &page));
    }
    nodes
}

fn start(nodes: &[Node], buffers: &str) -> Nginx {
    let config = Config::new(upstream("llm", POLLED, nodes.iter().map(Node::name)));
    let nginx = config.server(&format!("client_max_body_size 16m; {buffers}")).http2().start();
    nginx.wait_until_all("fresh");
    nginx
}

/// Sends a request as it stands; gives the server that answered.
fn send(nginx: &Nginx, request: &[u8]) -> String {
    let mut client = TcpStream::connect(nginx.address()).expect("a connection");
    client.write_all(request).expect("a request");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    let field = answer.lines().find_map(|line| line.strip_prefix("X-Upstream: "));
    field.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Chunks of 1,000 bytes, and their end.
fn chunked(body: &str) -> Vec<u8> {
    let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    body.as_bytes().chunks(1000).map(chunk).chain([chunk(b"")]).flatten().collect()
}

/// The module: the model of a body in chunks is found, in memory and in a file.
#[test]
fn a_model_is_found_in_chunks() {
    let nodes = nodes();
    for buffers in ["", "client_body_buffer_size 8m;", "client_body_in_file_only clean;"] {
        let nginx = start(&nodes, buffers);
        for fill in [0, 500, 100_000] {
            let body = format!("{{\"prompt\":\"{}\",\"model\":\"m2\"}}", "x".repeat(fill));
            let head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
            let request = [head.as_bytes(), &chunked(&body)].concat();
            for _ in 0..4 {
                assert_eq!(send(&nginx, &request), nodes[1].name(), "{fill} bytes, {buffers}");
            }
        }
    }
}

/// The module: the model of a form is found before a file and after a file, over HTTP/1.1 and HTTP/2.
#[test]
fn a_model_is_found_in_a_form() {
    let nodes = nodes();
    let nginx = start(&nodes, "");
    let model = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm2\r\n";
    for size in [1, 100_000] {
        let file = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n{}\r\n",
            "RIFF\n".repeat(size)
        );
        for body in [format!("{model}{file}--b--\r\n"), format!("{file}{model}--b--\r\n")] {
            let fields = [("content-type", "multipart/form-data; boundary=b")];
            let connections =
                [Connection::open(nginx.address()), Connection::open_http2(nginx.http2_address())];
            for connection in connections {
                let mut connection = connection.expect("a connection");
                for _ in 0..3 {
                    let answer = connection
                        .send("POST", "/v1/audio/transcriptions", &fields, &body)
                        .expect("an answer");
                    assert_eq!(answer.header("x-upstream"), nodes[1].name(), "{size}");
                }
            }
        }
    }
}

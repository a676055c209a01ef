//! The table of the ways that nginx has for requests, and clients that go them.

use crate::PATIENCE;
use crate::http2::Http2;
use crate::nginx::Nginx;
use crate::node::{Mood, grpc};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// How many clients of HTTP/2 share a connection.
const SHARING: usize = 5;

/// One request of those for the same brings the answer, the others wait for it.
const CACHE: &str = "proxy_buffering on; proxy_cache cache; proxy_cache_methods POST; proxy_cache_valid 200 1m; \
     proxy_cache_key $uri?$arg_key; proxy_cache_lock on;";

/// Each request is allowed by another, and its body is not sent along.
const ALLOWED: &str = "location /tokens { auth_request /allowed; proxy_pass http://llm; } \
     location = /allowed { internal; proxy_pass http://second/tokens?first=5; proxy_pass_request_body off; \
     proxy_set_header Content-Length \"\"; }";

/// Another takes longer than the request that it copies.
const MIRRORED: &str = "location /tokens { mirror /mirrored; proxy_pass http://llm; } \
     location = /mirrored { internal; proxy_pass http://second/tokens?rest=30; }";

const GRPC: &str = "location /tokens { grpc_pass grpc://llm; }";

/// Without `fastcgi_keep_conn` nginx, which keeps connections here, would use such as are closed.
const FASTCGI: &str = "location /tokens { fastcgi_pass llm; fastcgi_keep_conn on; fastcgi_buffering off; \
     fastcgi_next_upstream error http_503 non_idempotent; \
     fastcgi_param REQUEST_URI $request_uri; fastcgi_param CONTENT_LENGTH $content_length; }";

const UWSGI: &str = "location /tokens { uwsgi_pass llm; uwsgi_buffering off; \
     uwsgi_param REQUEST_URI $request_uri; uwsgi_param CONTENT_LENGTH $content_length; }";

/// nginx itself says the CONTENT_LENGTH.
const SCGI: &str = "location /tokens { scgi_pass llm; scgi_buffering off; \
     scgi_param SCGI 1; scgi_param REQUEST_URI $request_uri; }";

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, on a connection of its own for each request.
    Http1,
    /// HTTP/2, five clients on a connection.
    Http2,
    /// gRPC, on HTTP/2 likewise.
    Grpc,
}

/// A way.
#[derive(Debug)]
pub struct Way {
    /// What it is called.
    pub name: &'static str,
    /// Of the server block.
    pub server: &'static str,
    /// Of both servers of `llm`.
    pub parameters: &'static str,
    /// What clients speak.
    pub speaks: Speaks,
    /// What they ask for.
    pub path: &'static str,
    /// Of the two servers of `llm`; those of `second` are well.
    pub moods: [Mood; 2],
    /// Every so many-th client goes away before the end; 0 for none.
    pub leaves: usize,
    /// So many completions, failures and aborts there are at least.
    pub at_least: [u64; 3],
}

/// A way on which all is well and nobody goes away.
const WELL: Way = Way {
    name: "",
    server: "",
    parameters: "max_fails=0",
    speaks: Speaks::Http1,
    path: "/tokens?first=5&rest=10",
    moods: [Mood::Well, Mood::Well],
    leaves: 0,
    at_least: [0, 0, 0],
};

/// All ways.
pub const WAYS: [Way; 19] = [
    Way {
        name: "clients go away",
        path: "/tokens?first=5&rest=20",
        leaves: 1,
        at_least: [0, 0, 250],
        ..WELL
    },
    Way { name: "resets", path: "/reset", at_least: [0, 1000, 0], ..WELL },
    Way {
        name: "retries",
        server: "proxy_next_upstream error non_idempotent;",
        moods: [Mood::Close, Mood::Well],
        at_least: [1000, 250, 0],
        ..WELL
    },
    Way {
        name: "retries, and clients go away",
        server: "proxy_next_upstream error http_503 non_idempotent;",
        moods: [Mood::Status(503), Mood::Well],
        leaves: 2,
        at_least: [500, 250, 50],
        ..WELL
    },
    Way {
        name: "error_page",
        server: "proxy_next_upstream error http_503 non_idempotent; proxy_intercept_errors on; \
            error_page 503 = @second; location @second { proxy_pass http://second; }",
        moods: [Mood::Status(503), Mood::Status(503)],
        at_least: [1000, 2000, 0],
        ..WELL
    },
    Way { name: "auth_request", server: ALLOWED, at_least: [2000, 0, 0], ..WELL },
    Way {
        name: "auth_request, and clients go away",
        server: ALLOWED,
        leaves: 2,
        at_least: [1000, 0, 50],
        ..WELL
    },
    Way { name: "mirror", server: MIRRORED, at_least: [2000, 0, 0], ..WELL },
    Way { name: "mirror, and clients go away", server: MIRRORED, leaves: 2, at_least: [1000, 0, 50], ..WELL },
    Way {
        name: "cache locks",
        server: CACHE,
        path: "/tokens?first=5&rest=20&key=",
        at_least: [50, 0, 0],
        ..WELL
    },
    Way {
        name: "cache locks, and clients go away",
        server: CACHE,
        path: "/tokens?first=5&rest=20&key=",
        leaves: 2,
        at_least: [50, 0, 0],
        ..WELL
    },
    Way {
        name: "upgrades",
        server: "proxy_set_header Connection upgrade; proxy_set_header Upgrade websocket;",
        path: "/upgrade",
        at_least: [900, 0, 0],
        ..WELL
    },
    Way {
        name: "clients go away, and nginx does not mind",
        server: "proxy_buffering on; proxy_ignore_client_abort on;",
        leaves: 1,
        at_least: [1000, 0, 0],
        ..WELL
    },
    Way {
        name: "max_conns, and clients go away",
        parameters: "max_fails=0 max_conns=1",
        leaves: 1,
        at_least: [0, 0, 25],
        ..WELL
    },
    Way {
        name: "HTTP/2, and clients go away",
        speaks: Speaks::Http2,
        leaves: 2,
        at_least: [500, 0, 50],
        ..WELL
    },
    Way {
        name: "grpc_pass, and clients go away",
        server: GRPC,
        speaks: Speaks::Grpc,
        leaves: 2,
        at_least: [500, 0, 50],
        ..WELL
    },
    Way {
        name: "fastcgi_pass, retries, and clients go away",
        server: FASTCGI,
        moods: [Mood::Status(503), Mood::Well],
        leaves: 2,
        at_least: [500, 250, 50],
        ..WELL
    },
    Way { name: "uwsgi_pass, and clients go away", server: UWSGI, leaves: 2, at_least: [500, 0, 50], ..WELL },
    Way { name: "scgi_pass, and clients go away", server: SCGI, leaves: 2, at_least: [500, 0, 50], ..WELL },
];

/// A client of a way.
#[derive(Clone)]
pub enum Client {
    /// It connects for each request.
    Alone(SocketAddr),
    /// It has the connection in common with others.
    Sharing(Http2),
}

impl Way {
    /// So many clients.
    pub fn clients(&self, nginx: &Nginx, n: usize) -> Vec<Client> {
        if self.speaks == Speaks::Http1 {
            return vec![Client::Alone(nginx.address()); n];
        }
        let connect = |_| Http2::open(nginx.http2_address()).expect("a connection");
        let connections: Vec<_> = (0..n.div_ceil(SHARING)).map(connect).collect();
        (0..n).map(|client| Client::Sharing(connections[client / SHARING].clone())).collect()
    }

    /// Has a client send the `n`-th of all requests, and read to the end of the answer or go away. None where it does not
    /// end as it should.
    pub fn ask(&self, client: &Client, n: usize) -> Option<()> {
        // Before anything has come, in the middle, or near the end.
        let leaves = self.leaves > 0 && n % self.leaves == 0;
        let after = leaves.then(|| Duration::from_millis(n as u64 / 2 % 4 * 6));
        match client {
            Client::Alone(to) => self.ask_http1(*to, n, after).ok().filter(|well| *well).map(drop),
            Client::Sharing(connection) => self.ask_http2(connection, after),
        }
    }

    fn ask_http1(&self, to: SocketAddr, n: usize, leaves: Option<Duration>) -> io::Result<bool> {
        let mut socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // The same for all clients at about the same time.
        let key = if self.path.ends_with("key=") { (n / 20).to_string() } else { String::new() };
        let upgrades = self.path == "/upgrade";
        let connection = if upgrades { "upgrade\r\nUpgrade: websocket" } else { "close" };
        let request = format!(
            "POST {}{key} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: 5\r\n\r\nhello",
            self.path
        );
        socket.write_all(request.as_bytes())?;
        if upgrades {
            return echoes(&mut socket);
        }
        if let Some(after) = leaves {
            thread::sleep(after);
            return Ok(true);
        }
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let whole = answer.ends_with("0\r\n\r\n") || self.path == "/reset";
        Ok(answer.starts_with("HTTP/1.1 200") && whole)
    }

    fn ask_http2(&self, connection: &Http2, leaves: Option<Duration>) -> Option<()> {
        let (kind, body) = match self.speaks {
            Speaks::Grpc => (grpc::TYPE, grpc::message("hello")),
            Speaks::Http1 | Speaks::Http2 => ("text/plain", b"hello".to_vec()),
        };
        if let Some(after) = leaves {
            connection.leave(self.path, kind, &body, after);
            return Some(());
        }
        let answer = connection.post(self.path, kind, &body).ok()?;
        let went_well = self.speaks != Speaks::Grpc || answer.header("grpc-status") == "0";
        (answer.status == 200 && answer.body.ends_with("rest.\n") && went_well).then_some(())
    }
}

/// Whether the other protocol is spoken, in which what is said comes back.
fn echoes(socket: &mut TcpStream) -> io::Result<bool> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    socket.write_all(b"ping\n")?;
    let mut echo = [0; 5];
    socket.read_exact(&mut echo)?;
    Ok(answer.starts_with(b"HTTP/1.1 101") && echo == *b"ping\n")
}

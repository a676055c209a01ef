//! The client: one connection, HTTP/1.1 or HTTP/2, answers whole or in pieces. Everything has a time limit.

use crate::PATIENCE;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::future::Future;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A field of the header, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("a field of ASCII"))
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection. Dropping it closes it.
pub struct Connection {
    runtime: Runtime,
    sender: Sender,
}

/// A failure, as text: tests only show it.
pub type Failure = String;

impl Connection {
    /// Connects for HTTP/1.1.
    ///
    /// # Errors
    /// There is no connection.
    pub fn open(to: SocketAddr) -> Result<Self, Failure> {
        Self::connect(to, async |io| {
            let (sender, connection) = http1::handshake(io).await.map_err(failure)?;
            // How the connection ends is seen by who waits for an answer.
            tokio::spawn(async move { drop(connection.await) });
            Ok(Sender::Http1(sender))
        })
    }

    /// Connects for HTTP/2 without TLS, by prior knowledge.
    ///
    /// # Errors
    /// There is no connection.
    pub fn open_http2(to: SocketAddr) -> Result<Self, Failure> {
        Self::connect(to, async |io| {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(failure)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Sender::Http2(sender))
        })
    }

    /// Connects for HTTP/2, as a client whose streams take so many bytes and no more until the body is read.
    ///
    /// # Errors
    /// There is no connection.
    pub fn open_http2_with_window(to: SocketAddr, window: u32) -> Result<Self, Failure> {
        Self::connect(to, async |io| {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            let handshake = builder.initial_stream_window_size(window).handshake(io);
            let (sender, connection) = handshake.await.map_err(failure)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Sender::Http2(sender))
        })
    }

    fn connect(
        to: SocketAddr,
        handshake: impl AsyncFnOnce(TokioIo<TcpStream>) -> Result<Sender, Failure>,
    ) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sender = within(&runtime, async { handshake(connect(to).await?).await })?;
        Ok(Connection { runtime, sender })
    }

    /// Asks for a path and waits for the whole answer.
    ///
    /// # Errors
    /// There is no whole answer.
    pub fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.send("GET", path, &[], "")
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// There is no whole answer.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, Failure> {
        let (head, body) = self.begin(method, path, headers, body)?.into_parts();
        let body = within(&self.runtime, async { body.collect().await.map_err(failure) })?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends a request and waits for the header of the answer; the body comes in pieces.
    ///
    /// # Errors
    /// There is no answer.
    pub fn stream(mut self, method: &str, path: &str, body: &str) -> Result<Stream, Failure> {
        let (head, body) = self.begin(method, path, &[], body)?.into_parts();
        Ok(Stream { status: head.status.as_u16(), headers: head.headers, body, connection: self })
    }

    fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Incoming>, Failure> {
        // HTTP/2 takes the host from the URI, HTTP/1.1 from the field.
        let (uri, host) = match &self.sender {
            Sender::Http1(_) => (path.to_owned(), Some("localhost")),
            Sender::Http2(_) => (format!("http://localhost{path}"), None),
        };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in host.map(|host| ("host", host)).iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
        let sender = &mut self.sender;
        within(&self.runtime, async {
            match sender {
                Sender::Http1(sender) => {
                    sender.ready().await.map_err(failure)?;
                    sender.send_request(request).await.map_err(failure)
                }
                Sender::Http2(sender) => sender.send_request(request).await.map_err(failure),
            }
        })
    }
}

/// An answer whose body comes in pieces. Dropping it closes the connection: the client has gone away.
pub struct Stream {
    /// The status.
    pub status: u16,
    headers: HeaderMap,
    body: Incoming,
    connection: Connection,
}

impl Stream {
    /// A field of the header, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }

    /// Waits for the next piece of the body, None at its end.
    ///
    /// # Errors
    /// The body breaks off.
    pub fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let body = &mut self.body;
        within(&self.connection.runtime, async {
            loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(failure(error)),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if !data.is_empty() => return Ok(Some(data)),
                        _ => {}
                    },
                }
            }
        })
    }

    /// Waits for the rest of the body.
    ///
    /// # Errors
    /// The body breaks off.
    pub fn rest(&mut self) -> Result<String, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece()? {
            body.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

fn within<T>(runtime: &Runtime, f: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime.block_on(in_time(f))
}

/// What `f` gives, a failure where that takes longer than [`PATIENCE`].
pub(crate) async fn in_time<T>(f: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Err(format!("nothing within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, f).await.unwrap_or_else(late)
}

pub(crate) async fn connect(to: SocketAddr) -> Result<TokioIo<TcpStream>, Failure> {
    let socket = TcpStream::connect(to).await.map_err(failure)?;
    socket.set_nodelay(true).map_err(failure)?;
    Ok(TokioIo::new(socket))
}

pub(crate) fn failure(error: impl std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

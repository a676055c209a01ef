//! A client that has many requests under way on one connection: HTTP/2 without TLS, by prior knowledge.

use crate::PATIENCE;
use crate::client::{Answer, Failure, connect, failure, in_time};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;

/// A connection that threads share, each with a stream of its own. It is closed when all have dropped it.
#[derive(Clone)]
pub struct Http2 {
    runtime: Handle,
    sender: SendRequest<Full<Bytes>>,
}

impl Http2 {
    /// Connects.
    ///
    /// # Errors
    /// There is no connection.
    pub fn open(to: SocketAddr) -> Result<Self, Failure> {
        Self::open_by(to, &http2::Builder::new(TokioExecutor::new()))
    }

    /// Connects, and lets the server send so many bytes of an answer before it reads some.
    ///
    /// # Errors
    /// There is no connection.
    pub fn open_with_window(to: SocketAddr, bytes: u32) -> Result<Self, Failure> {
        Self::open_by(to, http2::Builder::new(TokioExecutor::new()).initial_stream_window_size(bytes))
    }

    fn open_by(to: SocketAddr, builder: &http2::Builder<TokioExecutor>) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (sender, connection) = runtime
            .block_on(in_time(async { builder.handshake(connect(to).await?).await.map_err(failure) }))?;
        let shared = Http2 { runtime: runtime.handle().clone(), sender };
        // How the connection ends is seen by who waits for an answer.
        thread::spawn(move || drop(runtime.block_on(connection)));
        Ok(shared)
    }

    /// Posts a body of this type, and waits for the whole answer; its trailers are among the fields of its header.
    ///
    /// # Errors
    /// There is no whole answer.
    pub fn post(&self, path: &str, kind: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.runtime.block_on(in_time(whole(self.sender.clone(), request(path, kind, body))))
    }

    /// Posts a body of this type, and waits for the header of the answer. Nothing of the body is read, and dropping it resets
    /// the stream.
    ///
    /// # Errors
    /// There is no answer.
    pub fn hold(&self, path: &str, kind: &str, body: &[u8]) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.sender.clone();
        let request = request(path, kind, body);
        self.runtime.block_on(in_time(async {
            sender.ready().await.map_err(failure)?;
            sender.send_request(request).await.map_err(failure)
        }))
    }

    /// Posts a body of this type, and after that time goes away, whatever has come. The connection stays.
    pub fn leave(&self, path: &str, kind: &str, body: &[u8], after: Duration) {
        assert!(after < PATIENCE);
        let asked = whole(self.sender.clone(), request(path, kind, body));
        // What is dropped is reset.
        let _ = self.runtime.block_on(async { timeout(after, asked).await });
    }
}

fn request(path: &str, kind: &str, body: &[u8]) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://localhost{path}")).header("content-type", kind);
    // Without it a server of gRPC may refuse the request.
    request.header("te", "trailers").body(Full::new(Bytes::copy_from_slice(body))).expect("a request")
}

async fn whole(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    sender.ready().await.map_err(failure)?;
    let (head, body) = sender.send_request(request).await.map_err(failure)?.into_parts();
    let body = body.collect().await.map_err(failure)?;
    let mut headers = head.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Answer { status: head.status.as_u16(), headers, body })
}

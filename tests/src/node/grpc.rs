//! gRPC, as a node speaks it that nginx asks by `grpc_pass`: HTTP/2, a message for each piece of an answer, and in the
//! trailers how it went.

use super::serve::Pieces;
use crate::PATIENCE;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The type of requests and answers.
pub const TYPE: &str = "application/grpc";

/// A message: that it is not compressed, its length, and itself.
pub fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short message").to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat()
}

/// Serves a connection to its end. `ask` gives, by its path, what a request is answered; where that fails its stream is
/// reset.
pub(super) fn serve(socket: TcpStream, ask: impl Fn(&str) -> io::Result<Pieces>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    socket.set_nonblocking(true)?;
    runtime.block_on(async {
        let socket = TokioIo::new(tokio::net::TcpStream::from_std(socket)?);
        let service = service_fn(|request: Request<Incoming>| {
            let pieces = ask(request.uri().path_and_query().map_or("", |path| path.as_str()));
            async move { answer(request, pieces?).await }
        });
        let serving = Builder::new(TokioExecutor::new()).serve_connection(socket, service);
        serving.await.map_err(io::Error::other)
    })
}

async fn answer(request: Request<Incoming>, pieces: Pieces) -> io::Result<Response<Channel<Bytes>>> {
    timeout(PATIENCE, request.into_body().collect()).await?.map_err(io::Error::other)?;
    let (sender, body) = Channel::new(1);
    // A client that goes away is none of the node's business.
    tokio::spawn(async move { drop(say(sender, pieces).await) });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static(TYPE));
    Ok(response)
}

async fn say(mut to: Sender<Bytes>, pieces: Pieces) -> io::Result<()> {
    for (pause, piece) in pieces {
        sleep(pause).await;
        to.send_data(message(piece).into()).await.map_err(io::Error::other)?;
    }
    let went_well = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    to.send_trailers(HeaderMap::from_iter([went_well])).await.map_err(io::Error::other)
}

//! Single GETs.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest body that is read.
const MAX_BODY: usize = 4 << 20;

/// GETs an `http://` URL over a connection of its own, within `timeout`. Returns the status and the body.
///
/// # Errors
/// The URL is none, nobody answers in time, or the body breaks off or is larger than 4 MiB.
pub async fn get(url: &str, timeout: Duration) -> io::Result<(u16, Bytes)> {
    let uri: Uri = url.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    tokio::time::timeout(timeout, exchange(uri)).await?
}

async fn exchange(uri: Uri) -> io::Result<(u16, Bytes)> {
    let authority = uri.authority().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let port = uri.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends when the sender is dropped; its errors come out of the exchange.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header("Host", authority.as_str())
        .body(Full::<Bytes>::default())
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes()))
}

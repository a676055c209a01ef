//! Clients that take their time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// The pause after each piece.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a piece.
const PIECE: usize = 16;

/// So little is kept for a client that does not read, in bytes, that nginx has to wait for it.
const BUFFER: u32 = 4096;

/// A request for an answer of some hundred kilobytes.
const BODY: &str = r#"{"model":"mock","prompt":"abc","max_tokens":1500,"ignore_eos":true,"stream":true}"#;

fn request() -> String {
    format!(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(BUFFER)?;
    socket.connect(to).await
}

/// Asks and reads the answer slowly, to its end.
///
/// # Errors
/// The connection breaks.
pub async fn read(from: SocketAddr) -> io::Result<()> {
    let mut stream = connect(from).await?;
    stream.write_all(request().as_bytes()).await?;
    let mut piece = [0; PIECE];
    while stream.read(&mut piece).await? > 0 {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Asks slowly, and goes away when the request is sent.
///
/// # Errors
/// The connection breaks.
pub async fn send(to: SocketAddr) -> io::Result<()> {
    let mut stream = connect(to).await?;
    stream.set_nodelay(true)?;
    for piece in request().as_bytes().chunks(PIECE) {
        stream.write_all(piece).await?;
        sleep(PAUSE).await;
    }
    Ok(())
}

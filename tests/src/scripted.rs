//! An engine that answers every request with what a test wrote down, piece by piece.

use crate::listen;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// An answer as it goes over the wire: its header, and pieces of its body with the time before each. The connection is closed
/// after the last.
#[derive(Debug, Clone)]
pub struct Script {
    /// The status line and the header, with the empty line after it.
    pub head: String,
    /// The pieces.
    pub pieces: Vec<(Duration, Vec<u8>)>,
    /// Whether the pieces come again and again, until the connection is closed.
    pub endless: bool,
}

impl Script {
    /// An answer with this status and further header fields.
    pub fn new(status: u16, fields: &str, pieces: Vec<(Duration, Vec<u8>)>) -> Script {
        Script { head: format!("HTTP/1.1 {status} Scripted\r\n{fields}\r\n"), pieces, endless: false }
    }

    /// A stream of events in chunks: the first after a time, each of the others after a gap.
    pub fn stream<T: Into<Vec<u8>>>(
        first: Duration,
        gap: Duration,
        events: impl IntoIterator<Item = T>,
    ) -> Script {
        let times = std::iter::once(first).chain(std::iter::repeat(gap));
        let chunks = events.into_iter().map(|event| chunk(&event.into()));
        let end = (Duration::ZERO, chunk(b""));
        Script::new(200, STREAMED, times.zip(chunks).chain([end]).collect())
    }

    /// An answer in one piece, after a time.
    pub fn whole(status: u16, fields: &str, after: Duration, body: impl Into<Vec<u8>>) -> Script {
        let body = body.into();
        Script::new(status, &format!("Content-Length: {}\r\n{fields}", body.len()), vec![(after, body)])
    }
}

/// The header of a stream.
pub const STREAMED: &str = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";

/// A chunk of a body; the end of the body if it is empty.
pub fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// An engine with a script. Dropping it stops it.
pub struct Scripted {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Scripted {
    /// Starts an engine.
    pub fn start(script: Script) -> Scripted {
        let listener = listen(([127, 0, 0, 1], 0).into());
        let address = listener.local_addr().expect("an address");
        let (stopped, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (Arc::clone(&stopped), Arc::clone(&requests));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (script, count) = (script.clone(), Arc::clone(&count));
                // A client that goes away is the test's business.
                thread::spawn(move || drop(serve(&socket, &script, &count)));
            }
        });
        Scripted { address, stopped, requests }
    }

    /// Where it listens, as `$upstream_addr` and the status have it.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut socket: &TcpStream, script: &Script, count: &AtomicUsize) -> io::Result<()> {
    socket.set_nodelay(true)?;
    read_request(&mut BufReader::new(socket))?;
    count.fetch_add(1, Ordering::Relaxed);
    socket.write_all(script.head.as_bytes())?;
    loop {
        for (pause, piece) in &script.pieces {
            thread::sleep(*pause);
            socket.write_all(piece)?;
        }
        if !script.endless {
            return socket.shutdown(Shutdown::Write);
        }
    }
}

/// Reads a request with a body of a known length.
fn read_request(reader: &mut impl BufRead) -> io::Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(())
}

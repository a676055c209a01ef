//! The client: one connection, one request after the other.

use crate::Failure;
use crate::case::Answer;
use crate::engines::EVENTS;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Instant;
use tblb_tests::PATIENCE;

/// The fields that curl sends. Clients of the engines' APIs send a dozen more, which cost nginx the same under each
/// method and would flatter the ratios.
const HEADER: &str = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
     Content-Type: application/json\r\n";

const BODY: &str = "{\"model\":\"m\",\"prompt\":\"What is the answer to the question of everything?\",\"max_tokens\":50,\
     \"temperature\":0.7,\"stream\":true}";

/// A connection to nginx.
pub struct Client {
    socket: TcpStream,
    /// What has come of the answer.
    read: Vec<u8>,
}

impl Client {
    /// Connects as soon as nginx listens. A try before that costs nginx nothing.
    pub fn connect(to: SocketAddr) -> Result<Client, Failure> {
        let since = Instant::now();
        loop {
            match TcpStream::connect(to) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    socket.set_read_timeout(Some(PATIENCE))?;
                    return Ok(Client { socket, read: Vec::new() });
                }
                Err(error) if since.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
    }

    /// Sends a request and reads its answer, telling the engine of each piece of a streamed one.
    pub fn ask(&mut self, answer: Answer, taken: &Sender<()>) -> Result<(), Failure> {
        let request = format!("{HEADER}Content-Length: {}\r\n\r\n{BODY}", BODY.len());
        self.socket.write_all(request.as_bytes())?;
        self.read.clear();
        match answer {
            Answer::Whole => self.read_until(|text| text.ends_with("}}"))?,
            Answer::Streamed => self.read_stream(taken)?,
        }
        let good = self.read.starts_with(b"HTTP/1.1 200 ");
        good.then_some(()).ok_or_else(|| String::from_utf8_lossy(&self.read).into())
    }

    fn read_stream(&mut self, taken: &Sender<()>) -> Result<(), Failure> {
        self.read_until(|text| text.ends_with("\r\n\r\n"))?;
        for _ in 0..EVENTS {
            taken.send(())?;
            self.read_until(|text| text.ends_with("\n\n\r\n"))?;
        }
        taken.send(())?;
        self.read_until(|text| text.ends_with("\r\n0\r\n\r\n"))
    }

    /// Reads at least once, and until that is so of all that has come.
    fn read_until(&mut self, complete: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let mut piece = [0; 4096];
        loop {
            let length = self.socket.read(&mut piece)?;
            self.read.extend_from_slice(&piece[..length]);
            let text = std::str::from_utf8(&self.read)?;
            if complete(text) {
                return Ok(());
            }
            if length == 0 {
                return Err(format!("nginx closed the connection: {text}").into());
            }
        }
    }
}

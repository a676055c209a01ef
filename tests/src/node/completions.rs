//! How a node answers completions: an answer in events as OpenAI's API streams it, and the ways in which it fails.

use super::{argument, whole};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

/// How fast a node generates, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Time to the first token, in ms.
    pub first: u64,
    /// Time between two tokens, in ms.
    pub gap: u64,
    /// Tokens of an answer, each in an event of its own.
    pub tokens: u64,
}

impl Default for Speed {
    fn default() -> Self {
        Speed { first: 10, gap: 4, tokens: 8 }
    }
}

/// A way in which a node fails to answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It resets the connection.
    Resets,
    /// It takes the request and sends nothing.
    NeverAnswers,
    /// It answers with this status after this time in ms.
    Refuses(u16, u64),
    /// It answers at once with 200 and this JSON, which is an error.
    ErrorObject(&'static str),
    /// It answers at once with 200 and an event that is an error.
    ErrorEvent,
    /// It sends three events and no more, and keeps the connection open.
    Hangs,
    /// It sends three events and closes the connection.
    BreaksOff,
}

const STREAMED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const END: &str = "data: [DONE]\n\n";

/// Events that come before an answer fails.
const BEGUN: u64 = 3;

impl Speed {
    /// Answers a completion; the arguments `first`, `gap` and `tokens` of a path stand for other numbers, and `pause` for
    /// a time in ms in which nothing comes after the third token, as where a tool call is generated.
    pub(super) fn answer(self, path: &str, writer: &mut TcpStream) -> io::Result<()> {
        let number = |name, other| argument(path, name).unwrap_or(other);
        let pause = Duration::from_millis(number("pause", 0));
        writer.write_all(STREAMED)?;
        thread::sleep(Duration::from_millis(number("first", self.first)));
        for token in 0..number("tokens", self.tokens) {
            if token == BEGUN {
                thread::sleep(pause);
            }
            send(writer, &event(token))?;
            thread::sleep(Duration::from_millis(number("gap", self.gap)));
        }
        send(writer, END)?;
        writer.write_all(b"0\r\n\r\n")
    }
}

impl Failure {
    /// Fails to answer; an error where the connection is of no more use.
    pub(super) fn answer(self, writer: &mut TcpStream) -> io::Result<()> {
        match self {
            Failure::Resets => rustix::net::connect_unspec(&*writer)?,
            Failure::NeverAnswers => wait_for_end(writer)?,
            Failure::Refuses(status, after) => {
                thread::sleep(Duration::from_millis(after));
                return writer.write_all(&whole(status, "{\"detail\":\"so the test wants it\"}"));
            }
            Failure::ErrorObject(json) => return writer.write_all(&of_json(json)),
            Failure::ErrorEvent => {
                writer.write_all(STREAMED)?;
                send(writer, "data: {\"error\":{\"message\":\"internal\",\"code\":500}}\n\n")?;
                send(writer, END)?;
                return writer.write_all(b"0\r\n\r\n");
            }
            Failure::Hangs => {
                begin(writer)?;
                wait_for_end(writer)?;
            }
            Failure::BreaksOff => {
                begin(writer)?;
                writer.shutdown(Shutdown::Both)?;
            }
        }
        Err(io::Error::other(format!("{self:?}, so the test wants it")))
    }
}

fn begin(writer: &mut TcpStream) -> io::Result<()> {
    writer.write_all(STREAMED)?;
    (0..BEGUN).try_for_each(|token| send(writer, &event(token)))
}

/// Waits until the other side closes the connection.
fn wait_for_end(socket: &mut TcpStream) -> io::Result<()> {
    io::copy(&mut socket.take(u64::MAX), &mut io::sink()).map(drop)
}

fn event(token: u64) -> String {
    format!(
        "data: {{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1764150000,\"model\":\"m\",\
         \"choices\":[{{\"index\":0,\"text\":\" token{}\",\"finish_reason\":null}}]}}\n\n",
        token % 10
    )
}

fn send(writer: &mut TcpStream, event: &str) -> io::Result<()> {
    writer.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
}

fn of_json(json: &str) -> Vec<u8> {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}")
        .into()
}

//! Engines that answer in step with the client.

use crate::Failure;
use crate::case::Answer;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use tblb_tests::PATIENCE;

/// Events of a streamed answer, beside the one that ends it.
pub const EVENTS: usize = 50;

/// The header of an answer as vLLM sends it, but for its length.
const HEADER: &str = "HTTP/1.1 200 OK\r\ndate: Thu, 26 Nov 2026 11:30:00 GMT\r\nserver: uvicorn\r\n";
const EVENT: &str = "data: {\"id\":\"cmpl-5d2f8c0e9b7a4d31\",\"object\":\"text_completion\",\"created\":1764150000,\
     \"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\" token\",\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const WHOLE: &str = "{\"id\":\"cmpl-5d2f8c0e9b7a4d31\",\"object\":\"text_completion\",\"created\":1764150000,\
     \"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\" the answer is forty-two\",\"logprobs\":null,\
     \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":8,\"total_tokens\":14,\"completion_tokens\":6}}";

/// Engines at one port of many addresses. They serve until the process ends.
pub struct Engines {
    port: u16,
    /// Tells the engine that answers that the client has what was sent.
    pub taken: Sender<()>,
}

/// One request is answered at a time, by whichever engine gets it.
type Taken = Arc<Mutex<Receiver<()>>>;

impl Engines {
    /// Starts them.
    pub fn start(answer: Answer) -> Result<Engines, Failure> {
        let listener = TcpListener::bind("0.0.0.0:0")?;
        let port = listener.local_addr()?.port();
        let (sender, receiver) = channel();
        let taken = Arc::new(Mutex::new(receiver));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                // nginx closes the connection when it ends.
                thread::spawn(move || drop(serve(&socket, answer, &taken)));
            }
        });
        Ok(Engines { port, taken: sender })
    }

    /// The address of an engine.
    pub fn address(&self, n: usize) -> SocketAddr {
        let last = u8::try_from(n + 1).expect("at most 254 engines");
        ([127, 0, 0, last], self.port).into()
    }
}

fn serve(socket: &TcpStream, answer: Answer, taken: &Taken) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::new(socket);
    while read_request(&mut reader)? {
        match answer {
            Answer::Whole => send(socket, &whole())?,
            Answer::Streamed => stream(socket, &*taken.lock().map_err(|error| error.to_string())?)?,
        }
    }
    Ok(())
}

/// Reads a request; false at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Result<bool, Failure> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    Ok(true)
}

fn whole() -> String {
    format!("{HEADER}content-length: {}\r\ncontent-type: application/json\r\n\r\n{WHOLE}", WHOLE.len())
}

fn stream(socket: &TcpStream, taken: &Receiver<()>) -> Result<(), Failure> {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    send(
        socket,
        &format!(
            "{HEADER}content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        ),
    )?;
    for _ in 0..EVENTS {
        taken.recv_timeout(PATIENCE)?;
        send(socket, &chunk(EVENT))?;
    }
    taken.recv_timeout(PATIENCE)?;
    send(socket, &(chunk("data: [DONE]\n\n") + "0\r\n\r\n"))
}

fn send(mut socket: &TcpStream, text: &str) -> Result<(), Failure> {
    Ok(socket.write_all(text.as_bytes())?)
}

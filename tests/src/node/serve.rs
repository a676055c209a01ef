//! How a node answers on a connection.

use super::gateway::Protocol;
use super::{Mood, Shared, argument, grpc, whole};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a connection is idle before [`Mood::ClosesIdle`] closes it: llama.cpp's and vLLM's 5 s, but for the time that
/// nginx may take to close it first.
const IDLE: Duration = Duration::from_millis(4500);

/// Serves each connection until the node is stopped.
pub(super) fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut serving = Vec::new();
    for socket in listener.incoming().flatten() {
        let mut state = shared.lock();
        if state.stopped {
            break;
        }
        state.seen.accepted += 1;
        state.sockets.push(socket.try_clone().expect("a descriptor"));
        drop(state);
        let shared = Arc::clone(shared);
        // A client that goes away is none of the node's business.
        serving.push(thread::spawn(move || drop(serve(socket, &shared))));
    }
    serving.into_iter().for_each(|thread| drop(thread.join()));
}

fn serve(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut first = [0; 2];
    let seen = socket.peek(&mut first)?;
    if first == *b"PR" {
        // The preface of HTTP/2.
        return serve_grpc(socket, shared);
    }
    match Protocol::of(first[0]).filter(|_| seen > 0) {
        Some(protocol) => serve_gateway(protocol, socket, shared),
        None => serve_http(socket, shared),
    }
}

fn serve_http(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut writer = socket;
    let mut counted = false;
    let mut since = Instant::now();
    while let Some((path, key)) = read_request(&mut reader)? {
        let idle = since.elapsed();
        let mut state = shared.lock();
        if path == state.metrics_path {
            state.seen.polls += 1;
            let metrics = if key == state.key { state.page() } else { whole(401, "who are you?\n") };
            drop(state);
            writer.write_all(&metrics)?;
            continue;
        }
        let mood = state.ask(&mut counted);
        state.running += 1;
        drop(state);
        let mood = if mood == Mood::ClosesIdle && idle >= IDLE { Mood::Close } else { mood };
        let answered = answer_in(mood, &path, &mut writer, shared);
        shared.lock().running -= 1;
        answered?;
        since = Instant::now();
    }
    Ok(())
}

/// Answers a request in a mood; an error where the connection is of no more use.
fn answer_in(mood: Mood, path: &str, writer: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    match mood {
        Mood::Well | Mood::ClosesIdle => answer(path, writer, shared),
        Mood::Status(status) => writer.write_all(&whole(status, "so the test wants it\n")),
        Mood::Close => writer.shutdown(Shutdown::Both),
        Mood::Fails(failure) | Mood::FailsEachSecond(failure) => failure.answer(writer),
    }
}

fn serve_gateway(protocol: Protocol, socket: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut writer = socket;
    let mut counted = false;
    while let Some(request) = protocol.read(&mut reader)? {
        let mood = shared.lock().ask(&mut counted);
        match mood {
            Mood::Well | Mood::ClosesIdle => {
                protocol.write(&mut writer, &request, b"Content-Type: text/event-stream\r\n\r\n")?;
                for (pause, piece) in tokens(&request.uri) {
                    thread::sleep(pause);
                    protocol.write(&mut writer, &request, piece.as_bytes())?;
                }
            }
            Mood::Status(status) => {
                protocol.write(&mut writer, &request, format!("Status: {status} Said\r\n\r\n").as_bytes())?;
            }
            Mood::Close => return writer.shutdown(Shutdown::Both),
            Mood::Fails(failure) | Mood::FailsEachSecond(failure) => {
                return Err(io::Error::other(format!("{failure:?} is no way of gateways")));
            }
        }
        protocol.end(&mut writer, &request)?;
        if !request.stays {
            return writer.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn serve_grpc(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    let counted = Cell::new(false);
    grpc::serve(socket, |path| {
        let mut before = counted.replace(true);
        match shared.lock().ask(&mut before) {
            Mood::Well => Ok(tokens(path)),
            mood => Err(io::Error::other(format!("{mood:?}, so the test wants it"))),
        }
    })
}

/// Reads a request and gives its path and its Authorization (empty if it has none), None at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, String)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut key) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => value.clone_into(&mut key),
            Some(_) => {}
            None => break,
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some((path, key)))
}

const STREAMED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const REDIRECTED: &[u8] = b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /plain\r\nContent-Length: 0\r\n\r\n";
const COUNTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n";

fn answer(path: &str, writer: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    if let Some(name) = path.strip_prefix("/hold/") {
        writer.write_all(&[STREAMED, b"6\r\nheld.\n\r\n"].concat())?;
        return if shared.wait_for_release(name) { writer.write_all(b"0\r\n\r\n") } else { Ok(()) };
    }
    let [(first, _), (rest, _)] = tokens(path);
    match path.split('?').next().unwrap_or_default() {
        "/v1/completions" => {
            let speed = shared.lock().speed;
            speed.answer(path, writer)
        }
        "/tokens" => {
            writer.write_all(STREAMED)?;
            thread::sleep(first);
            writer.write_all(b"6\r\nfirst\n\r\n")?;
            thread::sleep(rest);
            writer.write_all(b"6\r\nrest.\n\r\n0\r\n\r\n")
        }
        "/counted" => {
            writer.write_all(COUNTED)?;
            thread::sleep(first);
            writer.write_all(b"first\n")?;
            thread::sleep(rest);
            writer.write_all(b"rest.\n")
        }
        "/break" => {
            writer.write_all(&[STREAMED, b"6\r\nfirst\n\r\n"].concat())?;
            writer.shutdown(Shutdown::Both)
        }
        "/short" => {
            writer.write_all(&[COUNTED, b"first\n"].concat())?;
            writer.shutdown(Shutdown::Both)
        }
        "/reset" => {
            writer.write_all(&[STREAMED, b"6\r\nfirst\n\r\n"].concat())?;
            // Closing would not do: what is shared of this socket keeps it open.
            Ok(rustix::net::connect_unspec(&*writer)?)
        }
        "/upgrade" => {
            writer.write_all(UPGRADED)?;
            io::copy(&mut writer.try_clone()?, writer).map(drop)
        }
        "/flood" => {
            writer.write_all(STREAMED)?;
            let piece = [b"1000\r\n".as_slice(), &[b'.'; 0x1000], b"\r\n"].concat();
            loop {
                writer.write_all(&piece)?;
            }
        }
        "/elsewhere" => writer.write_all(REDIRECTED),
        _ => writer.write_all(&whole(200, "ok\n")),
    }
}

/// The pieces of an answer, each with the pause before it.
pub(super) type Pieces = [(Duration, &'static str); 2];

/// What a path wants of `/tokens`.
fn tokens(path: &str) -> Pieces {
    let pause = |name| Duration::from_millis(argument(path, name).unwrap_or(0));
    [(pause("first"), "first\n"), (pause("rest"), "rest.\n")]
}

//! One request and its answer over a connection that never waits.

use crate::body::{Body, Part};
use crate::failure;
use crate::stream::Stream;
use memchr::memmem;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use tblb_core::engine::{Reading, Scrape};
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;
use ureq_proto::client::state::{Prepare, RecvResponse};
use ureq_proto::client::{Call, RecvResponseResult, SendRequestResult};
use ureq_proto::http::{HeaderMap, Request, StatusCode, header};

/// The largest header of an answer; engines send some hundred bytes.
const HEADER_LIMIT: usize = 32 * 1024;

/// A header is looked at each time that it grows while it is as short as this. What is no HTTP shows it by then.
const GLANCE: usize = 1024;

/// The largest request, with credentials of some kB.
const REQUEST_LIMIT: usize = 8 * 1024;

/// How long the rest of a body is waited for. What is there already takes less than a millisecond.
const DRAIN_TIME: Duration = Duration::from_millis(20);

/// The longest part of a redirect's target that is kept to be logged.
const LOCATION_LIMIT: usize = 200;

/// What the poller has at hand for all exchanges.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What is read at once. A page of vLLM's with its header fits, so most polls take one read.
    pub input: Vec<u8>,
    /// What of a body is decoded at once.
    pub decoded: Vec<u8>,
}

impl Buffers {
    /// # Errors
    /// There is no memory for them: a worker whose memory is limited is not to end for it.
    pub fn new() -> io::Result<Buffers> {
        Ok(Buffers { input: zeroes(64 * 1024)?, decoded: zeroes(16 * 1024)? })
    }
}

fn zeroes(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// What the header of an answer says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub status: Option<u16>,
    /// Where a redirect leads, fit to be logged.
    pub location: Option<String>,
}

/// Why there is no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Miss {
    pub fault: Fault,
    /// The engine serves, but nothing that can be read is at this place.
    pub elsewhere: bool,
}

impl Miss {
    /// A body without a series, such as the JSON that trtllm-serve has at `/metrics`, says that metrics are elsewhere.
    fn of(fault: Fault) -> Miss {
        let elsewhere = matches!(
            fault,
            Fault::Empty | Fault::NoSeries | Fault::Cut | Fault::LineTooLong | Fault::Html | Fault::Json
        );
        Miss { fault, elsewhere }
    }
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub result: Result<Reading, Miss>,
    /// Whether the connection can be used again.
    pub keep: bool,
}

/// An exchange under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    phase: Phase,
    /// What was read and not used yet.
    unused: Vec<u8>,
    pub head: Head,
    /// Takes the body, until there is a result.
    scrape: Option<Scrape>,
    result: Option<Result<Reading, Miss>>,
    pub deadline: Instant,
}

#[derive(Debug)]
enum Phase {
    /// The connection is not made yet. With the request, and what follows when it is sent.
    Connecting(Outgoing),
    /// The request is not sent in full.
    Sending(Outgoing),
    /// The header of the answer has not come in full; it is looked at again when there are so many bytes.
    Header(Call<RecvResponse>, usize),
    /// A body comes.
    Body(Body),
    /// The exchange is over; whether the connection can be used again.
    Over(bool),
}

#[derive(Debug)]
struct Outgoing {
    request: Vec<u8>,
    sent: usize,
    call: Call<RecvResponse>,
}

/// What came of a step.
enum Step {
    /// The next one can be made.
    Next(Phase),
    /// Nothing can be done until the socket is ready.
    Wait(Phase),
}

impl Exchange {
    /// An exchange that is to end by the deadline. `connected` says that the connection is made already. None if the request
    /// is none that can be sent.
    pub fn new(
        request: &Request<()>,
        scrape: Scrape,
        deadline: Instant,
        connected: bool,
    ) -> Option<Exchange> {
        let outgoing = Outgoing::new(request)?;
        let phase = if connected { Phase::Sending(outgoing) } else { Phase::Connecting(outgoing) };
        let (unused, head) = (Vec::new(), Head::default());
        Some(Exchange { phase, unused, head, scrape: Some(scrape), result: None, deadline })
    }

    /// Goes on as far as the connection allows; gives the end, or None where the socket has to be waited for.
    pub fn advance(&mut self, stream: &mut Stream, buffers: &mut Buffers) -> Option<Ended> {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Over(false)) {
                Phase::Over(keep) => return Some(self.end(keep)),
                phase => match self.step(phase, stream, buffers) {
                    Ok(Step::Next(phase)) => self.phase = phase,
                    Ok(Step::Wait(phase)) => {
                        self.phase = phase;
                        return None;
                    }
                    Err(fault) => return Some(self.fail(fault)),
                },
            }
        }
    }

    /// The end of an exchange whose deadline has come.
    pub fn late(&mut self) -> Ended {
        let connecting = matches!(self.phase, Phase::Connecting(_));
        self.fail(if connecting { Fault::ConnectTimeout } else { Fault::Timeout })
    }

    /// An end by a fault, which changes nothing where there is a result already.
    pub fn fail(&mut self, fault: Fault) -> Ended {
        self.result.get_or_insert(Err(Miss { fault, elsewhere: false }));
        self.end(false)
    }

    fn end(&mut self, keep: bool) -> Ended {
        Ended { result: self.result.take().unwrap_or(Err(Miss::of(Fault::Cut))), keep }
    }

    fn step(&mut self, phase: Phase, stream: &mut Stream, buffers: &mut Buffers) -> Result<Step, Fault> {
        match phase {
            Phase::Connecting(outgoing) => {
                match stream.is_connected().map_err(|error| failure::of_io(&error))? {
                    true => Ok(Step::Next(Phase::Sending(outgoing))),
                    false => Ok(Step::Wait(Phase::Connecting(outgoing))),
                }
            }
            Phase::Sending(outgoing) => outgoing.send(stream),
            Phase::Header(call, next) => self.header(call, next, stream, buffers),
            Phase::Body(body) => self.body(body, stream, buffers),
            Phase::Over(keep) => Ok(Step::Next(Phase::Over(keep))),
        }
    }

    fn header(
        &mut self,
        mut call: Call<RecvResponse>,
        next: usize,
        stream: &mut Stream,
        buffers: &mut Buffers,
    ) -> Result<Step, Fault> {
        let Some(read) = read(stream, &mut buffers.input)? else {
            return Ok(Step::Wait(Phase::Header(call, next)));
        };
        if read.is_empty() {
            return Err(Fault::Closed);
        }
        self.unused.extend_from_slice(read);
        while let Some(length) = interim(&self.unused) {
            self.unused.drain(..length);
        }
        let ended =
            memmem::find(&self.unused, b"\n\r\n").or_else(|| memmem::find(&self.unused, b"\n\n")).is_some();
        if ended || self.unused.len() >= next {
            let (used, response) = call.try_response(&self.unused, false).map_err(|_| Fault::Protocol)?;
            if let Some(response) = response {
                hit(Point::PollAnswered);
                self.unused.drain(..used);
                return Ok(Step::Next(self.begin_body(response.status(), response.headers(), call)));
            }
            if self.unused.len() > HEADER_LIMIT {
                return Err(Fault::HeaderTooLarge);
            }
        }
        let next = if self.unused.len() < GLANCE { 0 } else { self.unused.len() * 2 };
        Ok(Step::Next(Phase::Header(call, next.min(HEADER_LIMIT))))
    }

    /// What follows a header.
    fn begin_body(&mut self, status: StatusCode, headers: &HeaderMap, call: Call<RecvResponse>) -> Phase {
        self.head.status = Some(status.as_u16());
        if let Some(miss) = miss(status, headers) {
            self.result = Some(Err(miss));
            self.drain();
        }
        if status.is_redirection() {
            self.head.location = headers.get(header::LOCATION).map(|to| loggable(to.as_bytes()));
        }
        match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => Phase::Body(Body::new(call)),
            Some(RecvResponseResult::Redirect(call)) => Phase::Over(!call.must_close_connection()),
            Some(RecvResponseResult::Cleanup(call)) => {
                if let Some(scrape) = self.scrape.take() {
                    self.result.get_or_insert(scrape.finish_whole().map_err(Miss::of));
                }
                Phase::Over(!call.must_close_connection())
            }
            None => Phase::Over(false),
        }
    }

    /// What is left of a body is read only so that the connection can be used again, unless that is much or slow.
    fn drain(&mut self) {
        self.scrape = None;
        self.deadline = self.deadline.min(Instant::now() + DRAIN_TIME);
    }

    fn body(&mut self, mut body: Body, stream: &mut Stream, buffers: &mut Buffers) -> Result<Step, Fault> {
        if !self.unused.is_empty() {
            let unused = std::mem::take(&mut self.unused);
            let used = self.take(&mut body, &unused, &mut buffers.decoded)?;
            self.unused.extend_from_slice(unused.get(used..).unwrap_or_default());
        }
        loop {
            if let Some(keep) = body.is_over(self.result.is_some()) {
                if let Some(scrape) = self.scrape.take() {
                    self.result = Some(scrape.finish_whole().map_err(Miss::of));
                }
                return Ok(Step::Next(Phase::Over(keep && self.unused.is_empty())));
            }
            let Some(read) = read(stream, &mut buffers.input).or_else(|fault| self.broken(fault))? else {
                return Ok(Step::Wait(Phase::Body(body)));
            };
            if read.is_empty() {
                self.closed(&body);
                return Ok(Step::Next(Phase::Over(false)));
            }
            if self.unused.is_empty() {
                let used = self.take(&mut body, read, &mut buffers.decoded)?;
                self.unused.extend_from_slice(read.get(used..).unwrap_or_default());
            } else {
                let mut unused = std::mem::take(&mut self.unused);
                unused.extend_from_slice(read);
                let used = self.take(&mut body, &unused, &mut buffers.decoded)?;
                self.unused.extend_from_slice(unused.get(used..).unwrap_or_default());
            }
        }
    }

    /// A body that breaks off is one that ended early.
    fn broken<T>(&self, fault: Fault) -> Result<T, Fault> {
        Err(if fault == Fault::Closed { Fault::Cut } else { fault })
    }

    /// The other side has closed the connection within a body, or at its end.
    fn closed(&mut self, body: &Body) {
        let Some(scrape) = self.scrape.take() else { return };
        let result = match body.may_end() {
            Some(true) => scrape.finish_whole(),
            Some(false) => scrape.finish(),
            None => Err(Fault::Cut),
        };
        self.result.get_or_insert(result.map_err(Miss::of));
    }

    /// Takes in what was read of a body, and gives how much of it was used.
    fn take(&mut self, body: &mut Body, input: &[u8], decoded: &mut [u8]) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let Part { from, length } = body.decode(input.get(used..).unwrap_or_default(), decoded)?;
            used += from;
            if length > 0 {
                self.feed(body, decoded.get(..length).unwrap_or_default());
            }
            if from == 0 && length == 0 {
                return Ok(used);
            }
        }
    }

    fn feed(&mut self, body: &Body, piece: &[u8]) {
        hit(Point::PollRead);
        let Some(scrape) = &mut self.scrape else { return };
        use tblb_core::engine::Progress;
        match scrape.feed(piece) {
            Ok(Progress::More) if !body.is_too_large() => return,
            Ok(Progress::More) => self.result = Some(Err(Miss::of(Fault::TooLarge))),
            Ok(Progress::Enough) => {
                let scrape = self.scrape.take();
                self.result = scrape.map(|scrape| scrape.finish().map_err(Miss::of));
            }
            Err(fault) => self.result = Some(Err(Miss::of(fault))),
        }
        self.drain();
    }
}

impl Outgoing {
    fn new(request: &Request<()>) -> Option<Outgoing> {
        let mut call = Call::<Prepare>::new(request.clone()).ok()?.proceed();
        let mut bytes = vec![0; REQUEST_LIMIT];
        let length = call.write(&mut bytes).ok()?;
        bytes.truncate(length);
        match call.proceed().ok()?? {
            SendRequestResult::RecvResponse(call) => Some(Outgoing { request: bytes, sent: 0, call }),
            _ => None,
        }
    }

    fn send(mut self, stream: &mut Stream) -> Result<Step, Fault> {
        while let Some(rest @ [_, ..]) = self.request.get(self.sent..) {
            match stream.write(rest) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Step::Wait(Phase::Sending(self)));
                }
                Err(error) => return Err(failure::of_io(&error)),
            }
        }
        flush(stream)?;
        Ok(Step::Next(Phase::Header(self.call, 0)))
    }
}

/// Hands on what TLS has kept back; what the socket does not take now goes with the next read.
fn flush(stream: &mut Stream) -> Result<(), Fault> {
    match stream.flush() {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(failure::of_io(&error)),
        _ => Ok(()),
    }
}

/// What there is to read, empty at the end; None if the socket has to be waited for.
fn read<'a>(stream: &mut Stream, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Fault> {
    loop {
        match stream.read(buffer) {
            Ok(length) => return Ok(Some(buffer.get(..length).unwrap_or_default())),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(of_read(&error)),
        }
    }
}

fn of_read(error: &io::Error) -> Fault {
    failure::of_io(error)
}

/// The length of an interim answer (100, 103, …) that these bytes begin with, if they hold one in full: the answer itself
/// follows. 101 would be an answer, to a question that is not asked.
fn interim(bytes: &[u8]) -> Option<usize> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', tens, ones, ..] = bytes else {
        return None;
    };
    if (*tens, *ones) == (b'0', b'1') {
        return None;
    }
    let crlf = memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    crlf.into_iter().chain(memmem::find(bytes, b"\n\n").map(|at| at + 2)).min()
}

/// What a header says that has no reading to follow.
fn miss(status: StatusCode, headers: &HeaderMap) -> Option<Miss> {
    let miss = |fault| Some(Miss { fault, elsewhere: false });
    match status {
        StatusCode::OK if headers.get(header::CONTENT_ENCODING).is_some_and(|by| by != "identity") => {
            miss(Fault::Encoded)
        }
        StatusCode::OK => None,
        StatusCode::NOT_FOUND => Some(Miss { fault: Fault::Status, elsewhere: true }),
        status if status.is_redirection() => miss(Fault::Redirect),
        _ => miss(Fault::Status),
    }
}

/// Where a redirect leads, as far as a log may have it: without a query, which may hold secrets, and without what is no plain
/// text.
fn loggable(location: &[u8]) -> String {
    let text = location.iter().take_while(|byte| !matches!(byte, b'?' | b'#')).take(LOCATION_LIMIT);
    text.map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_answers_are_known_by_their_status() {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        assert_eq!(interim(hints), Some(hints.len()));
        assert_eq!(interim(b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\n\r\n"), Some(23));
        for other in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 101 A\r\n\r\n",
            b"HTTP/1.1 103 Early\r\n",
            b"HTTP/1.1 1",
        ] {
            assert_eq!(interim(other), None);
        }
    }

    #[test]
    fn redirects_are_logged_without_secrets_and_control_characters() {
        assert_eq!(loggable(b"http://a/b/?token=c"), "http://a/b/");
        assert_eq!(loggable(b"/a\x1b[31m\xff b#c"), "/a.[31m..b");
        assert_eq!(loggable(&[b'x'; 999]).len(), LOCATION_LIMIT);
    }
}

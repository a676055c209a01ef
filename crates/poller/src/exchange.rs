//! One request and its answer over a connection that never waits.

use crate::body::{Body, Part};
use crate::buffers::Buffers;
use crate::failure;
use crate::head::{Head, Miss, interim, loggable, miss};
use crate::outgoing::Outgoing;
use crate::stream::Stream;
use memchr::memmem;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};
use tblb_core::engine::{Progress, Reading, Scrape};
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;
use ureq::http::{HeaderMap, Request, StatusCode, header};
use ureq_proto::client::state::RecvResponse;
use ureq_proto::client::{Call, RecvResponseResult};

/// The largest header of an answer; engines send some hundred bytes.
const HEADER_LIMIT: usize = 32 * 1024;

/// A header is looked at each time that it grows while it is as short as this. What is no HTTP shows it by then.
const GLANCE: usize = 1024;

/// How much of a body may be kept that cannot be decoded yet, such as the beginning of a chunk's size: twice what is read at once.
const UNUSED_LIMIT: usize = 128 * 1024;

/// How long the rest of a body is waited for. What is there already takes less than a millisecond.
const DRAIN_TIME: Duration = Duration::from_millis(20);

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
    /// Bytes of interim answers.
    skipped: usize,
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
        let (unused, skipped, head) = (Vec::new(), 0, Head::default());
        Some(Exchange { phase, unused, skipped, head, scrape: Some(scrape), result: None, deadline })
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
            Phase::Sending(mut outgoing) => match outgoing.send(stream)? {
                true => Ok(Step::Next(Phase::Header(outgoing.sent(), 0))),
                false => Ok(Step::Wait(Phase::Sending(outgoing))),
            },
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
        let Some(read) = self.read(stream, &mut buffers.input)? else {
            return Ok(Step::Wait(Phase::Header(call, next)));
        };
        if read.is_empty() {
            return Err(Fault::Closed);
        }
        self.unused.extend_from_slice(read);
        while let Some(length) = interim(&self.unused) {
            self.unused.drain(..length);
            self.skipped += length;
        }
        if self.skipped > HEADER_LIMIT {
            return Err(Fault::HeaderTooLarge);
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
        let first = std::mem::take(&mut self.unused);
        self.absorb(&mut body, &first, &mut buffers.decoded)?;
        loop {
            if let Some(keep) = body.is_over(self.result.is_some()) {
                if let Some(scrape) = self.scrape.take() {
                    self.result = Some(scrape.finish_whole().map_err(Miss::of));
                }
                return Ok(Step::Next(Phase::Over(keep && self.unused.is_empty())));
            }
            let read = self.read(stream, &mut buffers.input);
            // A body that breaks off is one that ended early.
            let read = read.map_err(|fault| if fault == Fault::Closed { Fault::Cut } else { fault });
            let Some(read) = read? else { return Ok(Step::Wait(Phase::Body(body))) };
            if read.is_empty() {
                self.closed(&body);
                return Ok(Step::Next(Phase::Over(false)));
            }
            self.absorb(&mut body, read, &mut buffers.decoded)?;
        }
    }

    /// Takes in what was read of a body; what cannot be decoded yet is kept.
    fn absorb(&mut self, body: &mut Body, input: &[u8], decoded: &mut [u8]) -> Result<(), Fault> {
        let joined = (!self.unused.is_empty()).then(|| [&self.unused, input].concat());
        let input = joined.as_deref().unwrap_or(input);
        let used = self.take(body, input, decoded)?;
        let rest = input.get(used..).unwrap_or_default();
        if rest.len() > UNUSED_LIMIT {
            return Err(Fault::Protocol);
        }
        self.unused = rest.to_vec();
        Ok(())
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

    /// What there is to read, empty at the end; None if the socket has to be waited for.
    ///
    /// # Errors
    /// Why nothing can be read; and the deadline, which an engine that sends without end would never let come.
    fn read<'a>(&self, stream: &mut Stream, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Fault> {
        if self.deadline <= Instant::now() {
            return Err(Fault::Timeout);
        }
        loop {
            match stream.read(buffer) {
                Ok(length) => return Ok(Some(buffer.get(..length).unwrap_or_default())),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(failure::of_io(&error)),
            }
        }
    }
}

//! A request on its way.

use crate::failure;
use crate::stream::Stream;
use std::io::{ErrorKind, Write};
use tblb_core::fault::Fault;
use ureq::http::Request;
use ureq_proto::client::state::{Prepare, RecvResponse};
use ureq_proto::client::{Call, SendRequestResult};

/// The largest request, with credentials of some kB.
const LIMIT: usize = 8 * 1024;

/// A request that is not sent in full.
#[derive(Debug)]
pub(crate) struct Outgoing {
    request: Vec<u8>,
    sent: usize,
    /// What takes the answer.
    call: Call<RecvResponse>,
}

impl Outgoing {
    /// None if the request is none that can be sent.
    pub fn new(request: &Request<()>) -> Option<Outgoing> {
        let mut call = Call::<Prepare>::new(request.clone()).ok()?.proceed();
        let mut bytes = vec![0; LIMIT];
        let length = call.write(&mut bytes).ok()?;
        bytes.truncate(length);
        match call.proceed().ok()?? {
            SendRequestResult::RecvResponse(call) => Some(Outgoing { request: bytes, sent: 0, call }),
            _ => None,
        }
    }

    /// Sends as much as the socket takes; true if that is all.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn send(&mut self, stream: &mut Stream) -> Result<bool, Fault> {
        while let Some(rest @ [_, ..]) = self.request.get(self.sent..) {
            match stream.write(rest) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(failure::of_io(&error)),
            }
        }
        // Hands on what TLS has kept back; what the socket does not take now goes with the next read.
        match stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(failure::of_io(&error)),
            _ => Ok(true),
        }
    }

    /// What takes the answer, now that all is sent.
    pub fn sent(self) -> Call<RecvResponse> {
        self.call
    }
}

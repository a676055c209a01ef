//! The body of an answer, by the framing of HTTP.

use tblb_core::fault::Fault;
use ureq_proto::BodyMode;
use ureq_proto::client::state::RecvBody;
use ureq_proto::client::{Call, RecvBodyResult};

/// The largest body that is read for its numbers. Pages of vLLM's have 50 kB, more with many models; one of 22 MB was
/// seen, but with what is wanted near its beginning.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// How much of a body is read to no purpose but to keep the connection. A new connection costs less than this.
const DRAIN_LIMIT: usize = 256 * 1024;

/// A body that comes.
#[derive(Debug)]
pub(crate) struct Body {
    call: Option<Call<RecvBody>>,
    /// Bytes that were read so far, framing included: a body of tiny chunks with long extensions must end too.
    length: usize,
    /// Bytes that were read when the result was known.
    needed: Option<usize>,
}

/// A part of a body: how much of what was read it is, and how much was decoded.
pub(crate) struct Part {
    pub from: usize,
    pub length: usize,
}

impl Body {
    pub fn new(call: Call<RecvBody>) -> Body {
        Body { call: Some(call), length: 0, needed: None }
    }

    /// Takes the next part of a body out of what was read.
    ///
    /// # Errors
    /// [`Fault::Protocol`]: the framing is wrong.
    pub fn decode(&mut self, input: &[u8], decoded: &mut [u8]) -> Result<Part, Fault> {
        let Some(call) = &mut self.call else { return Ok(Part { from: 0, length: 0 }) };
        let (from, length) = call.read(input, decoded).map_err(|_| Fault::Protocol)?;
        self.length += from;
        Ok(Part { from, length })
    }

    /// Whether more was read than a page may have.
    pub fn is_too_large(&self) -> bool {
        self.length > BODY_LIMIT
    }

    /// Whether nothing more is to be read: the body has come in full, or is needed no more and too long to be read for the
    /// sake of the connection. Gives whether the connection can be used again then.
    pub fn is_over(&mut self, needless: bool) -> Option<bool> {
        if self.ends_by_close() == Some(false)
            && self.call.as_ref().is_some_and(Call::<RecvBody>::can_proceed)
        {
            let ended = self.call.take().and_then(Call::<RecvBody>::proceed);
            return Some(match ended {
                Some(RecvBodyResult::Cleanup(call)) => !call.must_close_connection(),
                Some(RecvBodyResult::Redirect(call)) => !call.must_close_connection(),
                None => false,
            });
        }
        let needed = needless.then(|| *self.needed.get_or_insert(self.length));
        let too_long = needed.is_some_and(|needed| self.length - needed > DRAIN_LIMIT);
        (too_long || needless && self.ends_by_close() == Some(true)).then_some(false)
    }

    /// What a connection that is closed now means: Some(true) for a body that has come in full, Some(false) for one of which
    /// nothing but the close shows the end, None for one that was to go on.
    pub fn may_end(&self) -> Option<bool> {
        if self.call.as_ref().is_some_and(Call::<RecvBody>::is_ended_chunked) {
            return Some(true);
        }
        self.ends_by_close().filter(|by_close| *by_close).map(|_| false)
    }

    fn ends_by_close(&self) -> Option<bool> {
        self.call.as_ref().map(|call| call.body_mode() == BodyMode::CloseDelimited)
    }
}

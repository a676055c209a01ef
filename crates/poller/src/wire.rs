//! What ureq talks HTTP over.

use crate::socket::{Link, Socket};
use crate::tls::Trust;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::sync::Arc;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// What is read at once. A page of vLLM's with its header fits, so most polls take one read; only polls under way
/// have such a buffer, not idle connections.
pub(crate) const INPUT: usize = 64 * 1024;

/// What is written at once: a request, with credentials of some kB.
pub(crate) const OUTPUT: usize = 8 * 1024;

/// Makes connections, all of one engine.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub link: Arc<Link>,
    /// None for plain HTTP.
    pub trust: Option<Trust>,
}

impl Connector for Wiring {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        let socket = match &self.trust {
            None => Stream::Plain(Socket::connect(Arc::clone(&self.link))?),
            Some(trust) => {
                // Before connecting: without authorities to trust, the engine need not be bothered.
                let session = trust.session().map_err(|fault| Error::Other(Box::new(fault)))?;
                let socket = Socket::connect(Arc::clone(&self.link))?;
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Some(Wire { stream: socket, buffers: buffers() }))
    }
}

/// A connection, with the buffers that ureq wants.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    buffers: LazyBuffers,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// They take no memory until they are used.
fn buffers() -> LazyBuffers {
    LazyBuffers::new(INPUT, OUTPUT)
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_mut(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

/// The time-outs that ureq passes are not looked at: the socket keeps the deadline of the whole poll.
impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(output)?,
            Stream::Tls(stream) => stream.write_all(output)?,
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Called when a request is done and before the next one: a connection that has anything to say between them is
    /// closed or out of step. (Tickets of TLS, which may come at any time, are taken in by the read.)
    fn is_open(&mut self) -> bool {
        self.buffers = buffers();
        self.stream.socket().patient = false;
        let result = self.stream.read(&mut [0]);
        self.stream.socket().patient = true;
        matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

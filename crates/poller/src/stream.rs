//! A connection that never waits: who reads and writes is told when to come again.

use crate::tls::Trust;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tblb_core::failpoint::{Point, hit};

/// Where events of a connection are to appear, and under which number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registry<'a> {
    pub epoll: &'a OwnedFd,
    pub token: u64,
}

/// A connection to an engine.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Begins to connect; no name is looked up.
    ///
    /// # Errors
    /// What the system says, or a [`Fault`](tblb_core::fault::Fault) of who is to be trusted.
    pub fn connect(address: SocketAddr, trust: Option<&Trust>, registry: Registry) -> io::Result<Stream> {
        // Before connecting: without authorities to trust, the engine need not be bothered.
        let session = trust.map(Trust::session).transpose().map_err(io::Error::other)?;
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        // A handshake's last message and the request are two small writes; they shall not wait for each other.
        sockopt::set_tcp_nodelay(&socket, true)?;
        // Edges: what is ready is used until it is not, and then an event says when it is again.
        let events =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(registry.epoll, &socket, epoll::EventData::new_u64(registry.token), events)?;
        hit(Point::PollConnects);
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = TcpStream::from(socket);
        Ok(match session {
            None => Stream::Plain(socket),
            Some(session) => Stream::Tls(Box::new(StreamOwned::new(session, socket))),
        })
    }

    /// Whether the connection is made.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn is_connected(&self) -> io::Result<bool> {
        sockopt::socket_error(self.fd())??;
        match self.socket().peer_addr() {
            Ok(_) => {
                hit(Point::PollConnected);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an idle connection is still good: one that has anything to say is closed or out of step. (Tickets of TLS, which
    /// may come at any time, are taken in by the read.)
    pub fn is_idle(&mut self) -> bool {
        matches!(self.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref(),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
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

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

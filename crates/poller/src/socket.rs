//! A TCP connection that keeps a deadline, whatever drips in.

use crate::stop::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tblb_core::failpoint::{Point, hit};
use tblb_core::fault::Fault;

/// What a client and its connection share. The deadline is a point in time for the whole poll: a time-out for each
/// read, which is what a socket and ureq have, is never reached by an engine that sends a byte now and then.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where to connect to.
    pub address: SocketAddr,
    deadline: Mutex<Instant>,
    connections: AtomicU32,
    stop: Arc<Stop>,
}

impl Link {
    pub fn new(address: SocketAddr, stop: Arc<Stop>) -> Link {
        Link { address, deadline: Mutex::new(Instant::now()), connections: AtomicU32::new(0), stop }
    }

    pub fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_deadline(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until something can be done with a socket.
    ///
    /// # Errors
    /// `late` at the deadline and when polling stops.
    fn wait(&self, socket: &impl AsFd, event: PollFlags, late: Fault) -> io::Result<()> {
        loop {
            let left = self.deadline().saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.is_said() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, late));
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds =
                [PollFd::new(socket, event), PollFd::from_borrowed_fd(self.stop.event(), PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
    /// Whether to wait for what cannot be done at once; if not, it is [`io::ErrorKind::WouldBlock`].
    pub patient: bool,
}

impl Socket {
    /// Connects; no name is looked up.
    pub fn connect(link: Arc<Link>) -> io::Result<Socket> {
        let family = if link.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket =
            socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        hit(Point::PollConnects);
        match connect(&socket, &link.address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS | Errno::INTR) => {
                link.wait(&socket, PollFlags::OUT, Fault::ConnectTimeout)?;
                sockopt::socket_error(&socket)??;
            }
            Err(error) => return Err(error.into()),
        }
        // A handshake's last message and the request are two small writes; they shall not wait for each other.
        sockopt::set_tcp_nodelay(&socket, true)?;
        link.connections.fetch_add(1, Ordering::Relaxed);
        hit(Point::PollConnected);
        Ok(Socket { stream: TcpStream::from(socket), link, patient: true })
    }

    /// Does what the socket is to do, as soon as it can.
    fn when<T>(&self, event: PollFlags, mut act: impl FnMut(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match act(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.patient => {
                    self.link.wait(&self.stream, event, Fault::Timeout)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when(PollFlags::IN, |mut stream| stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when(PollFlags::OUT, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

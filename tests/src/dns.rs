//! A name server that says what a test wants.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Servers follow the DNS (`resolve`) in nginx from this version on.
pub const FOLLOWED_SINCE: [u32; 3] = [1, 27, 3];

/// The length of the header of a message (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// A name server on a port of its own, which answers every question for an address in the same way. Dropping it ends it.
pub struct Dns {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<Ipv4Addr>>>,
    serving: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts one that knows these addresses.
    pub fn start(addresses: &[Ipv4Addr]) -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(addresses.to_vec()));
        let known = Arc::clone(&answer);
        let serving = Some(thread::spawn(move || serve(&socket, &known)));
        Dns { address, answer, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it knows these addresses.
    pub fn answer(&self, addresses: &[Ipv4Addr]) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = addresses.to_vec();
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // An empty message ends it.
        let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[], self.address));
        if let (Ok(_), Some(serving)) = (sent, self.serving.take()) {
            let _ = serving.join();
        }
    }
}

fn serve(socket: &UdpSocket, known: &Mutex<Vec<Ipv4Addr>>) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if length == 0 {
            return;
        }
        let addresses = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(reply) = reply(&buffer[..length], &addresses) {
            let _ = socket.send_to(&reply, from);
        }
    }
}

/// The reply to a message with one question: the addresses, if it asks for IPv4 ones, to be kept for a second.
fn reply(message: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let name = message.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let question = message.get(HEADER..HEADER + name + 5)?;
    let asks_for_ipv4 = question.get(name + 1..name + 3)? == [0, 1];
    let addresses = if asks_for_ipv4 { addresses } else { &[] };
    let mut reply = message.get(..2)?.to_vec();
    // A reply of a recursive server; one question, so many answers.
    reply.extend([0x81, 0x80, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    reply.extend(question);
    for address in addresses {
        // The name of the question, type A, class IN, one second, four bytes.
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

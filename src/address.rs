//! Addresses of peers: as text, and as the standard library has them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A short text that needs no allocation; longer ones are cut.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; Self::CAPACITY],
    length: u8,
}

impl Text {
    /// Longer than any address (a path of a unix socket has 108 bytes) and than names in practice.
    const CAPACITY: usize = 128;

    /// The first bytes of these.
    pub fn new(from: &[u8]) -> Self {
        let length = from.len().min(Self::CAPACITY);
        let mut bytes = [0; Self::CAPACITY];
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = *from;
        }
        Text { bytes, length: length as u8 }
    }

    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// An IPv4 or IPv6 address, None for others.
///
/// # Safety
/// `address` points to an address of `length` bytes.
pub unsafe fn socket_address(address: *const libc::sockaddr, length: libc::socklen_t) -> Option<SocketAddr> {
    let length = length as usize;
    if address.is_null() || length < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: every address begins with its family; the rest is read as that family says, if it is long enough.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
                let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
                let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id)))
            }
            _ => None,
        }
    }
}

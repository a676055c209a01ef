//! nginx's lists of peers. This file alone walks them and takes their locks.
//!
//! A worker that dies while it holds the lock hangs all others, so what runs under it is short and can neither
//! panic nor allocate; and the guards let go even where something unwinds.

use ngx::ffi::{
    ngx_http_upstream_rr_peer_t, ngx_http_upstream_rr_peers_t, ngx_rwlock_rlock, ngx_rwlock_unlock,
    ngx_rwlock_wlock, ngx_str_t,
};
use std::ptr::{self, NonNull};

/// A list of peers: the primary servers of an upstream, or the backup ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peers(NonNull<ngx_http_upstream_rr_peers_t>);

impl Peers {
    /// The list at an address, None for null.
    ///
    /// # Safety
    /// The address is that of a list of nginx, which lives as long as this is used.
    pub unsafe fn new(list: *mut ngx_http_upstream_rr_peers_t) -> Option<Self> {
        NonNull::new(list).map(Peers)
    }

    /// The address.
    pub fn as_ptr(self) -> *mut ngx_http_upstream_rr_peers_t {
        self.0.as_ptr()
    }

    /// Whether nginx treats the upstream as one of a single peer.
    pub fn single(self) -> bool {
        // SAFETY: the list is alive; the flag changes with the list's configuration only, and any value that is
        // read is one of the two.
        unsafe { (*self.as_ptr()).single() != 0 }
    }

    /// How many peers there are now; another process may change it unless the list is locked.
    pub fn number(self) -> usize {
        // SAFETY: the list is alive, and a word is read whole.
        unsafe { ptr::read_volatile(&raw const (*self.as_ptr()).number) }
    }

    /// The backup servers of these primary ones.
    pub fn backup(self) -> Option<Peers> {
        // SAFETY: the list is alive, and its successor is a list likewise and never changes.
        NonNull::new(unsafe { (*self.as_ptr()).next }).map(Peers)
    }

    /// The name that nginx gives to failures of the whole upstream.
    pub fn name(self) -> *mut ngx_str_t {
        // SAFETY: the list is alive, and its name never changes.
        unsafe { (*self.as_ptr()).name }
    }

    /// Which configuration of the peers this is: another number when `resolve` changed them.
    pub fn config(self) -> usize {
        #[cfg(nginx_1_27_3)]
        {
            // SAFETY: the list is alive, and the pointer never changes.
            let config = unsafe { (*self.as_ptr()).config };
            // SAFETY: it points into the list's zone, and a word is read whole.
            if config.is_null() { 0 } else { unsafe { ptr::read_volatile(config) } }
        }
        #[cfg(not(nginx_1_27_3))]
        0
    }

    /// Locks the list for reading.
    pub fn read(self) -> Guard {
        Guard::new(self, ngx_rwlock_rlock)
    }

    /// Locks the list for writing.
    pub fn write(self) -> Guard {
        Guard::new(self, ngx_rwlock_wlock)
    }
}

/// A locked list; dropping it unlocks.
pub struct Guard(Peers);

impl Guard {
    fn new(peers: Peers, lock: unsafe extern "C" fn(*mut ngx::ffi::ngx_atomic_t)) -> Self {
        // SAFETY: the list is alive. As in nginx, a list that is not in a zone (no pool) needs no lock.
        unsafe {
            if !(*peers.as_ptr()).shpool.is_null() {
                lock(&raw mut (*peers.as_ptr()).rwlock);
            }
        }
        Guard(peers)
    }

    /// The peers in their order.
    pub fn iter(&mut self) -> Iter<'_> {
        // SAFETY: the list is locked, so that its first peer stays.
        Iter { next: unsafe { (*self.0.as_ptr()).peer }, guard: std::marker::PhantomData }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let peers = self.0;
        // SAFETY: the list is alive, and this process locked it if it has a pool.
        unsafe {
            if !(*peers.as_ptr()).shpool.is_null() {
                ngx_rwlock_unlock(&raw mut (*peers.as_ptr()).rwlock);
            }
        }
    }
}

/// The peers of a locked list.
pub struct Iter<'a> {
    next: *mut ngx_http_upstream_rr_peer_t,
    guard: std::marker::PhantomData<&'a mut Guard>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a mut ngx_http_upstream_rr_peer_t;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the list is locked, so that its peers stay; each is visited once, so that no other reference
        // to it is handed out.
        let peer = unsafe { self.next.as_mut() }?;
        self.next = peer.next;
        Some(peer)
    }
}

/// Whether a peer may get a request at the time `now` (s): the test of nginx's own methods.
pub fn available(peer: &ngx_http_upstream_rr_peer_t, now: libc::time_t) -> bool {
    let full = peer.max_conns != 0 && peer.conns >= peer.max_conns;
    peer.down == 0 && !failed(peer, now) && !full
}

/// Whether a peer is out for its failures.
fn failed(peer: &ngx_http_upstream_rr_peer_t, now: libc::time_t) -> bool {
    peer.max_fails != 0 && peer.fails >= peer.max_fails && now.wrapping_sub(peer.checked) <= peer.fail_timeout
}

/// The bytes of a string of nginx.
///
/// # Safety
/// The string's memory stays and is not changed as long as the bytes are used.
pub unsafe fn bytes<'a>(string: &ngx_str_t) -> &'a [u8] {
    if string.data.is_null() {
        return &[];
    }
    // SAFETY: as the caller says; nginx's strings are that long.
    unsafe { std::slice::from_raw_parts(string.data, string.len) }
}

/// What is copied of a peer, so that it can be used when the list is unlocked again.
#[derive(Clone, Copy)]
pub struct Copied {
    /// The address as text, as `$upstream_addr` has it.
    pub name: Text,
    /// The word in the `server` directive.
    pub server: Text,
    /// Its address, None where it is neither IPv4 nor IPv6.
    pub address: Option<std::net::SocketAddr>,
    /// Its `weight`.
    pub weight: i64,
    /// Connections that nginx counts.
    pub conns: u64,
    /// Whether it may get requests now; a full one may.
    pub down: bool,
}

/// A short text that needs no allocation; longer ones are cut.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; Self::CAPACITY],
    length: u8,
}

impl Text {
    /// Longer than any address (a path of a unix socket has 108 bytes) and than names in practice.
    const CAPACITY: usize = 128;

    fn new(from: &[u8]) -> Self {
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

/// Copies the peers of a list, as many as `into` has room for, and says which configuration they are of.
pub fn copy(peers: Peers, now: libc::time_t, into: &mut Vec<Copied>) -> usize {
    into.clear();
    // Room for what is there, and for what `resolve` may add before the list is locked.
    into.reserve(peers.number() + 8);
    let mut locked = peers.read();
    for peer in locked.iter() {
        if into.len() < into.capacity() {
            into.push(copied(peer, now));
        }
    }
    peers.config()
}

fn copied(peer: &ngx_http_upstream_rr_peer_t, now: libc::time_t) -> Copied {
    // SAFETY: the caller holds the lock, under which a peer's strings and address stay.
    let (name, server, address) = unsafe {
        (bytes(&peer.name), bytes(&peer.server), socket_address(peer.sockaddr.cast(), peer.socklen))
    };
    Copied {
        name: Text::new(name),
        server: Text::new(server),
        address,
        weight: peer.weight as i64,
        conns: peer.conns as u64,
        down: peer.down != 0 || failed(peer, now),
    }
}

/// An IPv4 or IPv6 address, None for others.
///
/// # Safety
/// `address` points to an address of `length` bytes.
unsafe fn socket_address(
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> Option<std::net::SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
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

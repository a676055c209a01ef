//! nginx's lists of peers. This file alone walks them and takes their locks.
//!
//! A worker that dies while it holds the lock hangs all others, so what runs under it is short and can neither
//! panic nor allocate; and the guards let go even where something unwinds.

use crate::address::{Text, socket_address};
use ngx::ffi::{
    ngx_http_upstream_rr_peer_t, ngx_http_upstream_rr_peers_t, ngx_rwlock_rlock, ngx_rwlock_unlock,
    ngx_rwlock_wlock, ngx_str_t, ngx_uint_t,
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

    /// Locks the list for reading: its peers stay, but other workers change their numbers meanwhile.
    fn read(self) -> Locked {
        Locked::new(self, ngx_rwlock_rlock)
    }

    /// Locks the list for writing: its peers are this worker's alone.
    pub fn write(self) -> Guard {
        Guard(Locked::new(self, ngx_rwlock_wlock))
    }
}

/// A locked list; dropping it unlocks.
struct Locked(Peers);

impl Locked {
    fn new(peers: Peers, lock: unsafe extern "C" fn(*mut ngx::ffi::ngx_atomic_t)) -> Self {
        // SAFETY: the list is alive. As in nginx, a list that is not in a zone (no pool) needs no lock.
        unsafe {
            if !(*peers.as_ptr()).shpool.is_null() {
                lock(&raw mut (*peers.as_ptr()).rwlock);
            }
        }
        Locked(peers)
    }

    /// The first peer, null if there are none.
    fn first(&self) -> *mut ngx_http_upstream_rr_peer_t {
        // SAFETY: the list is locked, so that its first peer stays.
        unsafe { (*self.0.as_ptr()).peer }
    }

    /// The addresses of the peers in their order.
    fn addresses(&self) -> impl Iterator<Item = NonNull<ngx_http_upstream_rr_peer_t>> + use<'_> {
        std::iter::successors(NonNull::new(self.first()), |peer| {
            // SAFETY: the list is locked, so that its peers stay and so does their order.
            NonNull::new(unsafe { (*peer.as_ptr()).next })
        })
    }
}

impl Drop for Locked {
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

/// A list that is locked for writing; dropping it unlocks.
pub struct Guard(Locked);

impl Guard {
    /// The peers in their order.
    pub fn iter(&mut self) -> Iter<'_> {
        Iter { next: self.0.first(), guard: std::marker::PhantomData }
    }
}

/// The peers of a list that is locked for writing.
pub struct Iter<'a> {
    next: *mut ngx_http_upstream_rr_peer_t,
    guard: std::marker::PhantomData<&'a mut Guard>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a mut ngx_http_upstream_rr_peer_t;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the list is locked for writing, so that its peers stay and nobody else reads or changes them; each is
        // visited once, so that no other reference to it is handed out.
        let peer = unsafe { self.next.as_mut() }?;
        self.next = peer.next;
        Some(peer)
    }
}

/// Whether a peer may get a request at the time `now` (s): the test of nginx's own methods.
pub fn available(peer: &ngx_http_upstream_rr_peer_t, now: libc::time_t) -> bool {
    let full = peer.max_conns != 0 && peer.conns >= peer.max_conns;
    let checks = Checks {
        max_fails: peer.max_fails,
        fails: peer.fails,
        checked: peer.checked,
        fail_timeout: peer.fail_timeout,
    };
    peer.down == 0 && !checks.failed(now) && !full
}

/// What nginx keeps of a peer's failures.
struct Checks {
    max_fails: ngx_uint_t,
    fails: ngx_uint_t,
    checked: libc::time_t,
    fail_timeout: libc::time_t,
}

impl Checks {
    /// Whether the peer is out for its failures.
    fn failed(&self, now: libc::time_t) -> bool {
        self.max_fails != 0
            && self.fails >= self.max_fails
            && now.wrapping_sub(self.checked) <= self.fail_timeout
    }
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

/// Copies the peers of a list, as many as `into` has room for, and says which configuration they are of.
pub fn copy(peers: Peers, now: libc::time_t, into: &mut Vec<Copied>) -> usize {
    into.clear();
    // Room for what is there, and for what `resolve` may add before the list is locked.
    into.reserve(peers.number() + 8);
    let locked = peers.read();
    for peer in locked.addresses() {
        if into.len() < into.capacity() {
            // SAFETY: the list is locked for reading.
            into.push(unsafe { copied(peer.as_ptr(), now) });
        }
    }
    peers.config()
}

/// Copies what is needed of a peer, word by word.
///
/// # Safety
/// The peer is one of a list that is locked for reading.
unsafe fn copied(peer: *const ngx_http_upstream_rr_peer_t, now: libc::time_t) -> Copied {
    // Other workers change numbers of the peer meanwhile: there may be no reference to the peer, and each word is read as
    // it is at that moment.
    macro_rules! word {
        ($name:ident) => {
            ptr::read_volatile(&raw const (*peer).$name)
        };
    }
    // SAFETY: as the caller says; strings and addresses of peers stay as they are under the lock.
    unsafe {
        let checks = Checks {
            max_fails: word!(max_fails),
            fails: word!(fails),
            checked: word!(checked),
            fail_timeout: word!(fail_timeout),
        };
        Copied {
            name: Text::new(bytes(&word!(name))),
            server: Text::new(bytes(&word!(server))),
            address: socket_address(word!(sockaddr).cast(), word!(socklen)),
            weight: word!(weight) as i64,
            conns: word!(conns) as u64,
            down: word!(down) != 0 || checks.failed(now),
        }
    }
}

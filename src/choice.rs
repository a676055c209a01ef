//! What happens under the lock of a list of peers: who may be picked, the pick, and the taking.

use crate::balancer::PeerData;
use crate::clock;
use crate::group::{Group, PeerAddress};
use crate::peers::{Guard, Peers, available};
use ngx::ffi::{ngx_int_t, ngx_peer_connection_t};
use std::ptr::NonNull;
use tblb_core::balancer::{self, Pick, Taken, Terms};
use tblb_core::picker::{Numbers, Picked};

/// A peer that may be picked, and where it stands in the list.
#[derive(Clone, Copy)]
struct Found {
    peer: PeerAddress,
    place: usize,
}

/// Under the list's lock: finds who may be picked, picks, and takes it as least_conn does. Allocates nothing and
/// calls nothing that could panic. The peer as it was taken, and the pick if there was one.
pub fn choose(
    peers: Peers,
    terms: Terms,
    pc: &mut ngx_peer_connection_t,
    data: &mut PeerData,
    group: &mut Group,
    rng: &mut fastrand::Rng,
) -> Option<(Taken, Option<Picked>)> {
    let now = clock::seconds();
    group.peers.ask(data.model);
    let mut locked = peers.write();
    if !same_config(peers, data) {
        return None;
    }
    if let Some((found, taken)) = sticky(&mut locked, pc, data, &group.peers, now) {
        take(found, pc, data, now);
        return Some((taken, None));
    }
    offer_all(&mut locked, data, &mut group.peers, now);
    let (group, note) = group.noting();
    let Pick { peer, taken, picked } = group.pick(terms, rng, note)?;
    for (peer, candidate) in group.turned() {
        // SAFETY: the list is locked since the addresses were taken.
        let peer = unsafe { &mut *peer.as_ptr() };
        peer.current_weight = candidate.current_weight as ngx_int_t;
        peer.effective_weight = candidate.effective_weight as ngx_int_t;
    }
    take(Found { peer, place: taken.place }, pc, data, now);
    Some((taken, Some(picked)))
}

/// Offers the peers that may be picked. As a function of its own the loop keeps its values in registers.
#[inline(never)]
fn offer_all(
    locked: &mut Guard,
    data: &PeerData,
    group: &mut balancer::Group<PeerAddress>,
    now: libc::time_t,
) {
    let retries = any_tried(data, group.slots().len());
    for ((place, peer), offered) in locked.iter().enumerate().zip(group.places()) {
        if (retries && tried(data, place)) || !available(peer, now) {
            continue;
        }
        let numbers = Numbers {
            conns: peer.conns as u64,
            weight: peer.weight as i64,
            effective_weight: peer.effective_weight as i64,
            current_weight: peer.current_weight as i64,
        };
        offered.offer(numbers, NonNull::from(peer));
    }
}

/// The peer that `sticky` wants, if it may be picked, serves the model and is not asleep.
#[cfg(ngx_upstream_sid)]
fn sticky(
    locked: &mut Guard,
    pc: &ngx_peer_connection_t,
    data: &PeerData,
    group: &balancer::Group<PeerAddress>,
    now: libc::time_t,
) -> Option<(Found, Taken)> {
    // SAFETY: the hint is null or a string of the request; peers' strings stay while the list is locked.
    let hint = unsafe { crate::peers::bytes(pc.hint.as_ref()?) };
    // SAFETY: as above.
    let wanted =
        |peer: &ngx::ffi::ngx_http_upstream_rr_peer_t| unsafe { crate::peers::bytes(&peer.sid) } == hint;
    let (place, peer) = locked.iter().enumerate().find(|(_, peer)| wanted(peer))?;
    // A peer that drains (this bit of `down`) still serves the sessions that it has.
    let down = peer.down & !(ngx::ffi::NGX_HTTP_UPSTREAM_DRAINING as ngx::ffi::ngx_uint_t);
    let undrained = ngx::ffi::ngx_http_upstream_rr_peer_t { down, ..*peer };
    let may = !tried(data, place) && available(&undrained, now);
    let taken = group.take(place, tblb_core::reason::Reason::Sticky).filter(|_| may)?;
    Some((Found { peer: NonNull::from(peer), place }, taken))
}

#[cfg(not(ngx_upstream_sid))]
fn sticky(
    _: &mut Guard,
    _: &ngx_peer_connection_t,
    _: &PeerData,
    _: &balancer::Group<PeerAddress>,
    _: libc::time_t,
) -> Option<(Found, Taken)> {
    None
}

/// Takes a peer for the request; the list is locked.
fn take(found: Found, pc: &mut ngx_peer_connection_t, data: &mut PeerData, now: libc::time_t) {
    // SAFETY: the list is locked since the address was taken.
    let peer = unsafe { &mut *found.peer.as_ptr() };
    if now.wrapping_sub(peer.checked) > peer.fail_timeout {
        peer.checked = now;
    }
    pc.sockaddr = peer.sockaddr;
    pc.socklen = peer.socklen;
    pc.name = &raw mut peer.name;
    #[cfg(ngx_upstream_sid)]
    {
        pc.sid = &raw mut peer.sid;
    }
    peer.conns = peer.conns.wrapping_add(1);
    // `resolve` frees no peer that has references.
    #[cfg(nginx_1_27_3)]
    {
        peer.refs = peer.refs.wrapping_add(1);
    }
    data.round_robin.current = found.peer.as_ptr();
    let (word, bit) = tried_bit(found.place);
    // SAFETY: round robin made room for a bit for each peer of the list.
    unsafe { *data.round_robin.tried.add(word) |= bit };
}

/// Whether the request has been at a peer already.
fn tried(data: &PeerData, place: usize) -> bool {
    let (word, bit) = tried_bit(place);
    // SAFETY: round robin made room for a bit for each peer of the list.
    unsafe { *data.round_robin.tried.add(word) & bit != 0 }
}

/// Whether the request has been at any of so many peers; nearly all requests have been at none.
fn any_tried(data: &PeerData, peers: usize) -> bool {
    // SAFETY: round robin made room for a bit for each peer of the list.
    (0..peers.div_ceil(usize::BITS as usize)).any(|word| unsafe { *data.round_robin.tried.add(word) != 0 })
}

fn tried_bit(place: usize) -> (usize, usize) {
    (place / usize::BITS as usize, 1 << (place % usize::BITS as usize))
}

/// Whether the peers are still those for which the request's data were made.
pub fn same_config(peers: Peers, data: &PeerData) -> bool {
    let config = peers.config();
    config == 0 || config == data.round_robin.config
}

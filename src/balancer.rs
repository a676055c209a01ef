//! The method of an upstream: round robin's, with a choice of our own. The steps are those of nginx's least_conn
//! module in the same order, so that every parameter of `server` means what it means there.

use crate::conf::{UpstreamConf, upstream_of};
use crate::peers::{Guard, Peers, available};
use crate::request::Kept;
use crate::worker::{self, Group};
use crate::{guard, request};
use ngx::ffi::{
    NGX_BUSY, NGX_ERROR, NGX_OK, ngx_cached_time, ngx_conf_t, ngx_http_request_t,
    ngx_http_upstream_free_round_robin_peer, ngx_http_upstream_get_round_robin_peer,
    ngx_http_upstream_init_round_robin, ngx_http_upstream_init_round_robin_peer,
    ngx_http_upstream_rr_peer_data_t, ngx_http_upstream_rr_peer_t, ngx_http_upstream_srv_conf_t, ngx_int_t,
    ngx_pcalloc, ngx_peer_connection_t, ngx_uint_t,
};
use std::ffi::c_void;
use std::ptr;
use tblb_core::picker::{self, Candidate, Picked};
use tblb_core::reason::Reason;

/// What nginx hands to our hooks. Round robin's data come first: its functions, and nginx's modules that know of
/// it, find them there.
#[repr(C)]
struct PeerData {
    round_robin: ngx_http_upstream_rr_peer_data_t,
    conf: *const UpstreamConf,
    /// The tokens that the request's prompt counts for.
    prompt: u32,
    kept: Option<&'static Kept>,
}

/// A peer that may be picked, and where it stands in the list.
#[derive(Clone, Copy)]
pub struct Choice {
    peer: *mut ngx_http_upstream_rr_peer_t,
    place: usize,
}

pub unsafe extern "C" fn init_upstream(
    cf: *mut ngx_conf_t,
    upstream: *mut ngx_http_upstream_srv_conf_t,
) -> ngx_int_t {
    // SAFETY: nginx calls this with an upstream block that has a `tblb` directive.
    unsafe {
        if ngx_http_upstream_init_round_robin(cf, upstream) != NGX_OK as ngx_int_t {
            return NGX_ERROR as ngx_int_t;
        }
        (*upstream).peer.init = Some(init_peer);
    }
    NGX_OK as ngx_int_t
}

unsafe extern "C" fn init_peer(
    r: *mut ngx_http_request_t,
    upstream: *mut ngx_http_upstream_srv_conf_t,
) -> ngx_int_t {
    // SAFETY: nginx calls this with a request whose upstream it has created, and a block of ours.
    guard::or(NGX_ERROR as ngx_int_t, || unsafe {
        let conf = upstream_of(upstream);
        // Where the length is not known yet the prompt counts for nothing.
        let bytes = u64::try_from((*r).headers_in.content_length_n).unwrap_or(0);
        let data = ngx_pcalloc((*r).pool, size_of::<PeerData>()).cast::<PeerData>();
        if data.is_null() {
            return NGX_ERROR as ngx_int_t;
        }
        (*data).prompt = conf.as_ref().map_or(1, |conf| worker::prompt(conf, bytes));
        (*data).conf = conf.map_or(ptr::null(), |conf| ptr::from_ref(conf));
        (*data).kept = request::keep(r);
        (*(*r).upstream).peer.data = data.cast();
        if ngx_http_upstream_init_round_robin_peer(r, upstream) != NGX_OK as ngx_int_t {
            return NGX_ERROR as ngx_int_t;
        }
        (*(*r).upstream).peer.get = Some(get_peer);
        (*(*r).upstream).peer.free = Some(free_peer);
        NGX_OK as ngx_int_t
    })
}

unsafe extern "C" fn get_peer(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx calls this with its connection and the data that `init_peer` made.
    let picked = guard::or(None, || unsafe { Some(get(&mut *pc, &mut *data.cast::<PeerData>())) });
    // SAFETY: round robin's data come first in ours. Nothing of ours holds a lock any more.
    picked.unwrap_or_else(|| unsafe { ngx_http_upstream_get_round_robin_peer(pc, data) })
}

unsafe extern "C" fn free_peer(pc: *mut ngx_peer_connection_t, data: *mut c_void, state: ngx_uint_t) {
    // SAFETY: nginx calls this with its connection and the data that `init_peer` made, after a `get`.
    unsafe {
        let data = &mut *data.cast::<PeerData>();
        guard::or((), || {
            if let Some(kept) = data.kept {
                kept.end(state);
            }
        });
        if !data.round_robin.current.is_null() {
            ngx_http_upstream_free_round_robin_peer(pc, (&raw mut data.round_robin).cast(), state);
        }
    }
}

/// Picks a peer of the primary servers, or of the backup ones where none of the primary can take the request.
fn get(pc: &mut ngx_peer_connection_t, data: &mut PeerData) -> ngx_int_t {
    pc.set_cached(0);
    pc.connection = ptr::null_mut();
    // SAFETY: the configuration lives as long as its cycle, in which the request began.
    let Some(conf) = (unsafe { data.conf.as_ref() }) else { return NGX_ERROR as ngx_int_t };
    // SAFETY: the list is the upstream's, which lives as long as the cycle, or its zone.
    let primary = unsafe { Peers::new(data.round_robin.peers) };
    let Some(primary) = primary else { return NGX_ERROR as ngx_int_t };
    let rc = get_of(primary, conf, pc, data);
    if rc != NGX_BUSY as ngx_int_t {
        return rc;
    }
    if let Some(backup) = primary.backup().filter(|_| same_config(primary, data)) {
        data.round_robin.peers = backup.as_ptr();
        forget_tried(backup, data);
        let rc = get_of(backup, conf, pc, data);
        if rc != NGX_BUSY as ngx_int_t {
            return rc;
        }
    }
    pc.name = primary.name();
    NGX_BUSY as ngx_int_t
}

/// Whether the peers are still those for which the request's data were made.
fn same_config(peers: Peers, data: &PeerData) -> bool {
    let config = peers.config();
    config == 0 || config == data.round_robin.config
}

fn forget_tried(peers: Peers, data: &mut PeerData) {
    for n in 0..peers.number().div_ceil(usize::BITS as usize) {
        // SAFETY: round robin made room for a bit for each peer of the longer list, which `same_config` holds.
        unsafe { *data.round_robin.tried.add(n) = 0 };
    }
}

/// Picks a peer of one list; NGX_BUSY if none can take the request.
fn get_of(
    peers: Peers,
    conf: &UpstreamConf,
    pc: &mut ngx_peer_connection_t,
    data: &mut PeerData,
) -> ngx_int_t {
    if peers.single() {
        return get_single(peers, conf, pc, data);
    }
    let picked = worker::with_group(conf, peers, |group, rng| {
        let (place, picked) = choose(peers, conf, pc, data, group, rng)?;
        Some((group.slot(place), group.scores.get(place).score, picked.reason))
    });
    match picked {
        Some(Some((slot, score, reason))) => {
            begin(data, conf, slot, score, reason);
            NGX_OK as ngx_int_t
        }
        Some(None) => NGX_BUSY as ngx_int_t,
        // This worker never began: round robin serves.
        // SAFETY: the data are those of the request.
        None => unsafe { ngx_http_upstream_get_round_robin_peer(pc, (&raw mut data.round_robin).cast()) },
    }
}

fn begin(data: &PeerData, conf: &UpstreamConf, slot: Option<u32>, score: Option<f64>, reason: Reason) {
    if let Some(kept) = data.kept {
        kept.begin(slot, data.prompt, conf.block.balance.algorithm.name, score, reason);
    }
}

/// The only peer, as round robin takes it.
fn get_single(
    peers: Peers,
    conf: &UpstreamConf,
    pc: &mut ngx_peer_connection_t,
    data: &mut PeerData,
) -> ngx_int_t {
    let (slot, score) =
        worker::with_group(conf, peers, |group, _| (group.slot(0), group.scores.get(0).score))
            .unwrap_or_default();
    // SAFETY: the data are those of the request. nginx goes on to the backup servers, if there are any.
    let rc = unsafe { ngx_http_upstream_get_round_robin_peer(pc, (&raw mut data.round_robin).cast()) };
    if rc == NGX_OK as ngx_int_t {
        begin(data, conf, slot, score, Reason::Single);
    }
    rc
}

/// Under the list's lock: finds who may be picked, picks, and takes it as least_conn does. Allocates nothing and
/// calls nothing that could panic. The place of the peer in the list, and how it was picked.
fn choose(
    peers: Peers,
    conf: &UpstreamConf,
    pc: &mut ngx_peer_connection_t,
    data: &mut PeerData,
    group: &mut Group,
    rng: &mut fastrand::Rng,
) -> Option<(usize, Picked)> {
    let now = seconds();
    let mut locked = peers.write();
    if !same_config(peers, data) {
        return None;
    }
    if let Some(found) = sticky(&mut locked, pc, data, now) {
        take(found, pc, data, now);
        return Some((found.place, Picked { index: 0, reason: Reason::LeastConn }));
    }
    gather(&mut locked, data, group, now);
    let picked = picker::pick(&conf.block, data.prompt, &mut group.candidates, rng)?;
    for (candidate, choice) in group.candidates.iter().zip(&group.choices) {
        // SAFETY: the list is locked since the addresses were taken.
        let peer = unsafe { &mut *choice.peer };
        peer.current_weight = candidate.current_weight as ngx_int_t;
        peer.effective_weight = candidate.effective_weight as ngx_int_t;
    }
    let choice = *group.choices.get(picked.index)?;
    take(choice, pc, data, now);
    Some((choice.place, picked))
}

/// Fills the group's candidates with the peers that may be picked.
fn gather(locked: &mut Guard, data: &PeerData, group: &mut Group, now: libc::time_t) {
    group.candidates.clear();
    group.choices.clear();
    for (place, peer) in locked.iter().enumerate() {
        // More peers than there is room for were added just now: the next request sees them.
        let room = group.candidates.len() < group.candidates.capacity()
            && group.choices.len() < group.choices.capacity();
        if !room || tried(data, place) || !available(peer, now) {
            continue;
        }
        group.candidates.push(Candidate {
            conns: peer.conns as u64,
            weight: peer.weight as i64,
            effective_weight: peer.effective_weight as i64,
            current_weight: peer.current_weight as i64,
            known: group.scores.get(place),
        });
        group.choices.push(Choice { peer, place });
    }
}

/// The peer that `sticky` wants, if it may be picked.
#[cfg(ngx_upstream_sid)]
fn sticky(
    locked: &mut Guard,
    pc: &ngx_peer_connection_t,
    data: &PeerData,
    now: libc::time_t,
) -> Option<Choice> {
    // SAFETY: the hint is null or a string of the request; peers' strings stay while the list is locked.
    let hint = unsafe { crate::peers::bytes(pc.hint.as_ref()?) };
    let wanted = |peer: &ngx_http_upstream_rr_peer_t| unsafe { crate::peers::bytes(&peer.sid) } == hint;
    let (place, peer) = locked.iter().enumerate().find(|(_, peer)| wanted(peer))?;
    // A peer that drains (this bit of `down`) still serves the sessions that it has.
    let down = peer.down & !(ngx::ffi::NGX_HTTP_UPSTREAM_DRAINING as ngx_uint_t);
    let undrained = ngx_http_upstream_rr_peer_t { down, ..*peer };
    (!tried(data, place) && available(&undrained, now)).then_some(Choice { peer, place })
}

#[cfg(not(ngx_upstream_sid))]
fn sticky(_: &mut Guard, _: &ngx_peer_connection_t, _: &PeerData, _: libc::time_t) -> Option<Choice> {
    None
}

/// Takes a peer for the request; the list is locked.
fn take(choice: Choice, pc: &mut ngx_peer_connection_t, data: &mut PeerData, now: libc::time_t) {
    // SAFETY: the list is locked since the address was taken.
    let peer = unsafe { &mut *choice.peer };
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
    data.round_robin.current = choice.peer;
    let (word, bit) = tried_bit(choice.place);
    // SAFETY: round robin made room for a bit for each peer of the list.
    unsafe { *data.round_robin.tried.add(word) |= bit };
}

/// Whether the request has been at a peer already.
fn tried(data: &PeerData, place: usize) -> bool {
    let (word, bit) = tried_bit(place);
    // SAFETY: round robin made room for a bit for each peer of the list.
    unsafe { *data.round_robin.tried.add(word) & bit != 0 }
}

fn tried_bit(place: usize) -> (usize, usize) {
    (place / usize::BITS as usize, 1 << (place % usize::BITS as usize))
}

/// nginx's time in seconds, by which it counts `fail_timeout`.
pub fn seconds() -> libc::time_t {
    // SAFETY: nginx's cached time is never null once it runs, and a word is read whole.
    unsafe { (*ngx_cached_time).sec }
}

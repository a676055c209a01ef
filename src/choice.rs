//! What happens under the lock of a list of peers: who may be picked, the pick, and the taking.

use crate::balancer::PeerData;
use crate::clock;
use crate::conf::UpstreamConf;
use crate::group::Group;
use crate::peers::{Guard, Peers, available};
use ngx::ffi::{ngx_http_upstream_rr_peer_t, ngx_int_t, ngx_peer_connection_t};
use tblb_core::picker::{self, Candidate, Picked};
use tblb_core::reason::Reason;
use tblb_core::scores::Asked;

/// A peer that may be picked, and where it stands in the list.
#[derive(Clone, Copy)]
pub struct Choice {
    peer: *mut ngx_http_upstream_rr_peer_t,
    place: usize,
}

/// Under the list's lock: finds who may be picked, picks, and takes it as least_conn does. Allocates nothing and
/// calls nothing that could panic. The place of the peer in the list, its score, and how it was picked.
pub fn choose(
    peers: Peers,
    conf: &UpstreamConf,
    pc: &mut ngx_peer_connection_t,
    data: &mut PeerData,
    group: &mut Group,
    rng: &mut fastrand::Rng,
) -> Option<(usize, Option<f64>, Picked)> {
    let now = clock::seconds();
    let asked = group.scores.ask(data.model);
    let mut locked = peers.write();
    if !same_config(peers, data) {
        return None;
    }
    let stuck = sticky(&mut locked, pc, data, now)
        .and_then(|found| Some((found, group.scores.get_for(found.place, &asked)?.score)));
    if let Some((found, score)) = stuck {
        take(found, pc, data, now);
        return Some((found.place, score, Picked { index: 0, reason: Reason::LeastConn }));
    }
    gather(&mut locked, data, group, &asked, now);
    group.note(rng);
    let picked = picker::pick(&conf.block, data.prompt, &mut group.candidates, rng)?;
    for (candidate, choice) in group.candidates.iter().zip(&group.choices) {
        // SAFETY: the list is locked since the addresses were taken.
        let peer = unsafe { &mut *choice.peer };
        peer.current_weight = candidate.current_weight as ngx_int_t;
        peer.effective_weight = candidate.effective_weight as ngx_int_t;
    }
    let choice = *group.choices.get(picked.index)?;
    let score = group.candidates.get(picked.index).and_then(|candidate| candidate.known.score);
    take(choice, pc, data, now);
    Some((choice.place, score, picked))
}

/// Fills the group's candidates with the peers that may be picked.
fn gather(locked: &mut Guard, data: &PeerData, group: &mut Group, asked: &Asked, now: libc::time_t) {
    group.candidates.clear();
    group.choices.clear();
    for (place, peer) in locked.iter().enumerate() {
        // More peers than there is room for were added just now: the next request sees them.
        let room = group.candidates.len() < group.candidates.capacity()
            && group.choices.len() < group.choices.capacity();
        if !room || tried(data, place) || !available(peer, now) {
            continue;
        }
        let Some(known) = group.scores.get_for(place, asked) else { continue };
        group.candidates.push(Candidate {
            conns: peer.conns as u64,
            weight: peer.weight as i64,
            effective_weight: peer.effective_weight as i64,
            current_weight: peer.current_weight as i64,
            known,
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
    // SAFETY: as above.
    let wanted = |peer: &ngx_http_upstream_rr_peer_t| unsafe { crate::peers::bytes(&peer.sid) } == hint;
    let (place, peer) = locked.iter().enumerate().find(|(_, peer)| wanted(peer))?;
    // A peer that drains (this bit of `down`) still serves the sessions that it has.
    let down = peer.down & !(ngx::ffi::NGX_HTTP_UPSTREAM_DRAINING as ngx::ffi::ngx_uint_t);
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

/// Whether the peers are still those for which the request's data were made.
pub fn same_config(peers: Peers, data: &PeerData) -> bool {
    let config = peers.config();
    config == 0 || config == data.round_robin.config
}

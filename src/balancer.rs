//! The method of an upstream: round robin's, with a choice of our own. The steps are those of nginx's least_conn
//! module in the same order, so that every parameter of `server` means what it means there.

use crate::choice::{choose, same_config};
use crate::conf::{UpstreamConf, upstream_of};
use crate::peers::Peers;
use crate::request::Kept;
use crate::{clock, guard, model, request, request_body, response, worker};
use ngx::ffi::{
    NGX_BUSY, NGX_ERROR, NGX_HTTP_POST, NGX_OK, ngx_conf_t, ngx_http_request_t,
    ngx_http_upstream_free_round_robin_peer, ngx_http_upstream_get_round_robin_peer,
    ngx_http_upstream_init_round_robin, ngx_http_upstream_init_round_robin_peer,
    ngx_http_upstream_rr_peer_data_t, ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_pcalloc,
    ngx_peer_connection_t, ngx_uint_t,
};
use std::ffi::c_void;
use std::ptr;
use tblb_core::balancer::{Taken, Terms};
use tblb_core::failpoint::{Point, hit};
use tblb_core::model::Name;
use tblb_core::reason::Reason;
use tblb_core::scores::Verdict;

/// What nginx hands to our hooks. Round robin's data come first: its functions, and nginx's modules that know of
/// it, find them there.
#[repr(C)]
pub struct PeerData {
    /// Round robin's.
    pub round_robin: ngx_http_upstream_rr_peer_data_t,
    conf: *const UpstreamConf,
    /// The tokens that the request's prompt counts for.
    pub prompt: u32,
    /// The key of the model that the request asks for, where that is known and matters.
    pub model: Option<u64>,
    kept: Option<&'static Kept>,
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
        if let Some(conf) = upstream_of(upstream) {
            conf.in_use = true;
        }
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
        // Engines generate for POST only; lists of models and the like have no prompt.
        let prompted = (*r).method == NGX_HTTP_POST as ngx_uint_t;
        let data = ngx_pcalloc((*r).pool, size_of::<PeerData>()).cast::<PeerData>();
        if data.is_null() {
            return NGX_ERROR as ngx_int_t;
        }
        // What goes wrong in here costs the request its weight or its model, and not its answer.
        (*data).prompt = 1;
        let asked = guard::or(None, || {
            (*data).kept = request::keep(r);
            (*data).prompt = match conf.as_ref() {
                // What has not come yet does not count: a client can announce any length.
                Some(conf) if prompted => {
                    worker::prompt(conf, request_body::length(&*r), request_body::is_whole(&*r))
                }
                _ => 0,
            };
            let asked = conf.as_ref().and_then(|conf| asked(r, conf));
            show_model(&*data, conf.as_deref(), asked.as_ref());
            asked
        });
        (*data).model = match asked {
            None | Some((_, Verdict::Unlisted)) => None,
            Some((name, Verdict::Served)) => Some(name.key()),
            Some((name, Verdict::Refused)) => {
                response::refuse(r, &name);
                return NGX_ERROR as ngx_int_t;
            }
        };
        (*data).conf = conf.map_or(ptr::null(), |conf| ptr::from_ref(conf));
        (*(*r).upstream).peer.data = data.cast();
        if ngx_http_upstream_init_round_robin_peer(r, upstream) != NGX_OK as ngx_int_t {
            return NGX_ERROR as ngx_int_t;
        }
        (*(*r).upstream).peer.get = Some(get_peer);
        (*(*r).upstream).peer.free = Some(free_peer);
        NGX_OK as ngx_int_t
    })
}

/// The model that a request asks for, where it is known and matters or is shown, and what is to be done with the request.
///
/// # Safety
/// `request` is a request of which nginx is initialising the upstream, with this configuration.
unsafe fn asked(request: *mut ngx_http_request_t, conf: &UpstreamConf) -> Option<(Name, Verdict)> {
    // Nothing is read of a body where that would change nothing and show nothing.
    let matter = worker::models_matter(conf);
    if !matter && !conf.shows_model {
        return None;
    }
    // SAFETY: as the caller says.
    let name = unsafe { model::asked(request, conf) }?;
    let verdict = if matter { worker::verdict(conf, name.key()) } else { Verdict::Unlisted };
    Some((name, verdict))
}

/// Keeps the model that the request asks for, if `$tblb_model` is used.
fn show_model(data: &PeerData, conf: Option<&UpstreamConf>, asked: Option<&(Name, Verdict)>) {
    let kept = data.kept.filter(|_| conf.is_some_and(|conf| conf.shows_model));
    if let (Some(kept), Some((name, _))) = (kept, asked) {
        kept.set_model(name);
    }
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
            hit(Point::PeerHeld);
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
    let picked = worker::with_group(conf, peers, |group, board, rng, now| {
        let terms = Terms { block: &conf.block, board, prompt: data.prompt, now: now / 1000 };
        let (taken, picked) = choose(peers, terms, pc, data, group, rng).unzip();
        group.record(conf, data.prompt, picked.flatten());
        Some((taken?, now))
    });
    match picked {
        Some(Some((taken, now))) => {
            begin(data, conf, taken, now);
            NGX_OK as ngx_int_t
        }
        Some(None) => NGX_BUSY as ngx_int_t,
        // This worker never began: round robin serves.
        // SAFETY: the data are those of the request.
        None => unsafe { ngx_http_upstream_get_round_robin_peer(pc, (&raw mut data.round_robin).cast()) },
    }
}

fn begin(data: &PeerData, conf: &UpstreamConf, taken: Taken, now: u64) {
    // The peer is taken by now: whatever goes wrong here must not have another one taken.
    guard::or((), || {
        hit(Point::PeerPicked);
        if let Some(kept) = data.kept {
            kept.begin(taken, data.prompt, conf.block.balance.algorithm, now);
        }
    });
}

/// The only peer, as round robin takes it.
fn get_single(
    peers: Peers,
    conf: &UpstreamConf,
    pc: &mut ngx_peer_connection_t,
    data: &mut PeerData,
) -> ngx_int_t {
    let taken = worker::with_group(conf, peers, |group, _, _, _| {
        group.peers.ask(data.model);
        group.peers.take(0, Reason::Single)
    });
    let taken = taken.flatten().unwrap_or(Taken {
        place: 0,
        slot: None,
        others: 0.0,
        score: None,
        reason: Reason::Single,
        trial: false,
    });
    // SAFETY: the data are those of the request. nginx goes on to the backup servers, if there are any.
    let rc = unsafe { ngx_http_upstream_get_round_robin_peer(pc, (&raw mut data.round_robin).cast()) };
    if rc == NGX_OK as ngx_int_t {
        begin(data, conf, taken, clock::now_us());
    }
    rc
}

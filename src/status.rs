//! The handler of `tblb_status`.

use crate::conf::location_of;
use crate::group::Group;
use crate::peers::{self, Copied};
use crate::response::send;
use crate::{clock, guard, worker};
use ngx::ffi::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_NOT_ALLOWED, NGX_HTTP_OK, NGX_OK,
    ngx_http_discard_request_body, ngx_http_request_t, ngx_int_t, ngx_uint_t,
};
use tblb_core::board::Board;
use tblb_core::status::{Format, Peer, Poller, Server, Status, Upstream};

pub unsafe extern "C" fn handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls this with a request of a location with `tblb_status`.
    guard::or(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t, || unsafe { respond(&mut *r) })
}

/// # Safety
/// `r` is a request that nginx handles in a location with `tblb_status`.
unsafe fn respond(r: &mut ngx_http_request_t) -> ngx_int_t {
    if r.method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as ngx_uint_t == 0 {
        return NGX_HTTP_NOT_ALLOWED as ngx_int_t;
    }
    // SAFETY: as the caller says; the strings are the request's.
    let (format, discarded) = unsafe {
        let configured = location_of(r).and_then(|location| location.status).flatten();
        let args = String::from_utf8_lossy(peers::bytes(&r.args));
        let accept = header(r, b"accept").unwrap_or_default();
        (
            Format::for_request(&args, configured, &String::from_utf8_lossy(accept)),
            ngx_http_discard_request_body(r),
        )
    };
    if discarded != NGX_OK as ngx_int_t {
        return discarded;
    }
    let body = status().render(format);
    // SAFETY: as the caller says.
    unsafe { send(r, NGX_HTTP_OK, format.content_type(), body.as_bytes()) }
}

/// The value of a header of the request; the name in small letters.
///
/// # Safety
/// `r` is a request that nginx handles.
unsafe fn header<'a>(r: &'a ngx_http_request_t, name: &[u8]) -> Option<&'a [u8]> {
    // SAFETY: the list's parts hold so many headers, and their strings are the request's.
    unsafe {
        let mut headers = ngx::http::list_iterator(&r.headers_in.headers);
        headers.find(|(key, _)| key.as_bytes().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes())
    }
}

/// The status as this worker sees it.
fn status() -> Status {
    let mut upstreams: Vec<Upstream> = Vec::new();
    let now = clock::now_ms();
    worker::with(|worker| {
        worker.each_group(|conf, board, copied, group, backup| {
            let Some(board) = board else { return };
            let peers = peers_of(board, copied, group, backup, now);
            match upstreams.last_mut().filter(|_| backup) {
                Some(upstream) => upstream.peers.extend(peers),
                None => upstreams.push(Upstream {
                    name: conf.name.clone(),
                    algorithm: conf.block.balance.algorithm.name,
                    poller: Poller::of(board, conf.block.metrics.is_some(), now),
                    peers: peers.collect(),
                }),
            }
        });
    });
    Status { version: env!("CARGO_PKG_VERSION"), upstreams }
}

fn peers_of<'a>(
    board: &'a Board,
    copied: &'a [Copied],
    group: &'a Group,
    backup: bool,
    now: u64,
) -> impl Iterator<Item = Peer> + use<'a> {
    let least = group.peers.scores().least_work();
    copied.iter().enumerate().map(move |(place, peer)| {
        let server = Server {
            server: peer.name.to_string(),
            weight: u64::try_from(peer.weight).unwrap_or(0),
            backup,
            down: peer.down,
            conns: peer.conns,
        };
        Peer::of(board, group.peers.slot(place), server, group.peers.scores().shown(place, least), now)
    })
}

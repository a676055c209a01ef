//! The handler of `tblb_status`.

use crate::conf::location_of;
use crate::group::Group;
use crate::peers::{self, Copied};
use crate::{clock, guard, worker};
use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_NOT_ALLOWED,
    NGX_HTTP_OK, NGX_OK, ngx_buf_t, ngx_chain_t, ngx_create_temp_buf, ngx_http_discard_request_body,
    ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header, ngx_int_t, ngx_str_t, ngx_uint_t,
};
use std::ptr;
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
    unsafe { send(r, format.content_type(), body.as_bytes()) }
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

/// Sends a body with status 200.
///
/// # Safety
/// `r` is a request that nginx handles, of which nothing has been sent.
unsafe fn send(r: &mut ngx_http_request_t, content_type: &'static str, body: &[u8]) -> ngx_int_t {
    r.headers_out.status = NGX_HTTP_OK as ngx_uint_t;
    r.headers_out.content_length_n = body.len() as i64;
    r.headers_out.content_type =
        ngx_str_t { len: content_type.len(), data: content_type.as_ptr().cast_mut() };
    r.headers_out.content_type_len = content_type.len();
    // SAFETY: as the caller says; the buffer is as long as the body and in the request's pool. A chain on the
    // stack does: nginx copies the links that it keeps.
    unsafe {
        let rc = ngx_http_send_header(r);
        if rc == NGX_ERROR as ngx_int_t || rc > NGX_OK as ngx_int_t || r.header_only() != 0 {
            return rc;
        }
        let Some(buffer) = ngx_create_temp_buf(r.pool, body.len().max(1)).as_mut() else {
            return NGX_ERROR as ngx_int_t;
        };
        fill(buffer, body);
        buffer.set_last_buf(u32::from(ptr::eq(r, r.main)));
        buffer.set_last_in_chain(1);
        let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
        ngx_http_output_filter(r, &mut chain)
    }
}

/// # Safety
/// The buffer has room for the body.
unsafe fn fill(buffer: &mut ngx_buf_t, body: &[u8]) {
    // SAFETY: as the caller says, and the two are apart.
    unsafe {
        ptr::copy_nonoverlapping(body.as_ptr(), buffer.pos, body.len());
        buffer.last = buffer.pos.add(body.len());
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
    copied.iter().enumerate().map(move |(place, peer)| {
        let server = Server {
            server: peer.name.to_string(),
            weight: u64::try_from(peer.weight).unwrap_or(0),
            backup,
            down: peer.down,
            conns: peer.conns,
        };
        Peer::of(board, group.slot(place), server, group.scores.get(place), now)
    })
}

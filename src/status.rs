//! The handler of `tblb_status`.

use crate::conf::location_of;
use crate::group::Group;
use crate::peers::{self, Copied};
use crate::response::send;
use crate::{clock, guard, worker};
use ngx::ffi::{
    NGINX_VERSION, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_NOT_ALLOWED,
    NGX_HTTP_OK, NGX_OK, ngx_http_discard_request_body, ngx_http_request_t, ngx_int_t, ngx_uint_t,
};
use std::cell::RefCell;
use std::rc::Rc;
use tblb_core::board::Board;
use tblb_core::status::{
    Answers, Config, Form, Format, Peer, Poller, Server, Status, Upstream, View, wants_all_models,
};

thread_local! {
    static ANSWERS: RefCell<Answers> = const { RefCell::new(Answers::new()) };
}

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
    let (form, discarded) = unsafe {
        let configured = location_of(r).and_then(|location| location.status).flatten();
        let args = String::from_utf8_lossy(peers::bytes(&r.args));
        let accept = String::from_utf8_lossy(header(r, b"accept").unwrap_or_default());
        let format = Format::for_request(&args, configured, &accept);
        (Form { format, all_models: wants_all_models(&args) }, ngx_http_discard_request_body(r))
    };
    if discarded != NGX_OK as ngx_int_t {
        return discarded;
    }
    let body = body(form, r.method == NGX_HTTP_HEAD as ngx_uint_t);
    // SAFETY: as the caller says.
    unsafe { send(r, NGX_HTTP_OK, form.format.content_type(), body) }
}

/// The body of an answer: one that was built before, if that may serve, or a new one.
fn body(form: Form, header_only: bool) -> Rc<str> {
    let now = clock::now_ms();
    ANSWERS.with_borrow_mut(|answers| {
        answers.get(form, now, header_only).unwrap_or_else(|| {
            let before = clock::processor_us();
            let view = View { now, all_models: form.all_models };
            let body: Rc<str> = status(view).render(form.format).into();
            answers.keep(form, body.clone(), now, clock::processor_us().saturating_sub(before));
            body
        })
    })
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
fn status(view: View) -> Status {
    let mut upstreams: Vec<Upstream> = Vec::new();
    worker::with(|worker| {
        worker.each_group(|conf, board, copied, group, backup| {
            let Some(board) = board else { return };
            let peers = peers_of(board, copied, group, backup, view);
            let unmeasured = group.peers.slots().iter().filter(|slot| slot.is_none()).count();
            match upstreams.last_mut().filter(|_| backup) {
                Some(upstream) => {
                    upstream.peers.extend(peers);
                    upstream.unmeasured += unmeasured;
                }
                None => upstreams.push(Upstream {
                    name: conf.name.clone(),
                    algorithm: conf.block.balance.algorithm.name,
                    config: Config::of(&conf.block),
                    unmeasured,
                    poller: Poller::of(board, conf.block.metrics.is_some(), view.now),
                    peers: peers.collect(),
                }),
            }
        });
    });
    let nginx = NGINX_VERSION.to_str().unwrap_or_default();
    Status { version: env!("CARGO_PKG_VERSION"), nginx, upstreams }
}

fn peers_of<'a>(
    board: &'a Board,
    copied: &'a [Copied],
    group: &'a Group,
    backup: bool,
    view: View,
) -> impl Iterator<Item = Peer> + use<'a> {
    let least = group.peers.scores().least_work(|place| copied.get(place).is_some_and(|peer| !peer.down));
    copied.iter().enumerate().map(move |(place, peer)| {
        let server = Server {
            server: peer.name.to_string(),
            weight: u64::try_from(peer.weight).unwrap_or(0),
            backup,
            down: peer.down,
            conns: peer.conns,
        };
        Peer::of(board, group.peers.slot(place), server, group.peers.scores().shown(place, least), view)
    })
}

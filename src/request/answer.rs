//! The answer to the try that runs: what is read of it, and when its first token came.

use super::{Current, Kept};
use crate::told::Said;
use crate::{clock, peers, worker};
use ngx::ffi::{
    NGX_HTTP_BAD_REQUEST, NGX_HTTP_OK, ngx_http_upstream_t, ngx_list_part_t, ngx_list_t, ngx_table_elt_t,
    ngx_uint_t,
};
use tblb_core::tries::Delivery;

impl Kept {
    /// Whether a try runs of which the answer's body is of interest. Of an answer that is not followed to its end the time to
    /// the first token alone is.
    pub fn listens(&self) -> bool {
        self.current
            .get()
            .is_some_and(|current| current.waits_for_token || current.ttft.is_some() || current.follows)
    }

    /// A part of the answer's body comes, of which the bytes are known or only their number.
    pub fn read(&self, part: Result<&[u8], u64>) {
        let Some(mut current) = self.current.get() else { return };
        if part.map_or_else(|bytes| bytes, |bytes| bytes.len() as u64) == 0 {
            return;
        }
        // SAFETY: the request is alive: its body is being sent.
        let upstream = unsafe { (*self.request).upstream.as_ref() };
        let is_first = std::mem::take(&mut current.waits_for_body);
        // An error, a compressed answer, or a part that nginx has put into a file.
        // SAFETY: as above.
        let is_readable = !is_first || upstream.is_some_and(|upstream| unsafe { is_plain(upstream) });
        let is_whole = upstream.is_some_and(|upstream| upstream.headers_in.content_length_n >= 0);
        if let Some(id) = current.id.filter(|_| !is_readable || part.is_err()) {
            worker::give_up(id);
        }
        let begins = match current.id {
            Some(id) => worker::read(id, part.unwrap_or(b"\0"), is_whole),
            None => is_first,
        };
        if begins && std::mem::take(&mut current.waits_for_token) {
            current.ttft = upstream.and_then(|upstream| self.first_token(upstream, current.picked_at));
        }
        if current.id.filter(|_| !is_whole).is_none_or(|id| {
            current.ttft.is_some() && worker::delivery(id, current.picked_at) == Some(Delivery::Streamed)
        }) {
            self.settle(current);
            current.ttft = None;
        }
        self.current.set(Some(current));
    }

    /// The first token of an answer comes: the time to it in µs, where it can be one.
    fn first_token(&self, upstream: &ngx_http_upstream_t, picked_at: u64) -> Option<u64> {
        if comes_whole(upstream) || is_error(upstream) {
            return None;
        }
        let ttft = clock::now_us().saturating_sub(picked_at);
        self.tell_ttft(Some(ttft));
        Some(ttft)
    }

    /// Counts the time to the first token, unless the answer was held back on the way: then nobody knows that time.
    pub(super) fn settle(&self, current: Current) {
        let Some(ttft) = current.ttft else { return };
        let delivery = current.id.and_then(|id| worker::delivery(id, current.picked_at));
        if delivery == Some(Delivery::Held) {
            self.tell_ttft(None);
        } else {
            worker::first_byte(current.slot, ttft);
        }
    }

    fn tell_ttft(&self, ttft: Option<u64>) {
        if let Some(last) = self.told.last() {
            last.set(last.get().map(|said| Said { ttft, ..said }));
        }
    }

    /// Whether the client has not taken all that came.
    pub fn blocked(&self, is_blocked: bool) {
        let Some(current) = self.current.get().filter(|current| current.blocked != is_blocked) else {
            return;
        };
        self.current.set(Some(Current { blocked: is_blocked, ..current }));
        current.id.inspect(|id| worker::blocked(*id, is_blocked));
    }
}

/// With `proxy_buffering on` and a Content-Length the first buffer comes at the end of the response.
fn comes_whole(upstream: &ngx_http_upstream_t) -> bool {
    upstream.buffering() != 0 && upstream.headers_in.content_length_n >= 0
}

/// The body of an error says nothing of the time to a token.
fn is_error(upstream: &ngx_http_upstream_t) -> bool {
    upstream.headers_in.status_n >= NGX_HTTP_BAD_REQUEST as ngx_uint_t
}

/// Whether the body of an answer can be generated text as it stands: of a success, and not compressed.
///
/// # Safety
/// `upstream` is the upstream of a request that nginx is handling.
unsafe fn is_plain(upstream: &ngx_http_upstream_t) -> bool {
    let headers = &upstream.headers_in;
    // SAFETY: as the caller says; the list is that of the answer's header fields.
    let encoding = unsafe { field(&headers.headers, b"content-encoding") };
    headers.status_n == NGX_HTTP_OK as ngx_uint_t
        && encoding.is_none_or(|encoding| encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity"))
}

/// The value of a header field. nginx keeps a pointer to this one only where it is built with gzip.
///
/// # Safety
/// `fields` is a list of header fields of a request that nginx is handling.
unsafe fn field<'a>(fields: &ngx_list_t, name: &[u8]) -> Option<&'a [u8]> {
    let mut part: *const ngx_list_part_t = &raw const fields.part;
    // SAFETY: each part of the list has as many elements as it says, and their strings live as long as the request.
    unsafe {
        while let Some(here) = part.as_ref() {
            for at in 0..here.nelts {
                let element = &*here.elts.cast::<ngx_table_elt_t>().add(at);
                if peers::bytes(&element.key).eq_ignore_ascii_case(name) {
                    return Some(peers::bytes(&element.value));
                }
            }
            part = here.next;
        }
    }
    None
}

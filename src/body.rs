//! The filter that sees the bodies of answers, before all other filters: as the bytes come from the engine.

use crate::guard;
use crate::request::{Kept, kept_in_context};
use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_WRITE_BUFFERED, NGX_LOWLEVEL_BUFFERED, ngx_buf_t, ngx_chain_t,
    ngx_http_output_body_filter_pt, ngx_http_request_t, ngx_http_top_body_filter, ngx_int_t,
};

/// The body filter after ours.
static mut NEXT_BODY_FILTER: ngx_http_output_body_filter_pt = None;

/// Puts our filter before all others.
pub fn add_filter() {
    // SAFETY: nginx parses its configuration in one thread, and no request is being handled then.
    unsafe {
        NEXT_BODY_FILTER = ngx_http_top_body_filter;
        ngx_http_top_body_filter = Some(body_filter);
    }
}

unsafe extern "C" fn body_filter(request: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: nginx calls this with a request and the chain to send.
    let listens = || unsafe { kept_in_context(request).filter(|kept| kept.listens()) };
    guard::or((), || {
        if let Some(kept) = listens() {
            // SAFETY: as above.
            unsafe { read(kept, chain) };
        }
    });
    // SAFETY: the filter was there before ours was put in front of it.
    let rc = unsafe { NEXT_BODY_FILTER.map_or(NGX_ERROR as ngx_int_t, |next| next(request, chain)) };
    guard::or((), || {
        if let Some(kept) = listens() {
            // SAFETY: the request lives on until its handler returns, whatever the filters did.
            kept.blocked(unsafe { is_blocked(&*request) });
        }
    });
    rc
}

/// Whether something stays to be sent because the client does not take it: its socket is full, its HTTP/2 window is closed,
/// or a rate limits it. nginx calls the filters again when the client takes on. Output that nginx delays to
/// gather more (`postpone_output`, gzip) does not count.
///
/// # Safety
/// `request` is a request that nginx is handling.
unsafe fn is_blocked(request: &ngx_http_request_t) -> bool {
    // SAFETY: a request's connection lives as long as the request; each HTTP/2 stream has one of its own.
    let buffered = unsafe { (*request.connection).buffered() };
    buffered & (NGX_LOWLEVEL_BUFFERED | NGX_HTTP_WRITE_BUFFERED) != 0
}

/// Reads the bytes of a chain.
///
/// # Safety
/// `chain` is a chain of nginx, or null.
unsafe fn read(kept: &Kept, mut chain: *const ngx_chain_t) {
    // SAFETY: as the caller says; each link has a buffer.
    while let Some(link) = unsafe { chain.as_ref() } {
        // SAFETY: as above.
        kept.read(unsafe { part(&*link.buf) });
        chain = link.next;
    }
}

/// The bytes of a buffer, or how many they are where they lie in a file.
///
/// # Safety
/// The buffer is one of nginx that nobody changes meanwhile.
pub unsafe fn part(buffer: &ngx_buf_t) -> Result<&[u8], u64> {
    let in_memory = buffer.temporary() != 0 || buffer.memory() != 0 || buffer.mmap() != 0;
    if !in_memory {
        return Err(u64::try_from(buffer.file_last - buffer.file_pos).unwrap_or(0));
    }
    let length = (buffer.last as usize).saturating_sub(buffer.pos as usize);
    if buffer.pos.is_null() || length == 0 {
        return Ok(&[]);
    }
    // SAFETY: a buffer in memory holds its bytes from `pos` to `last`.
    Ok(unsafe { std::slice::from_raw_parts(buffer.pos, length) })
}

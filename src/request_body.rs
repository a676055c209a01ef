//! The bodies of requests, as far as nginx has them when it picks a peer: all of a body with `proxy_request_buffering on`,
//! however the client sent the body; what came by then with `off`.

use crate::bits;
use crate::body::part;
use ngx::ffi::{ngx_buf_t, ngx_http_request_t};
use std::ops::ControlFlow;

/// As much of a body in a file as is read at once.
const CHUNK: usize = 16 * 1024;

/// How many bytes of the body nginx has.
///
/// # Safety
/// `request` is a request of which nginx is initialising the upstream.
pub unsafe fn length(request: &ngx_http_request_t) -> u64 {
    let mut bytes = 0u64;
    // SAFETY: as the caller says.
    let _ = unsafe {
        each_buffer(request, |buffer| {
            bytes = bytes.saturating_add(part(buffer).map_or_else(|bytes| bytes, |bytes| bytes.len() as u64));
            ControlFlow::<()>::Continue(())
        })
    };
    bytes
}

/// Whether nginx has all of the body.
pub fn is_whole(request: &ngx_http_request_t) -> bool {
    !bits::reading_body(request)
}

/// Hands the bytes of the body to `feed` as long as that returns true. False if it did not to the end.
///
/// # Safety
/// As [`length`].
pub unsafe fn read(request: &ngx_http_request_t, mut feed: impl FnMut(&[u8]) -> bool) -> bool {
    // SAFETY: as the caller says.
    let read = unsafe {
        each_buffer(request, |buffer| {
            if read_buffer(buffer, &mut feed) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    };
    read.is_continue()
}

/// # Safety
/// As [`length`].
unsafe fn each_buffer<B>(
    request: &ngx_http_request_t,
    mut f: impl FnMut(&ngx_buf_t) -> ControlFlow<B>,
) -> ControlFlow<B> {
    // SAFETY: as the caller says; the body is null where the request has none.
    let mut chain = unsafe { request.request_body.as_ref() }.map_or(std::ptr::null_mut(), |body| body.bufs);
    // SAFETY: each link has a buffer, and nobody changes the buffers of a body while its peer is picked.
    while let Some(link) = unsafe { chain.as_ref() } {
        // SAFETY: as above.
        f(unsafe { &*link.buf })?;
        chain = link.next;
    }
    ControlFlow::Continue(())
}

/// # Safety
/// The buffer is one of a request's body, which nobody changes meanwhile.
unsafe fn read_buffer(buffer: &ngx_buf_t, feed: &mut impl FnMut(&[u8]) -> bool) -> bool {
    // SAFETY: as the caller says.
    match unsafe { part(buffer) } {
        Ok(bytes) => feed(bytes),
        // The mark of a chunked body's end has no bytes.
        Err(0) => true,
        // SAFETY: as the caller says.
        Err(_) => unsafe { read_file(buffer, feed) },
    }
}

/// The same of a buffer that lies in a file, as bodies do that are larger than `client_body_buffer_size`. They were just
/// written, so that the system has them in its memory.
///
/// # Safety
/// As [`read_buffer`].
unsafe fn read_file(buffer: &ngx_buf_t, feed: &mut impl FnMut(&[u8]) -> bool) -> bool {
    // SAFETY: a buffer in a file has one that is open as long as the request.
    let Some(file) = (unsafe { buffer.file.as_ref() }) else { return false };
    let mut chunk = [0; CHUNK];
    let mut at = buffer.file_pos;
    while at < buffer.file_last {
        let wanted = usize::try_from(buffer.file_last - at).map_or(CHUNK, |left| left.min(CHUNK));
        // SAFETY: the chunk has room for `wanted` bytes.
        let got = unsafe { libc::pread(file.fd, chunk.as_mut_ptr().cast(), wanted, at) };
        let Some(bytes) = usize::try_from(got).ok().filter(|got| *got > 0).and_then(|got| chunk.get(..got))
        else {
            return false;
        };
        if !feed(bytes) {
            return false;
        }
        at += bytes.len() as libc::off_t;
    }
    true
}

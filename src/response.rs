//! Responses of our own: the status, and the refusal of a request for a model that no server has.

use crate::bits;
use crate::conf::in_pool;
use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_NOT_FOUND, NGX_OK, ngx_buf_t, ngx_chain_t, ngx_http_discard_request_body,
    ngx_http_finalize_request, ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header, ngx_int_t,
    ngx_pcalloc, ngx_pool_t, ngx_str_t, ngx_uint_t,
};
use std::ptr;
use std::rc::Rc;
use tblb_core::model::{self, Name};

/// Sends a whole response. The body is not copied: the request keeps it until the client has it, and requests may share it.
///
/// # Safety
/// `r` is a request that nginx handles, of which nothing has been sent.
pub unsafe fn send(
    r: &mut ngx_http_request_t,
    status: u32,
    content_type: &'static str,
    body: Rc<str>,
) -> ngx_int_t {
    r.headers_out.status = status as ngx_uint_t;
    r.headers_out.content_length_n = body.len() as i64;
    r.headers_out.content_type =
        ngx_str_t { len: content_type.len(), data: content_type.as_ptr().cast_mut() };
    r.headers_out.content_type_len = content_type.len();
    // SAFETY: as the caller says; the buffer is in the request's pool. A chain on the stack does: nginx copies the links
    // that it keeps.
    unsafe {
        let rc = ngx_http_send_header(r);
        if rc == NGX_ERROR as ngx_int_t || rc > NGX_OK as ngx_int_t || bits::header_only(r) {
            return rc;
        }
        let Some(buffer) = buffer_of(r.pool, body) else { return NGX_ERROR as ngx_int_t };
        buffer.set_last_buf(u32::from(ptr::eq(r, r.main)));
        buffer.set_last_in_chain(1);
        let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
        ngx_http_output_filter(r, &mut chain)
    }
}

/// A buffer that shows a body, which the pool keeps until it is destroyed; None if there is no memory.
///
/// # Safety
/// `pool` is a pool of nginx, and outlives the buffer.
unsafe fn buffer_of<'a>(pool: *mut ngx_pool_t, body: Rc<str>) -> Option<&'a mut ngx_buf_t> {
    // SAFETY: as the caller says; a buffer of nginx may begin as zeros. A buffer that is `memory` is never written to, and
    // its bytes stay where they are as long as the pool has the body.
    unsafe {
        let buffer = ngx_pcalloc(pool, size_of::<ngx_buf_t>()).cast::<ngx_buf_t>().as_mut()?;
        let body = in_pool(pool, body).as_ref()?;
        buffer.pos = body.as_ptr().cast_mut();
        buffer.last = buffer.pos.add(body.len());
        buffer.start = buffer.pos;
        buffer.end = buffer.last;
        buffer.set_memory(1);
        Some(buffer)
    }
}

/// Answers a request whose upstream is being initialised with 404: no server has the model. What initialises the
/// upstream must fail after this.
///
/// nginx has no way to refuse a request there but 500. So the upstream is ended first, as nginx ends one whose client
/// is gone, and then the response is sent as a handler would. When the initialisation fails after that, nginx finds the
/// upstream ended and only drops its claim to the request. Three parties drop one then, where nginx counted one: the
/// upstream that is ended, the response, and the initialisation that failed.
///
/// # Safety
/// `r` is a request of which nginx is initialising the upstream, which it has prepared to be cleaned up.
pub unsafe fn refuse(r: *mut ngx_http_request_t, name: &Name) {
    // SAFETY: as the caller says; the cleanup is nginx's own, with the request as its data. The request lives until
    // the last claim is dropped, which is after this.
    unsafe {
        let Some(cleanup) = (*(*r).upstream).cleanup.as_ref().copied().flatten() else { return };
        let main = &mut *(*r).main;
        main.set_count(main.count() + 2);
        cleanup(r.cast());
        let mut rc = ngx_http_discard_request_body(r);
        if rc == NGX_OK as ngx_int_t {
            let body = model::missing(name);
            rc = send(&mut *r, NGX_HTTP_NOT_FOUND, "application/json", body.into());
        }
        ngx_http_finalize_request(r, rc);
    }
}

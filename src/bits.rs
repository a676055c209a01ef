//! Bits of a request, as C reads them.
//!
//! Since nginx 1.29.3 the bit fields of a request begin two bytes after a boundary of four, and the bindings, which
//! lay them out as if they began at one, have most of them in the wrong place (`count`, the first, is right). The C
//! compiler knows better, so it compiles `bits.c` for the nginx that the module is for.

use ngx::ffi::{ngx_http_request_t, ngx_uint_t};

unsafe extern "C" {
    fn tblb_request_reading_body(r: *const ngx_http_request_t) -> ngx_uint_t;
    fn tblb_request_header_only(r: *const ngx_http_request_t) -> ngx_uint_t;
}

/// Whether nginx passes the request on before it has the whole body.
pub fn reading_body(request: &ngx_http_request_t) -> bool {
    // SAFETY: it reads a bit of the request, and keeps nothing.
    unsafe { tblb_request_reading_body(request) != 0 }
}

/// Whether the response to the request has a header only.
pub fn header_only(request: &ngx_http_request_t) -> bool {
    // SAFETY: as above.
    unsafe { tblb_request_header_only(request) != 0 }
}

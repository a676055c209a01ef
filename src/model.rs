//! The model that a request asks for: from its body, else from the variable of `tblb_model`. Nothing else reads the
//! bodies of requests.

use crate::conf::UpstreamConf;
use crate::directives::wrong;
use crate::{peers, request_body};
use ngx::ffi::{
    ngx_conf_t, ngx_http_get_flushed_variable, ngx_http_get_variable_index, ngx_http_request_t, ngx_pnalloc,
    ngx_str_t, ngx_uint_t,
};
use std::fmt::Display;
use std::ptr;
use tblb_core::model::{Body, Name};

/// The number of the variable of `tblb_model`. nginx itself says where there is none of that name, when it has read all.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
pub unsafe fn variable(cf: *mut ngx_conf_t, name: &str) -> Result<ngx_uint_t, Box<dyn Display>> {
    // nginx keeps the name as it is given, and compares in small letters.
    let name = name.to_ascii_lowercase();
    // SAFETY: as the caller says; the name is copied into the configuration's pool, which outlives the variable.
    let index = unsafe {
        let data = ngx_pnalloc((*cf).pool, name.len()).cast::<u8>();
        if data.is_null() {
            return Err(wrong("no memory"));
        }
        ptr::copy_nonoverlapping(name.as_ptr(), data, name.len());
        ngx_http_get_variable_index(cf, &mut ngx_str_t { len: name.len(), data })
    };
    ngx_uint_t::try_from(index).map_err(|_| wrong("no such variable"))
}

/// The model that a request asks for, None if it is not known.
///
/// # Safety
/// `request` is a request of which nginx is initialising the upstream, with this configuration.
pub unsafe fn asked(request: *mut ngx_http_request_t, conf: &UpstreamConf) -> Option<Name> {
    // SAFETY: as the caller says.
    unsafe { in_body(&*request).or_else(|| in_variable(request, conf.model_variable?)) }
}

/// The model that the body names. With `proxy_request_buffering on` the body is whole: some buffers in memory, or one in a
/// file. With `off` there is only what came by chance: nothing is read, even if that is all.
///
/// # Safety
/// As [`asked`].
unsafe fn in_body(request: &ngx_http_request_t) -> Option<Name> {
    // SAFETY: as the caller says; what passes the request on has given the upstream its configuration.
    let buffered = unsafe { (*(*request.upstream).conf).request_buffering } != 0;
    if !buffered || !request_body::is_whole(request) {
        return None;
    }
    // SAFETY: as the caller says; a header field lives as long as its request.
    let content_type =
        unsafe { request.headers_in.content_type.as_ref().map(|field| peers::bytes(&field.value)) };
    let mut body = Body::of(content_type.unwrap_or_default());
    // Of a form what was found first will do; JSON that is not read to its end names no model.
    // SAFETY: as the caller says.
    unsafe { request_body::read(request, |bytes| body.feed(bytes)) };
    body.finish()
}

/// The model that a variable names.
///
/// # Safety
/// As [`asked`]; the variable is one of the configuration's.
unsafe fn in_variable(request: *mut ngx_http_request_t, index: ngx_uint_t) -> Option<Name> {
    // SAFETY: as the caller says; a value that was found is so long.
    unsafe {
        let value = ngx_http_get_flushed_variable(request, index).as_ref()?;
        let found = value.not_found() == 0 && value.valid() != 0;
        let text = ngx_str_t { len: value.len() as usize, data: value.data };
        Name::new(peers::bytes(&text)).filter(|_| found)
    }
}

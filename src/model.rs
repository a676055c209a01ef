//! The model that a request asks for: from its body, else from the variable of `tblb_model`. Nothing else reads the
//! bodies of requests.

use crate::bits;
use crate::conf::UpstreamConf;
use crate::directives::wrong;
use crate::peers;
use ngx::ffi::{
    ngx_buf_t, ngx_conf_t, ngx_http_get_flushed_variable, ngx_http_get_variable_index, ngx_http_request_t,
    ngx_pnalloc, ngx_str_t, ngx_uint_t,
};
use std::fmt::Display;
use std::ptr;
use tblb_core::model::{Name, Scanner};

/// What of a body that lies in a file is read at once.
const CHUNK: usize = 16 * 1024;

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

/// The model that the body names. With `proxy_request_buffering on` the body is whole: one or two buffers in memory,
/// or one in a file. With `off` there is only what came by chance: nothing is read, even if that is all.
///
/// # Safety
/// As [`asked`].
unsafe fn in_body(request: &ngx_http_request_t) -> Option<Name> {
    // SAFETY: as the caller says; what passes the request on has given the upstream its configuration.
    let buffered = unsafe { (*(*request.upstream).conf).request_buffering } != 0;
    if !buffered || bits::reading_body(request) {
        return None;
    }
    // SAFETY: as the caller says; the body is null where the request has none, and each link has a buffer.
    let mut chain = unsafe { request.request_body.as_ref()?.bufs };
    let mut scanner = Scanner::new();
    // SAFETY: as above.
    while let Some(link) = unsafe { chain.as_ref() } {
        // SAFETY: as above; nobody changes the buffers of a body that is whole.
        if !unsafe { read(&*link.buf, &mut scanner) } {
            return None;
        }
        chain = link.next;
    }
    scanner.finish()
}

/// Reads a buffer; false if it cannot be read, or no more is of use.
///
/// # Safety
/// The buffer is one of a request's body, which nobody changes meanwhile.
unsafe fn read(buffer: &ngx_buf_t, scanner: &mut Scanner) -> bool {
    // SAFETY: as the caller says.
    match unsafe { crate::body::part(buffer) } {
        Ok(bytes) => scanner.feed(bytes),
        // SAFETY: as the caller says.
        Err(_) => unsafe { read_file(buffer, scanner) },
    }
}

/// The same of a buffer that lies in a file, as bodies do that are larger than `client_body_buffer_size`. They were just
/// written, so that the system has them in its memory.
///
/// # Safety
/// As [`read`].
unsafe fn read_file(buffer: &ngx_buf_t, scanner: &mut Scanner) -> bool {
    // SAFETY: a buffer in a file has one that is open as long as the request.
    let Some(file) = (unsafe { buffer.file.as_ref() }) else { return false };
    let mut chunk = [0; CHUNK];
    let mut at = buffer.file_pos;
    while at < buffer.file_last {
        let wanted = usize::try_from(buffer.file_last - at).map_or(CHUNK, |left| left.min(CHUNK));
        // SAFETY: the chunk has room for so many bytes.
        let got = unsafe { libc::pread(file.fd, chunk.as_mut_ptr().cast(), wanted, at) };
        let Some(bytes) = usize::try_from(got).ok().filter(|got| *got > 0).and_then(|got| chunk.get(..got))
        else {
            return false;
        };
        if !scanner.feed(bytes) {
            return false;
        }
        at += bytes.len() as libc::off_t;
    }
    true
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

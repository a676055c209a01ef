//! Lines in nginx's logs.

use ngx::ffi::{
    NGX_LOG_EMERG, NGX_LOG_NOTICE, NGX_LOG_WARN, ngx_conf_log_error, ngx_conf_t, ngx_log_error_core,
    ngx_log_t, ngx_uint_t,
};
use std::fmt::Display;

/// How grave a line is.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    /// Something is amiss, and traffic goes on.
    Warn,
    /// Something changed.
    Notice,
}

/// Writes a line into the log of the cycle.
///
/// # Safety
/// `log` is a log of nginx that is still open, or null.
pub unsafe fn line(log: *mut ngx_log_t, level: Level, text: &dyn Display) {
    let level = match level {
        Level::Warn => NGX_LOG_WARN,
        Level::Notice => NGX_LOG_NOTICE,
    } as ngx_uint_t;
    // SAFETY: the caller gives a log that is open.
    let Some(enabled) = (unsafe { log.as_ref() }).map(|log| log.log_level) else { return };
    if level <= enabled {
        let text = text.to_string();
        // SAFETY: `%*s` takes a length and that many bytes, and nginx cuts the line where it is too long.
        unsafe { ngx_log_error_core(level, log, 0, c"%*s".as_ptr(), text.len(), text.as_ptr()) };
    }
}

/// Writes an error of the configuration; nginx adds the file and the line it is reading now, if any.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
pub unsafe fn conf_error(cf: *mut ngx_conf_t, text: &dyn Display) {
    // SAFETY: as the caller says; the format takes a length and that many bytes.
    unsafe { conf_line(cf, NGX_LOG_EMERG, text) }
}

/// Writes a warning of the configuration, likewise.
///
/// # Safety
/// `cf` is the configuration that nginx parses.
pub unsafe fn conf_warning(cf: *mut ngx_conf_t, text: &dyn Display) {
    // SAFETY: as the caller says.
    unsafe { conf_line(cf, NGX_LOG_WARN, text) }
}

unsafe fn conf_line(cf: *mut ngx_conf_t, level: u32, text: &dyn Display) {
    let text = text.to_string();
    // SAFETY: the callers give the configuration; `%*s` takes a length and that many bytes.
    unsafe { ngx_conf_log_error(level as ngx_uint_t, cf, 0, c"%*s".as_ptr(), text.len(), text.as_ptr()) };
}

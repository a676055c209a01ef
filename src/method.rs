//! Makes ours the method of an upstream block, unless another directive would lose by it.

use crate::conf::{Place, UpstreamConf};
use crate::directives::wrong;
use crate::{balancer, log};
use ngx::ffi::{
    NGX_HTTP_UPSTREAM_BACKUP, NGX_HTTP_UPSTREAM_CREATE, NGX_HTTP_UPSTREAM_DOWN,
    NGX_HTTP_UPSTREAM_FAIL_TIMEOUT, NGX_HTTP_UPSTREAM_MAX_CONNS, NGX_HTTP_UPSTREAM_MAX_FAILS,
    NGX_HTTP_UPSTREAM_WEIGHT, ngx_conf_t, ngx_http_conf_ctx_t, ngx_http_upstream_srv_conf_t, ngx_uint_t,
};
use std::ffi::CStr;
use std::fmt::Display;
use tblb_core::config::method_after;

/// Makes ours the method of the block, with the parameters of `server` that least_conn takes.
///
/// # Safety
/// `cf` is the configuration that nginx parses, in the block of `upstream`.
pub unsafe fn take_over(
    cf: *mut ngx_conf_t,
    upstream: &mut ngx_http_upstream_srv_conf_t,
) -> Result<(), Box<dyn Display>> {
    if upstream.peer.init_upstream.is_some() {
        // SAFETY: as the caller says.
        if let Some(wrapper) = unsafe { wrapper(cf) } {
            return Err(wrong(format!(
                "\"tblb\" after \"{wrapper}\" would disable it, expected \"tblb\" before \"{wrapper}\""
            )));
        }
        // SAFETY: as the caller says.
        unsafe { log::conf_warning(cf, &"load balancing method redefined") };
    }
    upstream.peer.init_upstream = Some(balancer::init_upstream);
    upstream.flags = (NGX_HTTP_UPSTREAM_CREATE
        | NGX_HTTP_UPSTREAM_WEIGHT
        | NGX_HTTP_UPSTREAM_MAX_CONNS
        | NGX_HTTP_UPSTREAM_MAX_FAILS
        | NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
        | NGX_HTTP_UPSTREAM_DOWN
        | NGX_HTTP_UPSTREAM_BACKUP) as ngx_uint_t;
    #[cfg(nginx_1_27_3)]
    {
        upstream.flags |= ngx::ffi::NGX_HTTP_UPSTREAM_MODIFY as ngx_uint_t;
    }
    Ok(())
}

/// Checks that no later directive made another method that of the block whose first `tblb` directive stands at `place`.
/// nginx only warns of such a directive, where it stands.
pub fn check(upstream: &UpstreamConf, place: &Place) -> Result<(), String> {
    if upstream.in_use || !upstream.block.is_ours() {
        return Ok(());
    }
    let text = std::fs::read(&place.file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let other = match method_after(&text, place.line) {
        Some(name) => format!("\"{name}\""),
        None => "another load balancing method".to_owned(),
    };
    let name = &upstream.name;
    Err(format!(
        "{other} after \"tblb\" would replace it, expected one load balancing method in upstream \"{name}\""
    ))
}

/// Modules that wrap the method which stands before their directive, and lose to one that stands after it. From
/// nginx 1.29.7 on `keepalive` finds the method wherever it stands.
#[cfg(not(nginx_1_29_7))]
const WRAPPERS: [(&CStr, &str); 2] =
    [(c"ngx_http_upstream_keepalive_module", "keepalive"), (c"ngx_http_upstream_sticky_module", "sticky")];
#[cfg(nginx_1_29_7)]
const WRAPPERS: [(&CStr, &str); 1] = [(c"ngx_http_upstream_sticky_module", "sticky")];

/// The directive that wrapped the method of the block before, if one did: the configurations of both modules
/// begin with a word that is 0 until then.
///
/// # Safety
/// `cf` is the configuration that nginx parses, in an upstream block.
unsafe fn wrapper(cf: *mut ngx_conf_t) -> Option<&'static str> {
    // SAFETY: a cycle's list of modules ends with null, each has a name, and those of http modules have an entry
    // in the block's configurations.
    unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        let mut next = (*(*cf).cycle).modules;
        while let Some(module) = (*next).as_ref() {
            next = next.add(1);
            let found = WRAPPERS.iter().find(|(name, _)| CStr::from_ptr(module.name) == *name);
            let Some((_, directive)) = found else { continue };
            let configuration = *(*context).srv_conf.add(module.ctx_index);
            if configuration.cast::<usize>().as_ref().is_some_and(|word| *word != 0) {
                return Some(directive);
            }
        }
        None
    }
}

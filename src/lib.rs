//! The nginx module.

mod exports {
    use super::ngx_http_upstream_tblb_module;
    ngx::ngx_modules!(ngx_http_upstream_tblb_module);
}

use std::ptr;

use ngx::ffi::{NGX_HTTP_MODULE, ngx_http_module_t, ngx_module_t, ngx_uint_t};

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: None,
    postconfiguration: None,
    create_main_conf: None,
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: None,
    merge_loc_conf: None,
};

/// The module as nginx sees it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)] // nginx finds the module by this name
pub static mut ngx_http_upstream_tblb_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(CONTEXT).cast_mut().cast(),
    commands: ptr::null_mut(),
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    ..ngx_module_t::default()
};

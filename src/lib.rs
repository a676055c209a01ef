//! The nginx module `ngx_http_upstream_tblb_module`: the only unsafe code of tblb.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `conf` | the module's configurations and their life |
//! | `directives` | the directives |
//! | `method` | how ours becomes the method of an upstream |
//! | `balancer` | the method: nginx's hooks, a peer for a request |
//! | `choice` | what happens under the lock of a list: the pick |
//! | `peers` | nginx's lists of peers: the one place that walks them |
//! | `address` | addresses of peers |
//! | `request` | what is kept of a request: its tries, what is read of their answers, and how each went |
//! | `told` | what is to be said of its tries |
//! | `model` | the model that a request asks for |
//! | `request_body` | the bodies of requests |
//! | `response` | responses of our own |
//! | `body` | the filter that sees the bodies of answers |
//! | `zone` | the shared zone: the one place that casts it to a board |
//! | `slab` | how long the zone must be for its board |
//! | `worker` | a worker process: its groups of peers, its tries, its timer |
//! | `group` | the peers of a list with their slots and scores |
//! | `recorder` | picks, written down |
//! | `polling` | the poller that one of the workers runs |
//! | `status`, `variables` | what operators see |
//! | `failpoints` | what a test lets happen at a point, in builds for tests |
//! | `guard` | the border: no panic crosses it |

mod address;
mod balancer;
mod bits;
mod body;
mod choice;
mod clock;
mod conf;
mod credentials;
mod directives;
#[cfg(feature = "failpoints")]
mod failpoints;
mod group;
mod guard;
mod log;
mod method;
mod model;
mod peers;
mod polling;
mod recorder;
mod request;
mod request_body;
mod response;
mod servers;
mod slab;
mod status;
mod targets;
mod told;
mod variables;
mod worker;
mod zone;

mod exports {
    use super::ngx_http_upstream_tblb_module;
    ngx::ngx_modules!(ngx_http_upstream_tblb_module);
}

use ngx::ffi::{
    NGX_HTTP_MODULE, NGX_OK, ngx_conf_t, ngx_cycle_t, ngx_http_module_t, ngx_int_t, ngx_module_t, ngx_uint_t,
};
use std::ptr;

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(preconfiguration),
    postconfiguration: Some(postconfiguration),
    create_main_conf: Some(conf::create_main),
    init_main_conf: None,
    create_srv_conf: Some(conf::create_upstream),
    merge_srv_conf: None,
    create_loc_conf: Some(conf::create_location),
    merge_loc_conf: None,
};

/// The module as nginx sees it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)] // nginx finds the module by this name
pub static mut ngx_http_upstream_tblb_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(CONTEXT).cast_mut().cast(),
    commands: directives::commands(),
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_module: Some(init_module),
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..ngx_module_t::default()
};

/// The number of the module's contexts and configurations.
fn context_index() -> usize {
    // SAFETY: nginx sets the number while it loads the module, before it calls anything of it, and not after.
    unsafe { ngx_http_upstream_tblb_module.ctx_index }
}

/// The address that marks what is ours, as nginx modules do.
fn tag() -> *mut std::ffi::c_void {
    ptr::addr_of_mut!(ngx_http_upstream_tblb_module).cast()
}

unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard::status(|| variables::add(cf))
}

unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard::status(|| {
        // SAFETY: nginx calls this once all of its http block is parsed, with that block's configuration.
        let Some(main) = (unsafe { conf::main_of(cf) }) else { return Ok(()) };
        main.check(cf)?;
        if !main.upstreams.is_empty() {
            // SAFETY: as above.
            main.show_models(unsafe { variables::model_is_used(cf) });
            zone::add(cf, main)?;
            body::add_filter();
        }
        Ok(())
    })
}

/// In the master this checks the board's room only. With `master_process off` a reload comes here and not to
/// [`init_process`], while the old zone is still mapped.
unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guard::status(|| {
        // SAFETY: nginx calls this when it has read the configuration of the cycle.
        unsafe { zone::check_rows(cycle) };
        if worker::end() {
            worker::begin(cycle);
        }
        Ok(())
    })
}

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // A worker without us still serves, by least_conn.
    guard::status(|| {
        worker::begin(cycle);
        Ok(())
    });
    NGX_OK as ngx_int_t
}

unsafe extern "C" fn exit_process(_cycle: *mut ngx_cycle_t) {
    guard::or(false, worker::end);
}

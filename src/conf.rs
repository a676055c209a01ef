//! The module's configurations: one for the http block, one for each upstream block, one for each location.

use crate::guard::Failed;
use crate::{context_index, guard, log, method, servers, tag};
use ngx::ffi::{
    ngx_conf_t, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_http_module, ngx_http_request_t,
    ngx_http_upstream_srv_conf_t, ngx_open_file_t, ngx_pool_cleanup_add, ngx_pool_t, ngx_shm_zone_t,
    ngx_uint_t,
};
use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use tblb_core::board::{self, Shape};
use tblb_core::config::Block;
use tblb_core::status::Format;
use tblb_poller::Credentials;

/// The configuration of the http block.
#[derive(Default)]
pub struct MainConf {
    /// The configurations of the upstream blocks with a `tblb` directive, in their order.
    pub upstreams: Vec<*mut UpstreamConf>,
    /// Where the first `tblb…` directive of each upstream block stands that has one.
    pub blocks: Vec<(*const UpstreamConf, Place)>,
    /// The shared zone, null if there is no upstream.
    pub zone: *mut ngx_shm_zone_t,
    /// What the zone has room for.
    pub shape: Shape,
}

/// Where a directive stands.
pub struct Place {
    /// The file.
    pub file: String,
    /// The line.
    pub line: usize,
}

/// The configuration of an upstream block. nginx also makes one for each server block, where it stays empty.
#[derive(Default)]
pub struct UpstreamConf {
    /// What its directives say.
    pub block: Block,
    /// What polls show to be let in, by `tblb_metrics_auth`.
    pub credentials: Option<Credentials>,
    /// Where each `tblb_server` stands.
    pub server_places: Vec<Place>,
    /// The address of the metrics by each `tblb_server`, None where it gives no URL.
    pub server_addresses: Vec<Option<SocketAddr>>,
    /// The file of `tblb_record`, null without it; nginx opens it when the configuration is whole.
    pub record: *mut ngx_open_file_t,
    /// nginx's number of the variable of `tblb_model`, None without one.
    pub model_variable: Option<ngx_uint_t>,
    /// Whether `$tblb_model` is used, so that the model of each request is read.
    pub shows_model: bool,
    /// Its number in [`MainConf::upstreams`] and on the board.
    pub number: usize,
    /// Whether nginx initialised the block with our method, directly or by a module that wraps the method.
    pub in_use: bool,
    /// nginx's configuration of the block.
    pub upstream: *mut ngx_http_upstream_srv_conf_t,
    /// Its name, with U+FFFD for what is no UTF-8.
    pub name: String,
    /// Its name as nginx has it, by which alone it is known from others.
    pub bytes: Vec<u8>,
}

impl UpstreamConf {
    /// Its key on the board.
    pub fn key(&self) -> u64 {
        board::key(&[&self.bytes])
    }

    /// The key on the board of its peer of that name (the address as text).
    pub fn peer_key(&self, name: &[u8]) -> u64 {
        board::key(&[&self.bytes, name])
    }
}

/// The configuration of a location.
#[derive(Default)]
pub struct LocationConf {
    /// What `tblb_status` says: None without it, Some(None) for a form by request.
    pub status: Option<Option<Format>>,
}

impl MainConf {
    /// Checks the blocks, now that they are whole.
    pub fn check(&self, cf: *mut ngx_conf_t) -> Result<(), Failed> {
        let fail = |error: String, Place { file, line }: &Place| {
            // SAFETY: nginx is parsing `cf`.
            unsafe { log::conf_error(cf, &format!("{error} in {file}:{line}")) };
            Failed
        };
        for (upstream, place) in &self.blocks {
            // SAFETY: the configurations of upstream blocks live as long as that of the http block.
            let upstream = unsafe { &**upstream };
            let checked = upstream.block.check().map_err(|error| error.to_string());
            checked.and_then(|()| method::check(upstream, place)).map_err(|error| fail(error, place))?;
            // SAFETY: as above; a block with a `tblb`, without which the check before fails, has nginx's configuration.
            let servers = unsafe { servers::of(upstream.upstream) };
            upstream.block.check_servers(&servers).map_err(|(number, error)| {
                fail(error.to_string(), upstream.server_places.get(number).unwrap_or(place))
            })?;
        }
        Ok(())
    }

    /// Records for each upstream whether `$tblb_model` is used.
    pub fn show_models(&self, used: bool) {
        for upstream in &self.upstreams {
            // SAFETY: the configurations of upstream blocks live as long as that of the http block, and are changed only
            // while they are parsed, as they are now.
            unsafe { (**upstream).shows_model = used };
        }
    }

    /// The upstreams' configurations.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamConf> {
        // SAFETY: the configurations of upstream blocks live as long as that of the http block, and are changed
        // only while they are parsed.
        self.upstreams.iter().map(|upstream| unsafe { &**upstream })
    }
}

pub unsafe extern "C" fn create_main(cf: *mut ngx_conf_t) -> *mut c_void {
    create::<MainConf>(cf)
}

pub unsafe extern "C" fn create_upstream(cf: *mut ngx_conf_t) -> *mut c_void {
    create::<UpstreamConf>(cf)
}

pub unsafe extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    create::<LocationConf>(cf)
}

fn create<T: Default>(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx parses `cf`, and its pool lives as long as the configuration.
    guard::or(ptr::null_mut(), || unsafe { in_pool((*cf).pool, T::default()) }.cast())
}

/// Moves a value into a pool, which drops it when it is destroyed; null if there is no memory.
///
/// # Safety
/// `pool` is a pool of nginx.
pub unsafe fn in_pool<T>(pool: *mut ngx_pool_t, value: T) -> *mut T {
    unsafe extern "C" fn drop_in_pool<T>(data: *mut c_void) {
        // SAFETY: `data` is the value that was written there, and the pool calls this once.
        guard::or((), || unsafe { ptr::drop_in_place(data.cast::<T>()) });
    }
    const { assert!(align_of::<T>() <= align_of::<*mut c_void>()) }
    // SAFETY: the pool is the caller's; the cleanup's data is of the size that is asked for, and aligned as
    // nginx aligns all it allocates, to a pointer.
    unsafe {
        let Some(cleanup) = ngx_pool_cleanup_add(pool, size_of::<T>()).as_mut() else {
            return ptr::null_mut();
        };
        let data = cleanup.data.cast::<T>();
        data.write(value);
        cleanup.handler = Some(drop_in_pool::<T>);
        data
    }
}

/// The configuration of the http block that is parsed.
///
/// # Safety
/// `cf` is the configuration that nginx parses, within its http block.
pub unsafe fn main_of<'a>(cf: *mut ngx_conf_t) -> Option<&'a mut MainConf> {
    // SAFETY: within the http block the context is this, and each module's entry is what its create hook made.
    unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        (*(*context).main_conf.add(context_index())).cast::<MainConf>().as_mut()
    }
}

/// The configuration of the http block of a cycle, None if it has none.
///
/// # Safety
/// `cycle` is a cycle of nginx that is initialised, and lives as long as the reference is used.
pub unsafe fn main_of_cycle<'a>(cycle: *mut ngx_cycle_t) -> Option<&'a MainConf> {
    // SAFETY: as the caller says; without an http block the context is null. A cycle's list of contexts is as
    // long as there are modules.
    unsafe {
        let contexts = (*cycle).conf_ctx;
        let context = contexts.as_ref().and(Some(*contexts.add(ngx_http_module.index)))?;
        let context = context.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        (*context.main_conf.add(context_index())).cast::<MainConf>().as_ref()
    }
}

/// Our configuration of an upstream block.
///
/// # Safety
/// `upstream` is the configuration of a block written by the user (an implicit one has none).
pub unsafe fn upstream_of<'a>(upstream: *mut ngx_http_upstream_srv_conf_t) -> Option<&'a mut UpstreamConf> {
    // SAFETY: as the caller says; each module's entry is what its create hook made.
    unsafe {
        let configurations = (*upstream).srv_conf;
        configurations.as_ref()?;
        (*configurations.add(context_index())).cast::<UpstreamConf>().as_mut()
    }
}

/// Our configuration of a request's location.
///
/// # Safety
/// `request` is a request that nginx is handling.
pub unsafe fn location_of<'a>(request: *mut ngx_http_request_t) -> Option<&'a LocationConf> {
    // SAFETY: as the caller says; each module's entry is what its create hook made.
    unsafe { (*(*request).loc_conf.add(context_index())).cast::<LocationConf>().as_ref() }
}

/// Whether a zone is ours.
pub fn is_ours(zone: &ngx_shm_zone_t) -> bool {
    zone.tag == tag()
}

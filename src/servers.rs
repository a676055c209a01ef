//! The servers of an upstream block as its directives give them, and what `tblb_server` says of one of them.

use crate::peers;
use ngx::ffi::{ngx_addr_t, ngx_http_upstream_server_t, ngx_http_upstream_srv_conf_t};
use std::net::{SocketAddr, ToSocketAddrs};
use tblb_core::config::{Place, Server};

/// The servers of a block: the word of each directive, and its addresses as nginx writes them. One that is resolved later has
/// none.
///
/// # Safety
/// `upstream` is null or nginx's configuration of a block that was parsed to its end.
pub unsafe fn of(upstream: *const ngx_http_upstream_srv_conf_t) -> Vec<(String, Vec<String>)> {
    // SAFETY: as the caller says; the array is null where the block has no server.
    let Some(servers) = (unsafe { upstream.as_ref().and_then(|upstream| upstream.servers.as_ref()) }) else {
        return Vec::new();
    };
    // SAFETY: the array holds this many servers, each with this many addresses, which live as long as the configuration.
    unsafe {
        let servers = slice(servers.elts.cast::<ngx_http_upstream_server_t>(), servers.nelts);
        let text = |string| String::from_utf8_lossy(peers::bytes(string)).into_owned();
        let addresses = |server: &ngx_http_upstream_server_t| {
            let addresses: &[ngx_addr_t] = slice(server.addrs, server.naddrs);
            // nginx puts one without a name where a name is resolved later.
            addresses.iter().map(|address| text(&address.name)).filter(|name| !name.is_empty()).collect()
        };
        servers.iter().map(|server| (text(&server.name), addresses(server))).collect()
    }
}

/// An array of nginx, which may be null where it is empty.
///
/// # Safety
/// There are `length` elements at `first`, which live as long as the slice is used.
unsafe fn slice<'a, T>(first: *const T, length: usize) -> &'a [T] {
    // SAFETY: as the caller says.
    if first.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(first, length) } }
}

/// The address of the metrics of a server, None where no URL is given. A name is looked up now, as nginx looks up those of
/// `server` directives.
///
/// # Errors
/// The name cannot be resolved.
pub fn metrics_address(server: &Server) -> Result<Option<SocketAddr>, String> {
    let Some(Place::Url(url)) = &server.metrics else { return Ok(None) };
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, url.port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.map(Some).ok_or_else(|| format!("host not found in \"{}\", expected one that resolves", url.host))
}

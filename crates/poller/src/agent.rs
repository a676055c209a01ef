//! The one place that makes a ureq agent, and takes from it all that a poller must not have.

use crate::socket::Link;
use crate::tls::Trust;
use crate::wire::{INPUT, OUTPUT, Wiring};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, Error};

/// The largest header of an answer; engines send some hundred bytes. It has to be smaller than what is read at once,
/// or a larger one would look like a closed connection.
pub(crate) const HEADER_LIMIT: usize = INPUT / 2;

/// An idle connection is kept until the engine closes it, or for this long.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// An agent for one engine. One for all would search the connections of all for each poll, and know them by host
/// only, which two engines may have in common.
pub(crate) fn agent(link: Arc<Link>, trust: Option<Trust>) -> Agent {
    let config = Config::builder()
        .proxy(None) // by default from the environment
        .max_redirects(0) // an engine must not send the poller elsewhere
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .accept("text/plain; version=0.0.4, */*; q=0.1")
        .accept_encoding("identity")
        .user_agent(concat!("tblb/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(HEADER_LIMIT)
        .input_buffer_size(INPUT)
        .output_buffer_size(OUTPUT)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(KEPT)
        // No time-outs, which ureq has for each step of a poll: the socket knows the deadline of the whole.
        .timeout_global(None)
        .build();
    let resolver = Known(link.address);
    Agent::with_parts(config, Wiring { link, trust }, resolver)
}

/// Resolves every name to the address that is known. ureq's own resolver looks names up, in a thread for each.
#[derive(Debug)]
struct Known(SocketAddr);

impl Resolver for Known {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

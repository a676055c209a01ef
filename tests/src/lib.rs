//! End-to-end tests of the module against a real nginx.
//!
//! `make test` says which nginx and which module: `TBLB_NGINX` is the binary, `TBLB_MODULE` the module built for it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `config` | configurations, and what nginx says of them (`nginx -t`) |
//! | `nginx` | an nginx that runs, from its start to its end |
//! | `process` | processes and threads as /proc shows them |
//! | `client` | the client that asks nginx |
//! | `http2` | the client whose threads share a connection |
//! | `node` | an engine under the test's control: what it reports, how it answers, in whichever protocol it is asked |
//! | `scripted` | an engine that answers what a test wrote down |
//! | `dns` | a name server under the test's control |
//! | `status` | the status as JSON |
//! | `engines` | the mock engine of `tblb-sim`, fast |
//! | `failpoints` | points in the module at which something is made to happen |
//! | `certificates` | certificates, and engines that have them |
//! | `failures` | the table of ways in which engines fail, and pools of which one engine does |
//! | `faults` | the table of what metrics can be, and what that is called |
//! | `ways` | the table of ways through nginx that are not straight |
//! | `meanwhile` | what goes on while a test does something else: load, and looks at what never may be |
#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
pub mod config;
pub mod dns;
pub mod engines;
pub mod failpoints;
pub mod failures;
pub mod faults;
pub mod http2;
pub mod meanwhile;
pub mod nginx;
pub mod node;
pub mod process;
pub mod scripted;
pub mod status;
pub mod ways;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with other things; a test that fails for a time waits so
/// long first.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until `f` gives something, and fails the test where it does not within [`PATIENCE`].
pub fn wait_for<T>(what: &str, f: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, f)
}

/// Waits until `f` gives something, and fails the test where it does not within `time`.
pub fn wait_within<T>(time: Duration, what: &str, mut f: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = f() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {time:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Listens at an address. Where the port is 0 any will do, also one below those that the system gives by itself: connections
/// that were closed within the last minute may hold all of these.
pub fn listen(address: SocketAddr) -> TcpListener {
    const PORTS: std::ops::Range<u16> = 10_240..32_768;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    wait_for("a free port", || {
        let bound = TcpListener::bind(address);
        let busy = matches!(&bound, Err(error) if error.kind() == ErrorKind::AddrInUse);
        if !busy || address.port() != 0 {
            return if busy { None } else { Some(bound.expect("an address of this machine")) };
        }
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = PORTS.start + (number % u32::from(PORTS.end - PORTS.start)) as u16;
        TcpListener::bind(SocketAddr::new(address.ip(), port)).ok()
    })
}

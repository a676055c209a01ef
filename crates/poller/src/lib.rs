//! The polling threads of tblb: they ask each engine for its metrics, read them and hand the readings to a [`Sink`].
//!
//! One thread, the scheduler, says which engine is due, renews the lease, and is the only one that calls the sink. A
//! few others wait for engines, in lanes (`lanes.rs`) so that a slow engine waits with the slow ones only.
#![forbid(unsafe_code)]

mod agent;
mod client;
mod credentials;
mod failure;
mod lanes;
mod poller;
mod schedule;
mod socket;
mod state;
mod stop;
mod target;
mod tls;
mod wire;

pub use credentials::Credentials;
pub use poller::{MAX_THREADS, Poller, Sink, When};
pub use state::State;
pub use target::{MetricsPath, Scheme, Settings, Target};

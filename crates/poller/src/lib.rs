//! The polling threads of tblb: they ask each engine for its metrics, read them and hand the readings to a [`Sink`].
//!
//! One thread, the scheduler, says which engine is due, renews the lease, and is the only one that calls the sink. A
//! few others wait for the engines' connections, each for all of its own at once (`reactor.rs`), so that an engine that
//! hangs holds up no other.
#![forbid(unsafe_code)]

mod body;
mod buffers;
mod client;
mod credentials;
mod exchange;
mod failure;
mod head;
mod jobs;
mod outgoing;
mod place;
mod poller;
mod reactor;
mod schedule;
mod state;
mod stop;
mod stream;
mod target;
mod tls;

pub use credentials::Credentials;
pub use failure::Failure;
pub use poller::{MAX_THREADS, Poller, Sink, When};
pub use state::State;
pub use target::{MetricsPath, Scheme, Settings, Target};

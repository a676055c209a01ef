//! The simulator and the mock engine of tblb, a load client, and the demonstration that puts them around nginx.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod client;
pub mod compare;
pub mod demo;
pub mod engine;
pub mod fleet;
pub mod live;
pub mod metric;
pub mod node;
pub mod policy;
mod random;
pub mod replay;
pub mod results;
pub mod scenario;
pub mod soak;
pub mod study;
pub mod summary;
pub mod workload;

//! The simulator and the mock engine of tblb, a load client, and the demonstration that puts them around nginx.
#![forbid(unsafe_code)]

pub mod client;
pub mod demo;
pub mod engine;
pub mod node;
mod random;
pub mod summary;
pub mod workload;

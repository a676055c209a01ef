//! The simulator and the mock engine of tblb.
#![forbid(unsafe_code)]

pub mod engine;
pub mod node;
mod random;
pub mod workload;

//! The core of tblb: what is decided, without I/O, clock, threads or nginx.
#![forbid(unsafe_code)]

pub mod algorithm;
pub mod answer;
pub mod balancer;
pub mod board;
pub mod config;
pub mod engine;
pub mod exposition;
pub mod failpoint;
pub mod fault;
pub mod frozen;
pub mod load;
pub mod median;
pub mod model;
pub mod picker;
pub mod reason;
pub mod scores;
pub mod status;
pub mod sync;
pub mod tries;

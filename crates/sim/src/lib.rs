//! The simulator and the mock engine of tblb.
#![forbid(unsafe_code)]

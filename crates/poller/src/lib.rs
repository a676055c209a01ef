//! The polling thread of tblb.
#![forbid(unsafe_code)]

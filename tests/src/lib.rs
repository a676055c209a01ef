//! End-to-end tests of the module against a real nginx.
#![forbid(unsafe_code)]

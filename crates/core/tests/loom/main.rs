//! The board under loom, which plays through the orders in which threads may read and write its words, with the older
//! values that a processor may still show them. Only with `--cfg loom`: scripts/loom.sh.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod learnt;
mod play;
mod samples;
mod workers;

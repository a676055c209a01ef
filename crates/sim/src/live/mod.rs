//! Policies through nginx before a pool of mock engines, in real time, and the same in the simulator: the parts of
//! `tblb-sim live`.

mod machine;
mod point;
mod room;
mod times;

pub use machine::{Cpu, Lateness};
pub use point::Point;
pub use room::{Room, Setting};
pub use times::{MEASURES, Measure, Times, change, values};

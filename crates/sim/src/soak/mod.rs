//! nginx under load and random faults for a long time: the parts of `tblb-sim soak`.
//!
//! Rounds of a storm and a rest follow each other. In a storm clients send requests while faults strike; at rest all
//! has to be as it was: nothing in flight, all metrics fresh, one poller, and only then memory, descriptors and threads
//! are read, so that what grows from one rest to the next was leaked.

mod findings;
mod room;
mod round;
mod slope;
mod slow;
mod strike;
mod usage;

pub use findings::{files, grave};
pub use room::{Kind, Room, Sample, Setting};
pub use round::{House, Tally};
pub use slope::slope;
pub use strike::Strike;
pub use usage::Usage;

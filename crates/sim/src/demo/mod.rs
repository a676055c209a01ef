//! The parts of the demonstration, and of all that plays in real time: mock engines as processes, nginx with a
//! configuration in front of them, and what nginx's status says. All of them end with the value that stands for them.

mod engines;
mod nginx;
mod status;

pub use engines::EngineProcess;
pub use nginx::{Nginx, Site, WORKERS, server};
pub use status::{PeerRow, peers};

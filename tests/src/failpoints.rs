//! Points in the module at which something is made to happen, in the build that has them.

use crate::wait_for;
use std::fs;
use std::path::{Path, PathBuf};
use tblb_core::failpoint::Point;
use tempfile::TempDir;

/// What happens to the first worker that comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// A panic of the thread.
    Panic,
    /// SIGSTOP.
    Stop,
}

/// The directory in which the module looks for what is to happen.
pub struct Failpoints(TempDir);

impl Failpoints {
    /// Nothing is to happen yet.
    pub fn new() -> Failpoints {
        Failpoints(crate::config::directory())
    }

    /// Where that is.
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Something happens once at a point.
    pub fn arm(&self, point: Point, action: Action) {
        let action = match action {
            Action::Kill => "kill",
            Action::Panic => "panic",
            Action::Stop => "stop",
        };
        let _ = fs::remove_file(self.struck(point));
        // Nobody reads half of it.
        let new = self.0.path().join("new");
        fs::write(&new, action).expect("a file");
        fs::rename(&new, self.0.path().join(format!("{point:?}"))).expect("a file");
    }

    fn struck(&self, point: Point) -> PathBuf {
        self.0.path().join(format!("{point:?}.struck"))
    }

    /// Waits until it has happened.
    pub fn wait(&self, point: Point) {
        wait_for(&format!("somebody comes by {point:?}"), || self.struck(point).exists().then_some(()));
    }
}

impl Default for Failpoints {
    fn default() -> Self {
        Failpoints::new()
    }
}

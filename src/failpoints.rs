//! What happens at a failpoint, in a build that has them: what a test wants, once, to the first worker that comes by.
//!
//! The test names a directory in the environment and puts a file there that has the name of a point and holds `kill`, `panic`
//! or `stop`. The worker that renames it to the point's name with `.struck` is the one that it happens to.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use tblb_core::failpoint::{self, Point};

/// The variable that names the directory.
const DIRECTORY: &str = "TBLB_FAILPOINTS";

static PLACE: OnceLock<PathBuf> = OnceLock::new();

/// Lets things happen in this process from now on, if a test wants any.
pub fn arm() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let _ = PLACE.set(directory.into());
        failpoint::arm(strike);
    }
}

/// What is to happen at `point`. A file is looked for each time: this is no build for anything but tests.
#[allow(clippy::panic)] // as a test wants
fn strike(point: Point) {
    let Some(place) = PLACE.get() else { return };
    let armed = place.join(format!("{point:?}"));
    let Ok(action) = fs::read_to_string(&armed) else { return };
    if fs::rename(&armed, armed.with_extension("struck")).is_err() {
        return;
    }
    match action.as_str() {
        "panic" => panic!("at {point:?}, as a test wants"),
        "stop" => signal(libc::SIGSTOP),
        _ => signal(libc::SIGKILL),
    }
}

fn signal(number: libc::c_int) {
    // SAFETY: a signal to this process itself.
    unsafe { libc::kill(libc::getpid(), number) };
}

//! Mock engines as processes of their own.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A mock engine in a process, which ends when this is dropped.
#[derive(Debug)]
pub struct EngineProcess {
    child: Child,
    url: String,
}

impl EngineProcess {
    /// Starts `binary engine ARGS…` on a free port and waits until it listens. The engine ends too if this process
    /// dies without dropping it.
    ///
    /// # Errors
    /// The process cannot be started or ends before it listens.
    pub fn start(binary: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Self> {
        let child = Command::new(binary)
            .args(["engine", "--listen", "127.0.0.1:0", "--until-stdin-closes"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut engine = Self { child, url: String::new() };
        let mut line = String::new();
        if let Some(stdout) = engine.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix("listening on ") {
            Some(url) => engine.url = url.to_owned(),
            None => return Err(io::Error::other("the engine did not start")),
        }
        Ok(engine)
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

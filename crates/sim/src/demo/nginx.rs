//! nginx in front of engines, configured in a directory of its own.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long nginx may take to listen or to end; under a checker, on a busy machine, it takes many seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A free port may be taken by somebody else before nginx binds it.
const TRIES: usize = 3;

/// Its worker processes.
pub const WORKERS: usize = 2;

/// What nginx is to do.
#[derive(Debug, Clone)]
pub struct Site {
    /// nginx's binary.
    pub nginx: PathBuf,
    /// The module to load, if any.
    pub module: Option<PathBuf>,
    /// The directives of the upstream before its servers, e. g. `tblb s1_enhanced;`.
    pub method: String,
    /// The engines' addresses, as `server` takes them.
    pub servers: Vec<String>,
    /// Connections to the engines that each worker keeps.
    pub keepalive: usize,
    /// Whether there is a `location = /tblb` with the module's status.
    pub status: bool,
}

/// A running nginx, which ends with all its workers when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    addr: SocketAddr,
    /// Its prefix: configuration, logs and temporary files.
    dir: TempDir,
}

impl Nginx {
    /// Writes the configuration, starts nginx on a free local port and waits until it listens.
    ///
    /// # Errors
    /// nginx cannot be started, or refuses the configuration; then the error is nginx's own text.
    pub fn start(site: &Site) -> io::Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(site) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
                started => return started,
            }
        }
    }

    fn try_start(site: &Site) -> io::Result<Self> {
        let dir = directory()?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let conf = dir.path().join("nginx.conf");
        std::fs::write(&conf, configuration(site, addr, &temp_paths(&site.nginx)?))?;
        let log = dir.path().join("error.log");
        let child = Command::new(&site.nginx)
            .arg("-p")
            .arg(dir.path())
            .arg("-e")
            .arg(&log)
            .arg("-c")
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // The same lines are in the log.
            .stderr(Stdio::null())
            .spawn()?;
        let mut nginx = Self { child, addr, dir };
        nginx.wait_until_it_listens()?;
        Ok(nginx)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let since = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            let gone = self.child.try_wait()?.is_some();
            if gone || since.elapsed() > PATIENCE {
                let log = self.error_log();
                let kind = if log.contains("Address already in use") {
                    io::ErrorKind::AddrInUse
                } else {
                    io::ErrorKind::Other
                };
                return Err(io::Error::new(kind, format!("nginx does not listen:\n{log}")));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The id of its master process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn error_log(&self) -> String {
        // There is no log before it has written one.
        std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let since = Instant::now();
        while self.child.try_wait()?.is_none() {
            if since.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
            }
            sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("nginx {} could not be ended: {error}", self.child.id());
        }
    }
}

/// The address in an engine's base URL, as `server` takes it.
///
/// # Errors
/// It is not `http://HOST:PORT`.
pub fn server(url: &str) -> Result<String, String> {
    let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match address {
        Some(address) if !address.is_empty() && !address.contains('/') => Ok(address.to_owned()),
        _ => Err(format!("\"{url}\" is not http://HOST:PORT")),
    }
}

/// A directory that nginx's workers may enter, whoever they run as.
fn directory() -> io::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("tblb-demo-").permissions(open).tempdir()
}

/// The directives that keep the temporary files of this nginx's modules in its directory.
fn temp_paths(nginx: &Path) -> io::Result<String> {
    let version = Command::new(nginx).arg("-V").output()?;
    let built = String::from_utf8_lossy(&version.stderr);
    let mut text = "client_body_temp_path client_body; proxy_temp_path proxy;".to_owned();
    for module in ["fastcgi", "uwsgi", "scgi"] {
        if !built.contains(&format!("--without-http_{module}_module")) {
            let _ = write!(text, " {module}_temp_path {module};");
        }
    }
    Ok(text)
}

fn configuration(site: &Site, listen: SocketAddr, temp_paths: &str) -> String {
    let module =
        site.module.as_ref().map_or(String::new(), |path| format!("load_module {};", path.display()));
    let servers: String = site.servers.iter().map(|server| format!("        server {server};\n")).collect();
    let status = if site.status { "location = /tblb { tblb_status; }" } else { "" };
    let Site { method, keepalive, .. } = site;
    format!(
        "{module}
daemon off;
worker_processes {WORKERS};
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {temp_paths}
    upstream llm {{
        zone llm 512k;
        {method}
{servers}        keepalive {keepalive};
    }}
    server {{
        listen {listen} backlog=1024;
        client_body_buffer_size 1m;
        client_max_body_size 64m;
        location /v1/ {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 600s;
            add_header X-Upstream $upstream_addr always;
        }}
        {status}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            nginx: "nginx".into(),
            module: Some("/modules/tblb.so".into()),
            method: "tblb;".to_owned(),
            servers: vec!["127.0.0.1:8001".to_owned(), "127.0.0.1:8002".to_owned()],
            keepalive: 32,
            status: true,
        }
    }

    #[test]
    fn the_method_stands_before_keepalive_and_the_module_is_loaded_first() {
        let addr = "127.0.0.1:80".parse().expect("an address");
        let text = configuration(&site(), addr, "");
        assert!(text.starts_with("load_module /modules/tblb.so;"));
        let order =
            ["zone llm", "tblb;", "server 127.0.0.1:8001;", "server 127.0.0.1:8002;", "keepalive 32;"];
        let places: Vec<_> = order.iter().map(|word| text.find(word).expect(word)).collect();
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains("location = /tblb { tblb_status; }"));
        let plain = configuration(&Site { module: None, status: false, ..site() }, addr, "");
        assert!(!plain.contains("load_module") && !plain.contains("tblb_status"));
    }
}

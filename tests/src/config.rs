//! Configurations, and what nginx says of them.

mod checked;

use crate::listen;
pub use checked::{Checked, check_text};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Fields that tell a test how its request went, and a log that tells what is known only at the end.
const TELLING: &str = r#"
    log_format tblb '$uri|$status|$upstream_addr|$upstream_header_time|$request_time'
                    '|$tblb_algorithm|$tblb_reason|$tblb_score|$tblb_ttft';
    add_header X-Upstream $upstream_addr always;
    add_header X-Algorithm $tblb_algorithm always;
    add_header X-Reason $tblb_reason always;
    add_header X-Score $tblb_score always;
"#;

/// How engines are proxied, as the documentation recommends; and a client may ask as often as it likes.
const PROXYING: &str = r#"
    keepalive_requests 1000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
"#;

/// What a configuration adds to one that every test needs: a server that passes all requests to the upstream `llm`
/// and shows the status at `/tblb`.
#[derive(Debug, Clone)]
pub struct Config {
    http: String,
    locations: String,
    main: String,
    workers: usize,
    workers_last: bool,
    reuse_port: bool,
    daemon: bool,
    master: bool,
    http2: bool,
    module: PathBuf,
    /// By name: mode and content.
    files: BTreeMap<String, (u32, Vec<u8>)>,
    environment: BTreeMap<String, String>,
}

/// Where an nginx listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub http: SocketAddr,
    pub http2: SocketAddr,
}

impl Ports {
    /// Ports that are free now; another process may take one before nginx does.
    pub fn free() -> Ports {
        let bound = [(); 2].map(|()| listen(([127, 0, 0, 1], 0).into()));
        let [http, http2] = bound.map(|listener| listener.local_addr().expect("an address"));
        Ports { http, http2 }
    }
}

/// An upstream block: what stands first in it, and its servers with their parameters.
pub fn upstream(name: &str, first: &str, servers: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = format!("upstream {name} {{\n{first}\n");
    for server in servers {
        text += &format!("server {};\n", server.as_ref());
    }
    text + "}\n"
}

impl Config {
    /// A configuration with this in its http block, where the upstream `llm` must be.
    pub fn new(http: impl Into<String>) -> Config {
        Config {
            http: http.into(),
            locations: String::new(),
            main: String::new(),
            workers: 2,
            workers_last: false,
            reuse_port: false,
            daemon: false,
            master: true,
            http2: false,
            module: from_environment("TBLB_MODULE", "the module that was built for that nginx"),
            files: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }

    /// Adds to the server block.
    #[must_use]
    pub fn server(mut self, text: &str) -> Config {
        self.locations += text;
        self
    }

    /// Adds before the http block.
    #[must_use]
    pub fn main(mut self, text: &str) -> Config {
        self.main += text;
        self
    }

    /// Adds a file beside the configuration.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Config {
        self.file_of_mode(name, content, 0o644)
    }

    /// Adds a file of this mode beside the configuration.
    #[must_use]
    pub fn file_of_mode(mut self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> Config {
        self.files.insert(name.to_owned(), (mode, content.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment that nginx starts with, and its workers keep.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Config {
        self.environment.insert(name.to_owned(), value.to_owned());
        self.main(&format!("env {name};\n"))
    }

    /// Sets how many workers there are; two if this is not called.
    #[must_use]
    pub fn workers(mut self, n: usize) -> Config {
        self.workers = n;
        self
    }

    /// Puts `worker_processes` behind the http block.
    #[must_use]
    pub fn workers_last(mut self) -> Config {
        self.workers_last = true;
        self
    }

    /// Gives each worker a socket of its own to listen at, so that connections spread over the workers.
    #[must_use]
    pub fn reuse_port(mut self) -> Config {
        self.reuse_port = true;
        self
    }

    /// With the module that has failpoints, at which happens what the directory says (see [`crate::failpoints`]).
    #[must_use]
    pub fn failpoints(mut self, directory: &Path) -> Config {
        self.module = from_environment("TBLB_FAILPOINTS_MODULE", "the module that was built with failpoints");
        self.environment("TBLB_FAILPOINTS", &directory.display().to_string())
    }

    /// `daemon on`.
    #[must_use]
    pub fn daemon(mut self) -> Config {
        self.daemon = true;
        self
    }

    /// `master_process off`.
    #[must_use]
    pub fn single_process(mut self) -> Config {
        self.master = false;
        self.workers = 1;
        self
    }

    /// Serves HTTP/2 at a port of its own, too.
    #[must_use]
    pub fn http2(mut self) -> Config {
        build().require("--with-http_v2_module");
        self.http2 = true;
        self
    }

    /// What is set in its environment.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// How many processes handle requests.
    pub(crate) fn worker_number(&self) -> usize {
        self.workers
    }

    pub(crate) fn has_master(&self) -> bool {
        self.master
    }

    pub(crate) fn is_daemon(&self) -> bool {
        self.daemon
    }

    /// Writes the configuration into a directory.
    pub(crate) fn write(&self, directory: &Path, ports: Ports) -> PathBuf {
        for (name, (mode, content)) in &self.files {
            let file = directory.join(name);
            fs::write(&file, content).expect("a file in the directory of the test");
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).expect("its mode");
        }
        let file = directory.join("nginx.conf");
        fs::write(&file, self.text(directory, ports)).expect("a file in the directory of the test");
        file
    }

    fn text(&self, directory: &Path, ports: Ports) -> String {
        let switch = |on| if on { "on" } else { "off" };
        let directory = directory.display();
        let workers = format!("worker_processes {};\n", self.workers);
        let mut text = format!("load_module {};\n", self.module.display());
        // Workers must reach what belongs to the user who runs the tests.
        if rustix::process::geteuid().is_root() {
            text += "user root;\n";
        }
        let _ = write!(
            text,
            "daemon {};\nmaster_process {};\n{}pid {directory}/nginx.pid;\n\
             error_log {directory}/error.log notice;\n{}\nevents {{ worker_connections 1024; }}\nhttp {{\n",
            switch(self.daemon),
            switch(self.master),
            if self.workers_last { "" } else { &workers },
            self.main
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(text, "{kind}_temp_path {directory}/{kind};");
        }
        let _ = writeln!(text, "{TELLING}access_log {directory}/access.log tblb;\n{PROXYING}{}", self.http);
        for listen in self.listen(ports) {
            let _ = writeln!(
                text,
                "server {{\n{listen}\nlocation / {{ proxy_pass http://llm; }}\n\
                 location = /tblb {{ tblb_status; }}\n{}\n}}",
                self.locations
            );
        }
        text + "}\n" + if self.workers_last { &workers } else { "" }
    }

    fn listen(&self, ports: Ports) -> Vec<String> {
        let reuse = if self.reuse_port { " reuseport" } else { "" };
        let mut listen = vec![format!("listen {}{reuse};", ports.http)];
        if self.http2 {
            listen.push(if build().version >= [1, 25, 1] {
                format!("listen {};\nhttp2 on;", ports.http2)
            } else {
                format!("listen {} http2;", ports.http2)
            });
        }
        listen
    }

    /// What `nginx -t` says.
    pub fn check(&self) -> Checked {
        let directory = directory();
        let file = self.write(directory.path(), Ports::free());
        Checked::by_nginx(directory.path(), file)
    }
}

/// A directory for one nginx.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tblb-").tempdir().expect("a directory for the test")
}

/// nginx with the configuration of a directory.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(program());
    // By its working directory a process is known to be of this nginx.
    command.current_dir(directory).stdin(Stdio::null());
    // Without -e, lines that come before the configuration is read go to where nginx was compiled to write them.
    command.arg("-p").arg(directory).arg("-c").arg(directory.join("nginx.conf")).args(["-e", "stderr"]);
    // With it nginx would take over the sockets of another one.
    command.env_remove("NGINX");
    command
}

fn program() -> PathBuf {
    from_environment("TBLB_NGINX", "an nginx binary")
}

fn from_environment(name: &str, what: &str) -> PathBuf {
    let path = std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = path.unwrap_or_else(|| panic!("{name} is not set: run `make test`, or set it to {what}"));
    path.canonicalize().unwrap_or_else(|error| panic!("{name}={}: {error}", path.display()))
}

/// What `nginx -V` says.
#[derive(Debug)]
pub struct Build {
    /// The version.
    pub version: [u32; 3],
    arguments: String,
}

/// What the nginx of the tests is.
pub fn build() -> &'static Build {
    static BUILD: OnceLock<Build> = OnceLock::new();
    BUILD.get_or_init(|| {
        let output = Command::new(program()).arg("-V").output().expect("nginx runs");
        let arguments = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = arguments.split_once("nginx/").expect("a version").1;
        let version = version.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse().expect("a number"));
        let version = [(); 3].map(|()| numbers.next().expect("three numbers"));
        Build { version, arguments }
    })
}

impl Build {
    /// Fails the test if that nginx was configured without something it needs.
    pub fn require(&self, argument: &str) {
        assert!(
            self.arguments.contains(argument),
            "this test needs an nginx configured {argument}: {}",
            self.arguments
        );
    }
}

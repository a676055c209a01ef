//! An nginx of one process under callgrind.

use crate::Failure;
use crate::case::Case;
use crate::client::Client;
use crate::engines::Engines;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use tblb_tests::process;

/// Idle connections to engines that nginx keeps: to each server there is one.
const KEPT: usize = 64;

/// Sends requests to an nginx under callgrind, and gives the instructions from its start to its end. With a file, what
/// `callgrind_annotate` reads goes there, and counts only the time after the start.
pub fn run(case: &Case, requests: usize, file: Option<&Path>) -> Result<u64, Failure> {
    let engines = Engines::start(case.answer)?;
    let directory = tempfile::Builder::new().prefix("tblb-").tempdir()?;
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let configuration = directory.path().join("nginx.conf");
    fs::write(&configuration, text(case, &engines, directory.path(), free)?)?;
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(file.map_or(Path::new("/dev/null"), |file| file));
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(out);
    if file.is_some() {
        command.arg("--toggle-collect=ngx_process_events_and_timers");
    }
    command.arg(variable("TBLB_NGINX")?).arg("-p").arg(directory.path()).arg("-c").arg(configuration);
    command.args(["-e", "stderr"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.env_remove("NGINX").spawn().map_err(|error| format!("valgrind: {error}"))?;
    let asked = ask(case, &engines, requests, free);
    process::signal(child.id(), if asked.is_ok() { Signal::TERM } else { Signal::KILL });
    let output = child.wait_with_output()?;
    let reported = String::from_utf8_lossy(&output.stderr);
    asked.map_err(|error| format!("{case:?}: {error}\n{reported}"))?;
    let collected = reported.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.ok_or_else(|| format!("{case:?}: callgrind counted nothing\n{reported}").into())
}

fn ask(case: &Case, engines: &Engines, requests: usize, to: SocketAddr) -> Result<(), Failure> {
    let mut client = Client::connect(to)?;
    (0..requests).try_for_each(|_| client.ask(case.answer, &engines.taken))
}

fn text(case: &Case, engines: &Engines, directory: &Path, listen: SocketAddr) -> Result<String, Failure> {
    let directory = directory.display();
    let load = match case.method.loaded {
        true => format!("load_module {};\n", variable("TBLB_MODULE")?.display()),
        false => String::new(),
    };
    let server = |n| format!("server {};\n", engines.address(n));
    let servers: String = (0..case.servers).map(server).collect();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("{kind}_temp_path {directory}/{kind};\n")).concat();
    Ok(format!(
        "{load}daemon off;\nmaster_process off;\npid {directory}/nginx.pid;\nerror_log stderr error;\nevents {{ }}\n\
         http {{\n{temporary}access_log {directory}/access.log;\nkeepalive_requests 1000000;\n\
         upstream llm {{\nzone llm 512k;\n{}\n{servers}keepalive {KEPT};\nkeepalive_requests 1000000;\n}}\n\
         server {{\nlisten {listen};\nlocation / {{\nproxy_pass http://llm;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_buffering off;\n}}\n}}\n}}\n",
        case.method.directives
    ))
}

/// A file that a variable of the environment names.
fn variable(name: &str) -> Result<std::path::PathBuf, Failure> {
    let path =
        std::env::var_os(name).ok_or_else(|| format!("{name} is not set: scripts/bench-requests.sh"))?;
    Ok(Path::new(&path).canonicalize().map_err(|error| format!("{name}={path:?}: {error}"))?)
}

//! Credentials for metrics: who gets them, and that nobody sees them.

use std::os::unix::fs::{PermissionsExt, symlink};
use tblb_tests::certificates::{authority, engine};
use tblb_tests::config::{Checked, Config, upstream};
use tblb_tests::engines::name;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::Node;
use tblb_tests::wait_for;
use tempfile::TempDir;

const POLLED: &str = "tblb_metrics interval=50ms timeout=5s;";

const SECRET: &str = "s3cret-Kx81";
/// A name that stands for nothing else.
const KEY_FILE: &str = "token-of-metrics";
/// What a request carries of it as the password of `ops`.
const BASIC: &str = "b3BzOnMzY3JldC1LeDgx";

const FORMS: &str = "location = /html { tblb_status html; } location = /text { tblb_status prometheus; }";

/// A configuration with an upstream of one server, named twice so that there is something to pick, and these directives,
/// and the secret in the file `key`.
fn config(directives: &str, server: &str, content: &str) -> Config {
    let http = upstream("llm", &format!("zone llm 64k; tblb; {POLLED} {directives}"), [server, server]);
    Config::new(http).server(FORMS).file_of_mode("key", content, 0o600)
}

/// The module: metrics that ask for a token or a password, with the file's name relative to the configuration, and
/// after a reload with what the file holds then.
#[test]
fn metrics_are_let_out_to_who_has_the_secret() {
    for (directive, before, key) in [
        ("tblb_metrics_auth bearer key;", "Bearer ", SECRET),
        ("tblb_metrics_auth basic ops key;", "Basic ", BASIC),
    ] {
        let node = Node::start();
        node.report(1.0, 2.0, 0.5);
        node.lock_metrics(&format!("{before}{key}"));
        let mut nginx = config(directive, &node.name(), &format!("{SECRET}\n")).start();
        nginx.wait_until_all("fresh");
        nginx.reload_with(&config(directive, &node.name(), "another"));
        let refused = nginx.wait_for("the old secret is gone", |status| {
            let polls = status.peer("llm", &node.name()).part("polls");
            (polls.text("fault") == "status").then(|| polls.number("count"))
        });
        assert!(refused.is_some());
        assert_eq!(nginx.get("/").status, 200, "metrics are not health");
        nginx.reload_with(&config(directive, &node.name(), SECRET));
        nginx.wait_for("the secret is there again", |status| {
            (status.peer("llm", &node.name()).part("polls").text("fault") == "null").then_some(())
        });
    }
}

/// What a configuration makes nginx write besides its usual logs: the log at its most talkative, and picks.
struct Written(TempDir);

impl Written {
    fn new() -> Written {
        Written(tempfile::tempdir().expect("a directory"))
    }

    /// `tblb_record`.
    fn record(&self) -> String {
        format!("tblb_record {};", self.0.path().join("picks").display())
    }

    fn debug(&self, config: Config) -> Config {
        config.main(&format!("error_log {} debug;", self.0.path().join("debug.log").display()))
    }

    /// All that nginx has put out: the status in its forms, an answer, the logs, the picks, and what it says of the
    /// configuration.
    fn everything(&self, nginx: &Nginx, config: &Config) -> Vec<String> {
        let mut seen = ["/tblb", "/html", "/text", "/v1/models"].map(|path| nginx.get(path).body).to_vec();
        seen.extend([nginx.log(), nginx.read("access.log"), config.check().said]);
        let read = |name| std::fs::read(self.0.path().join(name)).expect("a file");
        seen.extend(["debug.log", "picks"].map(|name| String::from_utf8_lossy(&read(name)).into_owned()));
        assert!(seen.iter().all(|text| !text.is_empty()));
        seen
    }
}

/// Promise 7: the secret stands in no log, whatever the level, in no form of the status, in no variable, not where picks are
/// written down, and in nothing that nginx says; nor does the name of its file.
#[test]
fn nobody_sees_the_secret() {
    for directive in ["tblb_metrics_auth bearer key;", "tblb_metrics_auth basic ops key;"] {
        let node = Node::start();
        let written = Written::new();
        let directive = directive.replace("key", KEY_FILE);
        let recorded = format!("{directive} {}", written.record());
        let with_debug =
            written.debug(config(&recorded, &node.name(), "").file_of_mode(KEY_FILE, SECRET, 0o600));
        let mut nginx = with_debug.start();
        node.lock_metrics(if directive.contains("basic") {
            "Basic b3BzOnMzY3JldC1LeDgx"
        } else {
            "Bearer s3cret-Kx81"
        });
        nginx.wait_until_all("fresh");
        node.lock_metrics("else");
        nginx.wait_for("it is refused", |status| {
            (status.peer("llm", &node.name()).part("polls").text("fault") == "status").then_some(())
        });
        nginx.reload_with(&with_debug);
        wait_for("the log says that it is refused", || {
            nginx.log_with("no metrics of").last().map(|line| assert!(line.ends_with("status")))
        });
        for text in written.everything(&nginx, &with_debug) {
            for secret in [SECRET, BASIC, KEY_FILE] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

/// Nothing of a file of certificates is put out, though somebody has left a key in it, whether an engine is trusted by it or
/// not; nor is its name.
/// Promise 7.
#[test]
fn nobody_sees_certificates_and_their_keys() {
    let [known, unknown] = ["known", "unknown"].map(authority);
    let pem = [&known, &unknown].map(|authority| authority.pem() + &authority.key().serialize_pem());
    let files = ["known-to-metrics", "unknown-to-metrics"];
    let engine = engine(&known, "127.0.0.1", 2100);
    let written = Written::new();
    let of = |group: &str, file: &str| {
        let trusted = format!("scheme=https ssl_trusted_certificate={file}");
        let first = format!("zone {group} 64k; tblb; tblb_metrics interval=50ms timeout=5s {trusted};");
        upstream(group, &(first + &written.record()), [name(&engine), name(&engine)])
    };
    let http = of("llm", files[0]) + &of("other", files[1]);
    let config = files.iter().zip(&pem).fold(Config::new(http), |config, (file, pem)| config.file(file, pem));
    let config = written.debug(config.server(FORMS).server("location /v1/ { proxy_pass https://llm; }"));
    let nginx = config.start();
    nginx.wait_until_all("fresh");
    nginx.wait_for("the engine is not trusted", |status| {
        (status.peer("other", &name(&engine)).part("polls").text("fault") == "tls_authority").then_some(())
    });
    for text in written.everything(&nginx, &config) {
        let lines = pem.iter().flat_map(|pem| pem.lines());
        lines.chain(files).for_each(|secret| assert!(!text.contains(secret), "{secret} in {text}"));
    }
}

fn check(content: &str, mode: u32, directive: &str) -> Checked {
    let http = upstream("llm", &format!("tblb;\n{directive}"), ["127.0.0.1:9"]);
    Config::new(http).file_of_mode("key", content, mode).check()
}

/// Bad input: files that hold no secret or do not keep it are refused with file and line, and without the secret.
/// Promise 7.
#[test]
fn files_that_are_no_good_are_refused() {
    let bearer = "tblb_metrics_auth bearer key;";
    for (content, mode, directive, said) in [
        (
            SECRET,
            0o644,
            bearer,
            "\"key\" is open to everybody (mode 0644), expected mode 0600, 0400 or 0440, or the parameter \"mode=any\"",
        ),
        (SECRET, 0o444, bearer, "(mode 0444)"),
        (SECRET, 0o604, bearer, "(mode 0604)"),
        (SECRET, 0o602, bearer, "(mode 0602)"),
        ("", 0o600, bearer, "\"key\" is empty, expected a secret"),
        ("\n", 0o600, bearer, "\"key\" is empty, expected a secret"),
        ("s3cret-Kx81\u{7}", 0o600, bearer, "\"key\" has control characters"),
        ("s3cret-Kx81\r\nHost: a", 0o600, bearer, "\"key\" has control characters"),
        ("s3cret-Kx81 b", 0o600, bearer, "\"key\" has blanks"),
        (SECRET, 0o600, "tblb_metrics_auth bearer none;", "No such file or directory"),
        (SECRET, 0o600, "tblb_metrics_auth bearer /dev/null;", "\"/dev/null\" is not a file"),
        (SECRET, 0o600, "tblb_metrics_auth bearer .;", "is not a file"),
        (
            SECRET,
            0o600,
            "tblb_metrics_auth token key;",
            "unknown scheme \"token\", expected one of \"bearer\", \"basic\"",
        ),
        (SECRET, 0o600, "tblb_metrics_auth basic key;", "invalid number of parameters"),
        (SECRET, 0o600, "tblb_metrics_auth basic a:b key;", "\"a:b\", expected a user without a colon"),
        (SECRET, 0o600, "tblb_metrics_auth bearer key; tblb_metrics_auth bearer key;", "duplicate"),
    ] {
        let checked = check(content, mode, directive);
        let place = format!("in \"tblb_metrics_auth\" directive in {}", checked.place(directive));
        let line = checked.said.lines().find(|line| line.contains("[emerg]"));
        let line = line.unwrap_or_else(|| panic!("{directive} passes: {}", checked.said));
        assert!(!checked.right && line.contains(said) && line.contains(&place), "{said:?}: {line}");
        assert!(!checked.said.contains(SECRET), "{}", checked.said);
    }
    for mode in [0o600, 0o400] {
        let checked = check(SECRET, mode, bearer);
        assert!(checked.right && !checked.said.contains("[warn]"), "{}", checked.said);
    }
}

/// Secrets as they are mounted: one that the group can read, as Kubernetes makes it, is used with a warning, and one that
/// everybody can read, as docker makes it, where `mode=any` stands.
/// Promise 7.
#[test]
fn secrets_as_they_are_mounted_are_taken() {
    for (mode, directive, warned) in [
        (0o440, "tblb_metrics_auth bearer key;", true),
        (0o640, "tblb_metrics_auth basic ops key;", true),
        (0o440, "tblb_metrics_auth bearer key mode=any;", true),
        (0o444, "tblb_metrics_auth bearer key mode=any;", false),
        (0o644, "tblb_metrics_auth basic ops key mode=any;", false),
    ] {
        let checked = check(SECRET, mode, directive);
        assert!(checked.right, "{mode:o} {directive}: {}", checked.said);
        let warning = checked
            .said
            .lines()
            .find(|line| line.contains("[warn]") && line.contains("key\" is open to its group"));
        assert_eq!(warning.is_some(), warned, "{mode:o} {directive}: {}", checked.said);
        let place = checked.place(directive);
        assert!(warning.is_none_or(|line| line.contains(&place)), "{place}: {}", checked.said);
        assert!(!checked.said.contains(SECRET), "{}", checked.said);
    }
}

/// A secret that is mounted as links of links, as Kubernetes does, is read, and after a reload the one that the links lead to
/// then.
/// Promise 7.
#[test]
fn a_secret_behind_links_is_read() {
    let mount = tempfile::tempdir().expect("a directory");
    let at = |name: &str| mount.path().join(name);
    let version = |name: &str, secret: &str| {
        std::fs::create_dir(at(name)).expect("a directory");
        std::fs::write(at(name).join("token"), secret).expect("a file");
        std::fs::set_permissions(at(name).join("token"), std::fs::Permissions::from_mode(0o440))
            .expect("its mode");
    };
    version("..v1", SECRET);
    version("..v2", "another");
    symlink("..v1", at("..data")).expect("a link");
    symlink("..data/token", at("token")).expect("a link");
    let node = Node::start();
    node.report(1.0, 2.0, 0.5);
    node.lock_metrics(&format!("Bearer {SECRET}"));
    let directive = format!("tblb_metrics_auth bearer {};", at("token").display());
    let mut nginx = config(&directive, &node.name(), "").start();
    nginx.wait_until_all("fresh");
    std::fs::remove_file(at("..data")).expect("no link");
    symlink("..v2", at("..data")).expect("a link");
    node.lock_metrics("Bearer another");
    nginx.reload_with(&config(&directive, &node.name(), ""));
    nginx.wait_for("the new secret is used", |status| {
        let polls = status.peer("llm", &node.name()).part("polls");
        (polls.text("fault") == "null").then_some(())
    });
}

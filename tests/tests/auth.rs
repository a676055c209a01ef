//! Credentials for metrics: who gets them, and that nobody sees them.

use tblb_tests::config::{Checked, Config, upstream};
use tblb_tests::node::Node;
use tblb_tests::wait_for;

const POLLED: &str = "tblb_metrics interval=50ms timeout=5s;";

const SECRET: &str = "s3cret-Kx81";
/// What a request carries of it as the password of `ops`.
const BASIC: &str = "b3BzOnMzY3JldC1LeDgx";

/// A configuration with an upstream of one server, named twice so that there is something to pick, and these directives,
/// and the secret in the file `key`.
fn config(directives: &str, server: &str, content: &str) -> Config {
    let http = upstream("llm", &format!("zone llm 64k; tblb; {POLLED} {directives}"), [server, server]);
    let forms = "location = /html { tblb_status html; } location = /text { tblb_status prometheus; }";
    Config::new(http).server(forms).file_of_mode("key", content, 0o600)
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

/// Promise 7: the secret stands in no log, whatever the level, in no form of the status, in no variable, not where picks are
/// written down, and in nothing that nginx says.
#[test]
fn nobody_sees_the_secret() {
    for directive in ["tblb_metrics_auth bearer key;", "tblb_metrics_auth basic ops key;"] {
        let node = Node::start();
        let directory = tempfile::tempdir().expect("a directory");
        let [debug, record] = ["debug.log", "picks"].map(|name| directory.path().join(name));
        let recorded = format!("{directive} tblb_record {};", record.display());
        let with_debug =
            config(&recorded, &node.name(), SECRET).main(&format!("error_log {} debug;", debug.display()));
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
        let mut seen = ["/tblb", "/html", "/text", "/"].map(|path| nginx.get(path).body).to_vec();
        wait_for("the log says that it is refused", || {
            nginx.log_with("no metrics of").last().map(|line| seen.push(line.clone()))
        });
        seen.extend([nginx.log(), nginx.read("access.log")]);
        seen.extend([&debug, &record].map(|file| std::fs::read_to_string(file).expect("a file")));
        seen.push(with_debug.check().said);
        assert!(seen.iter().all(|text| !text.is_empty()));
        for text in seen {
            for secret in [SECRET, BASIC] {
                assert!(!text.contains(secret), "{text}");
            }
        }
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
            "/key\" is open to others than its owner (mode 0644), expected mode 0600 or 0400",
        ),
        (SECRET, 0o640, bearer, "(mode 0640)"),
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
        assert!(checked.right, "{}", checked.said);
    }
}

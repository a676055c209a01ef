//! Right and wrong configurations.

use tblb_tests::config::{Checked, Config, build, upstream};

/// Nobody listens there: nothing must be asked of it.
const SERVER: &str = "127.0.0.1:9";

fn check(directives: &str) -> Checked {
    Config::new(upstream("llm", directives, [SERVER])).check()
}

/// Fails unless nginx refuses the configuration, and says where and what; `wrong` is the text whose line it is.
fn assert_refused(checked: &Checked, wrong: &str, said: &[&str]) {
    let Checked { right, said: what, .. } = checked;
    assert!(!right, "{wrong:?} passes: {what}");
    let place = format!("in {}", checked.place(wrong));
    let line = what.lines().find(|line| line.contains("[emerg]") && line.contains(&place));
    let line = line.unwrap_or_else(|| panic!("{wrong:?}: no error is at {place:?} in {what}"));
    for said in said {
        assert!(line.contains(said), "{wrong:?}: no {said:?} in {line}");
    }
}

const ALGORITHMS: &str = r#""s1_enhanced""#;
const PARAMETERS: &str = r#"expected one of "waiting", "cache", "running", "w_a", "w_b", "w_g""#;
const NOT_NEGATIVE: &str = "expected a number that is not negative";
const ABOVE_ZERO: &str = "expected a number above 0";
const SHORTEST: &str = "expected a time from 50ms to 3600s";

/// A directive that is wrong, the word that nginx names, and what it says would be right.
const WRONG: &[(&str, &str, &str)] = &[
    ("tblb nonsense;", r#"unknown algorithm "nonsense""#, ALGORITHMS),
    ("tblb S1;", r#"unknown algorithm "S1""#, ALGORITHMS),
    (r#"tblb "";"#, r#"unknown algorithm """#, ALGORITHMS),
    ("tblb s1 s2_enhanced;", r#"unknown parameter "s2_enhanced""#, PARAMETERS),
    ("tblb s1 weight=1;", r#"unknown parameter "weight=1""#, PARAMETERS),
    ("tblb s1 =1;", r#"unknown parameter "=1""#, PARAMETERS),
    ("tblb s1 waiting=-0.1;", r#""waiting=-0.1""#, NOT_NEGATIVE),
    ("tblb s1 cache=NaN;", r#""cache=NaN""#, NOT_NEGATIVE),
    ("tblb s1 cache=inf;", r#""cache=inf""#, NOT_NEGATIVE),
    ("tblb s1 w_b=1e999;", r#""w_b=1e999""#, NOT_NEGATIVE),
    ("tblb s2_enhanced running=much;", r#""running=much""#, NOT_NEGATIVE),
    ("tblb s1 waiting=;", r#""waiting=""#, NOT_NEGATIVE),
    ("tblb s1 waiting=0,5;", r#""waiting=0,5""#, NOT_NEGATIVE),
    ("tblb s1 waiting=0 cache=0;", "all weights", "expected one above 0"),
    ("tblb s2_enhanced waiting=0 cache=0 running=0;", "all weights", "expected one above 0"),
    ("tblb s1 running=0.1;", r#"does not use "running""#, r#"expected "running=0" or none"#),
    ("tblb s2_dynamic_waiting transition_point=0;", r#""transition_point=0""#, ABOVE_ZERO),
    ("tblb s2_dynamic_waiting steepness=-1;", r#""steepness=-1""#, ABOVE_ZERO),
    ("tblb s1 pick=worst;", r#""pick=worst""#, r#"expected "random" or "best""#),
    ("tblb; tblb s1;", "duplicate", r#"expected one "tblb""#),
    ("tblb_metrics interval=1s;", r#""tblb_metrics""#, r#"needs a "tblb" directive"#),
    ("tblb_metrics off;", r#""tblb_metrics""#, r#"needs a "tblb" directive"#),
    ("tblb; tblb_metrics off; tblb_metrics;", "duplicate", r#"expected one "tblb_metrics""#),
    ("tblb; tblb_limit;", "invalid number of parameters", r#"expected "waiting=", "running=" or both"#),
    ("tblb; tblb_limit cache=1;", r#""cache=1""#, r#"expected one of "waiting", "running""#),
    ("tblb; tblb_limit waiting=-1;", r#""waiting=-1""#, "expected a number that is not negative"),
    ("tblb; tblb_limit waiting=1; tblb_limit running=1;", "duplicate", r#"expected one "tblb_limit""#),
    ("tblb_limit waiting=1;", r#""tblb_limit""#, r#"needs a "tblb" directive"#),
    ("tblb; tblb_bypass;", "invalid number of parameters", r#"expected "on" or "off""#),
    ("tblb; tblb_bypass 1;", r#"invalid parameter "1""#, r#"expected "on" or "off""#),
    ("tblb; tblb_record;", "invalid number of parameters", "expected a file"),
    ("tblb; tblb_record picks size=1;", r#"unknown parameter "size=1""#, r#"expected one of "max_size""#),
    ("tblb; tblb_record picks max_size=1x;", r#""max_size=1x""#, "expected a size above 0"),
    ("tblb; tblb_record a; tblb_record b;", "duplicate", r#"expected one "tblb_record""#),
    ("tblb_record picks;", r#""tblb_record""#, r#"needs a "tblb" directive"#),
    ("tblb_bypass off;", r#""tblb_bypass""#, r#"needs a "tblb" directive"#),
    ("tblb; tblb_metrics interval=49ms;", r#""interval=49ms""#, SHORTEST),
    ("tblb; tblb_metrics interval=0;", r#""interval=0""#, SHORTEST),
    ("tblb; tblb_metrics interval=-1s;", r#""interval=-1s""#, SHORTEST),
    ("tblb; tblb_metrics interval=soon;", r#""interval=soon""#, SHORTEST),
    ("tblb; tblb_metrics interval=2h;", r#""interval=2h""#, SHORTEST),
    ("tblb; tblb_metrics timeout=1ms;", r#""timeout=1ms""#, "expected a time from 10ms"),
    ("tblb; tblb_metrics stale=10ms;", r#""stale=10ms""#, SHORTEST),
    ("tblb; tblb_metrics engine=ollama;", r#"unknown engine "ollama""#, r#"expected one of "auto", "vllm""#),
    ("tblb; tblb_metrics path=metrics;", r#""path=metrics""#, r#"expected a path that begins with "/""#),
    ("tblb; tblb_metrics port=0;", r#""port=0""#, "expected a port from 1 to 65535"),
    ("tblb; tblb_metrics port=65536;", r#""port=65536""#, "expected a port from 1 to 65535"),
    ("tblb; tblb_metrics scheme=ftp;", r#""scheme=ftp""#, r#"expected "http" or "https""#),
    ("tblb; tblb_metrics ssl_verify=maybe;", r#""ssl_verify=maybe""#, r#"expected "on" or "off""#),
    ("tblb; tblb_metrics ssl_name=;", r#""ssl_name=""#, "expected a host name"),
    ("tblb_metrics_signal waiting x;", r#""tblb_metrics_signal""#, r#"needs a "tblb" directive"#),
    ("tblb; tblb_metrics_signal queue x;", r#""queue""#, r#"expected "waiting" or "running" or "cache""#),
    ("tblb; tblb_metrics_signal cache;", "number of parameters", "the name of a metric"),
    (
        "tblb; tblb_metrics_signal cache 'a{b=c}';",
        r#""a{b=c}""#,
        "expected the name of a metric, with labels as in",
    ),
    ("tblb; tblb_metrics_signal cache a aggregate=min;", r#""aggregate=min""#, r#"expected "sum" or "max""#),
    ("tblb; tblb_metrics_signal cache a scale=-1;", r#""scale=-1""#, ABOVE_ZERO),
    ("tblb; tblb_metrics engine=custom;", "engine=custom", r#"needs a "tblb_metrics_signal" directive"#),
    ("tblb; tblb_metrics off interval=1s;", r#"unknown parameter "off""#, r#"expected one of "engine""#),
    ("tblb; tblb_metrics every=1s;", r#"unknown parameter "every=1s""#, r#"expected one of "engine""#),
];

/// Bad input: nginx -t fails with file, line, the word and what would be right.
#[test]
fn wrong_directives_are_refused() {
    for (directives, word, right) in WRONG {
        assert_refused(&check(directives), directives, &[word, right]);
    }
}

/// Bad input: the line is that of the directive, not that of the end of its block.
#[test]
fn the_line_is_that_of_the_directive() {
    let checked = check("# a comment\ntblb;\ntblb_metrics\n    interval=1s\n    engine=none;");
    // nginx counts a directive to the line of its semicolon.
    assert_refused(&checked, "engine=none;", &[r#"unknown engine "none""#]);
    let lacking = check("# a comment\ntblb_metrics;\n# more\nleast_conn;");
    assert_refused(&lacking, "tblb_metrics;", &[r#"needs a "tblb" directive"#]);
}

/// Bad input: an error in an included file names that file.
#[test]
fn an_included_file_is_named() {
    let http = upstream("llm", "include method.conf;", [SERVER]);
    let checked = Config::new(http).file("method.conf", "\ntblb s1\n;tblb_metrics interval=1ms;\n").check();
    assert!(!checked.right && checked.said.contains("method.conf:3"), "{}", checked.said);
    let http = upstream("llm", "include method.conf;", [SERVER]);
    let checked = Config::new(http).file("method.conf", "\n\n\ntblb_metrics;\n").check();
    assert!(!checked.right && checked.said.contains("method.conf:4"), "{}", checked.said);
}

/// Bad input: `tblb` after `keepalive` is an error where keepalive would be lost, which is before nginx 1.29.7.
#[test]
fn tblb_after_keepalive_is_refused_where_it_would_lose_it() {
    let checked = check("keepalive 8; tblb;");
    if build().version >= [1, 29, 7] {
        assert!(checked.right, "{}", checked.said);
    } else {
        let said = [r#""tblb" after "keepalive" would disable it"#, r#"expected "tblb" before "keepalive""#];
        assert_refused(&checked, "keepalive 8; tblb;", &said);
    }
}

/// Bad input: a form of the status that there is not, and the status twice in a location.
#[test]
fn wrong_forms_of_the_status_are_refused() {
    for (directive, said) in [
        ("tblb_status xml;", [r#"unknown format "xml""#, r#"expected one of "html", "json", "prometheus""#]),
        ("tblb_status json; tblb_status;", ["duplicate", r#"expected one "tblb_status""#]),
        ("tblb_status json html;", ["invalid number of arguments", "tblb_status"]),
    ] {
        let location = format!("location = /status {{ {directive} }}");
        let checked = Config::new(upstream("llm", "tblb;", [SERVER])).server(&location).check();
        assert_refused(&checked, directive, &said);
    }
}

/// Bad input: directives where nginx knows none.
#[test]
fn directives_stand_in_their_contexts_only() {
    for (directive, http) in [("tblb s1;", true), ("tblb_metrics off;", false), ("tblb_status;", true)] {
        let llm = upstream("llm", "tblb;", [SERVER]);
        let config = match http {
            true => Config::new(format!("{llm}\n{directive}")),
            false => Config::new(llm).server(directive),
        };
        assert_refused(&config.check(), directive, &["directive is not allowed here"]);
    }
}

/// The module: what the documentation allows passes.
#[test]
fn right_directives_pass() {
    for directives in [
        "tblb;",
        "tblb least_conn;",
        "tblb s1_enhanced waiting=1 cache=0;",
        "tblb s1 waiting=0.2 cache=0.8;",
        "tblb s1_enhanced w_a=0.1 w_b=0.9 w_g=0;",
        "tblb s2_enhanced waiting=0.5 cache=0.5 running=0 pick=best;",
        "tblb s2_enhanced waiting=5 cache=3 running=2 pick=random;",
        "tblb s2_dynamic_waiting transition_point=20 steepness=1.5;",
        "tblb_metrics engine=vllm; tblb;",
        "tblb; tblb_metrics;",
        "tblb; tblb_metrics off;",
        "tblb; tblb_metrics engine=auto interval=50ms timeout=10ms stale=1m30s path=/v1/metrics port=8002;",
        "tblb; tblb_metrics engine=sglang interval=2 scheme=https ssl_verify=off ssl_name=engine;",
        "tblb; tblb_metrics engine=llamacpp;",
        "tblb; tblb_metrics engine=custom; tblb_metrics_signal running 'a:b_c{d=\"e f\", g=\"\"}' aggregate=mean scale=1e-3;",
        "zone llm 64k; tblb; keepalive 8;",
    ] {
        let checked = check(directives);
        assert!(checked.right, "{directives}: {}", checked.said);
        assert!(!checked.said.contains("[warn]"), "{directives}: {}", checked.said);
    }
}

/// The module: as with nginx's own methods, a second method in a block is a warning, and the last counts.
#[test]
fn a_second_method_is_a_warning() {
    let checked = check("least_conn; tblb;");
    assert!(checked.right && checked.said.contains("[warn]"), "{}", checked.said);
    assert!(checked.said.contains("load balancing method redefined"), "{}", checked.said);
}

/// Bad input: a method after `tblb` would replace it, so that is an error that names both and the place of `tblb`. What
/// wraps the method stays allowed.
#[test]
fn a_method_after_tblb_is_refused() {
    for (after, name) in [
        ("least_conn;", "least_conn"),
        ("ip_hash;", "ip_hash"),
        ("hash $uri consistent;", "hash"),
        ("# a comment\n  random two least_conn;", "random"),
        ("tblb_metrics off; keepalive 8; least_conn; keepalive_timeout 4s;", "least_conn"),
    ] {
        let directives = format!("zone llm 64k; tblb s1; {after}");
        let said = [&format!("\"{name}\" after \"tblb\""), r#"one load balancing method in upstream "llm""#];
        assert_refused(&check(&directives), &directives, &said);
    }
    let http = upstream("llm", "tblb;\ninclude method.conf;", [SERVER]);
    let checked = Config::new(http).file("method.conf", "least_conn;").check();
    assert_refused(&checked, "tblb;\ninclude", &[r#"another load balancing method after "tblb""#]);
}

/// The module: where nginx learns the number of workers too late, and so many servers are configured that the shared zone
/// has not room for all workers, nginx warns at start.
/// Promise 4.
#[test]
fn workers_without_room_are_warned_of() {
    let servers = (0..20_000).map(|n| format!("127.0.{}.{}:9", n / 250, 1 + n % 250));
    let config = Config::new(upstream("llm", "tblb; tblb_metrics off;", servers)).workers(30);
    let warned = |config: &Config| {
        let checked = config.check();
        assert!(checked.right, "{}", checked.said);
        let warning = "of 30 workers are not counted in flight";
        let line = checked.said.lines().find(|line| line.contains(warning)).map(str::to_owned);
        assert!(line.as_ref().is_none_or(|line| line.contains("[warn]")), "{line:?}");
        line
    };
    assert_eq!(warned(&config), None);
    let line = warned(&config.workers_last()).expect("a warning");
    assert!(line.contains("place \"worker_processes\" before the http block"), "{line}");
}

/// The module: whatever a user calls a zone, the module's own has another name.
#[test]
fn a_zone_of_any_name_passes() {
    for name in ["tblb", "tblb_zone", "ngx_http_upstream_tblb", "upstream"] {
        let checked = check(&format!("zone {name} 64k; tblb;"));
        assert!(checked.right, "{name}: {}", checked.said);
    }
}

/// The module: parameters of `server` are those of least_conn.
#[test]
fn parameters_of_server_pass() {
    let first = format!("{SERVER} weight=3 max_conns=5 max_fails=2 fail_timeout=5s");
    let servers = [first.as_str(), "127.0.0.1:10 down", "127.0.0.1:11 backup", "unix:/engine.sock"];
    let checked = Config::new(upstream("llm", "zone llm 64k; tblb;", servers)).check();
    assert!(checked.right, "{}", checked.said);
}

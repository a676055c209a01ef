//! What comes of the answers that engines may give.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tblb_core::config::Auth;
use tblb_core::engine::{Engine, Lookup};
use tblb_core::fault::Fault;
use tblb_core::load::Load;
use tblb_poller::{Credentials, MetricsPath, Settings, Target};
use tblb_poller_tests::*;

const LOADED: Load =
    Load { waiting: Some(4.0), running: Some(4.0), cache: Some(0.4040404040404041), closed: false };

#[test]
fn a_page_is_read_over_one_connection_again_and_again() {
    let server = Server::answering(ok(PAGE));
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    let poll = recorder.wait(1, 10);
    let reading = poll.outcome.unwrap();
    assert_eq!((reading.engine.name, reading.load, reading.flaw), ("vllm", LOADED, None));
    poller.join();
    assert!(kept(&server, &recorder));
}

#[test]
fn the_request_is_what_engines_expect() {
    let seen = Arc::new(Mutex::new(String::new()));
    let put = Arc::clone(&seen);
    let server = Server::start(move |mut stream| {
        *put.lock().unwrap() = request(&mut stream)?.unwrap();
        stream.write_all(ok(PAGE).as_bytes())
    });
    let path = MetricsPath::new("/engine/metrics?a=b");
    let mut target = target(1, server.address, &Settings { path, ..settings() });
    target.host = "llm.example:8000".into();
    poll_once(target.clone()).outcome.unwrap();
    let head = seen.lock().unwrap().to_lowercase();
    assert!(head.starts_with("get /engine/metrics?a=b http/1.1\r\n"), "{head}");
    for line in
        ["\r\nhost: llm.example:8000\r\n", "\r\naccept-encoding: identity\r\n", "\r\nuser-agent: tblb/"]
    {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("cookie") && !head.contains("connection: close"), "{head}");

    // No host that a request could have: the address stands in.
    target.host = "unix:/tmp/a b".into();
    target.settings = Arc::new(Settings { lookup: Lookup::new(Engine::named("vllm"), &[]), ..settings() });
    poll_once(target).outcome.unwrap();
    let head = seen.lock().unwrap().to_lowercase();
    assert!(head.starts_with("get /metrics http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {}\r\n", server.address)), "{head}");
}

/// Credentials of a user.
fn credentials() -> Option<Credentials> {
    let auth = Auth::parse(&["basic", "Aladdin", "f"]).unwrap();
    Credentials::new(&auth.scheme, &auth.secret(b"open sesame").unwrap())
}

#[test]
fn credentials_are_shown_at_each_place_and_not_elsewhere() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let put = Arc::clone(&seen);
    let server = Server::start(move |mut stream| {
        while let Some(head) = request(&mut stream)? {
            put.lock().unwrap().push(head);
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let settings = Settings { credentials: credentials(), ..settings() };
    let target = target(1, server.address, &settings);
    assert!(!format!("{target:?}").contains("QWxhZGRpbj"), "{target:?}");
    poll_once(target.clone()).outcome.unwrap_err();
    let heads = std::mem::take(&mut *seen.lock().unwrap());
    assert!(heads.len() >= 3);
    for head in heads {
        assert!(
            head.to_lowercase().contains("\r\nauthorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==\r\n"),
            "{head}"
        );
    }
    // A redirect takes them nowhere.
    let elsewhere = Server::answering(ok(PAGE));
    let location =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", elsewhere.address);
    let server = Server::answering(location);
    poll_once(Target { address: server.address, ..target }).outcome.unwrap_err();
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_chunked_body_is_a_body() {
    let mut answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_string();
    for line in PAGE.split_inclusive('\n') {
        answer += &format!("{:x}\r\n{line}\r\n", line.len());
    }
    let server = Server::answering(answer + "0\r\n\r\n");
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    assert_eq!(recorder.wait(1, 10).outcome.unwrap().load, LOADED);
    poller.join();
    assert!(kept(&server, &recorder));
}

#[test]
fn an_engine_that_closes_each_connection_is_asked_over_new_ones() {
    let server = Server::closing(format!("HTTP/1.0 200 OK\r\n\r\n{PAGE}"));
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    assert_eq!(recorder.wait(1, 3).outcome.unwrap().load, LOADED);
    poller.join();
    assert!(server.connections() >= 3);
    assert!(recorder.of(1).iter().all(|poll| poll.outcome.is_ok()));
}

#[test]
fn an_engine_that_closes_idle_connections_costs_no_poll() {
    let server = Server::start(|mut stream| {
        for _ in 0..2 {
            request(&mut stream)?;
            stream.write_all(ok(PAGE).as_bytes())?;
        }
        Ok(())
    });
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    recorder.wait(1, 7);
    poller.join();
    assert!(server.connections() >= 3);
    assert!(recorder.of(1).iter().all(|poll| poll.outcome.is_ok()));
}

#[test]
fn a_connection_that_is_reset_when_it_is_used_again_costs_no_poll() {
    // The second request of a connection is read and not answered: to the poller it looks as if the engine closed
    // the idle connection just then.
    let server = Server::start(|mut stream| {
        request(&mut stream)?;
        stream.write_all(ok(PAGE).as_bytes())?;
        request(&mut stream).map(drop)
    });
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    recorder.wait(1, 5);
    poller.join();
    assert!(recorder.of(1).iter().all(|poll| poll.outcome.is_ok()));
}

#[test]
fn a_refused_connection() {
    assert_eq!(poll_once(target(1, nobody(), &settings())).outcome, Err(Fault::Refused));
}

#[test]
fn a_connection_that_is_closed_instead_of_an_answer() {
    assert_eq!(outcome(&Server::closing("")), Err(Fault::Closed));
    assert_eq!(outcome(&Server::closing("HTTP/1.1 200 OK\r\nContent-")), Err(Fault::Closed));
}

/// A poll of an engine that never gets done, which must end at its deadline: not before, and not seconds after.
fn late(answer: impl Fn(&mut dyn Write) -> std::io::Result<()> + Send + Sync + 'static) {
    let server = Server::start(move |mut stream| {
        request(&mut stream)?;
        answer(&mut stream)?;
        // Until the poller has closed it.
        request(&mut stream).map(drop)
    });
    let timeout = Duration::from_millis(600);
    let poll = poll_once(target(1, server.address, &Settings { timeout, ..settings() }));
    assert_eq!(poll.outcome, Err(Fault::Timeout));
    assert!(poll.took >= timeout && poll.took < timeout + Duration::from_secs(5), "{:?}", poll.took);
}

/// Writes byte after byte, more often than any time-out between two reads would notice.
fn drip(to: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn an_engine_that_hangs_is_left_at_the_deadline() {
    late(|_| Ok(()));
    late(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\n"));
    late(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nvllm:num_requests_waiting 1\n")
    });
}

#[test]
fn an_engine_that_drips_is_left_at_the_deadline() {
    late(|stream| drip(stream, ok(PAGE).as_bytes()));
    late(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")?;
        drip(stream, PAGE.as_bytes())
    });
}

#[test]
fn statuses_that_are_not_200() {
    for status in ["401 Unauthorized", "404 Not Found", "500 Oops", "204 No Content", "206 Partial Content"] {
        let body = if status.starts_with("204") { "" } else { "Content-Length: 2\r\n\r\nno" };
        let server = Server::answering(format!(
            "HTTP/1.1 {status}\r\n{body}{}",
            if body.is_empty() { "\r\n" } else { "" }
        ));
        let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
        assert_eq!(recorder.wait(1, 5).outcome, Err(Fault::Status), "{status}");
        poller.join();
        assert!(kept(&server, &recorder), "{status}: the connection is good for the next poll");
    }
}

/// A server with pages at some paths; what was asked for is written down.
fn pages(pages: &'static [(&'static str, &'static str)]) -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let put = Arc::clone(&asked);
    let server = Server::start(move |mut stream| {
        while let Some(head) = request(&mut stream)? {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let page = pages.iter().find(|(at, _)| *at == path).map(|(_, page)| ok(page));
            put.lock().unwrap().push(path);
            let missing = || "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
            stream.write_all(page.unwrap_or_else(missing).as_bytes())?;
        }
        Ok(())
    });
    (server, asked)
}

#[test]
fn an_engine_that_is_not_known_is_looked_for_at_each_place_and_remembered() {
    const NIM: &str = "num_requests_waiting 3\ngpu_cache_usage_perc 0.5\n";
    let (server, asked) = pages(&[("/metrics", "[{\"iter\":1}]"), ("/v1/metrics", NIM)]);
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    let reading = recorder.wait(1, 3).outcome.unwrap();
    assert_eq!((reading.engine.name, reading.load.waiting), ("nim", Some(3.0)));
    poller.join();
    assert!(recorder.of(1).iter().all(|poll| poll.outcome.is_ok()));
    let asked = asked.lock().unwrap();
    assert_eq!(asked[..5], ["/metrics", "/prometheus/metrics", "/v1/metrics", "/v1/metrics", "/v1/metrics"]);
}

#[test]
fn where_a_user_says_the_path_or_the_engine_no_other_is_asked() {
    let named = Settings { lookup: Lookup::new(Engine::named("trtllm"), &[]), ..settings() };
    let at_path = Settings { path: MetricsPath::new("/m"), ..settings() };
    for (settings, path) in [(named, "/prometheus/metrics"), (at_path, "/m")] {
        let (server, asked) = pages(&[("/metrics", PAGE)]);
        assert_eq!(poll_once(target(1, server.address, &settings)).outcome, Err(Fault::Status));
        assert!(asked.lock().unwrap().iter().all(|asked| asked == path));
    }
}

#[test]
fn an_engine_without_metrics_is_asked_at_each_place_once_a_poll() {
    let (server, asked) = pages(&[]);
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    assert_eq!(recorder.wait(1, 2).outcome, Err(Fault::Status));
    poller.join();
    let polls = recorder.of(1).len();
    let asked = asked.lock().unwrap().len();
    // A poll may be under way when polling ends.
    assert!((3 * polls..3 * (polls + 1)).contains(&asked), "{asked} in {polls}");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering(ok(PAGE));
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect"] {
        let to = elsewhere.address;
        let location =
            format!("HTTP/1.1 {status}\r\nLocation: http://{to}/metrics\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(outcome(&Server::answering(location)), Err(Fault::Redirect));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_encoded_body_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}abc";
    assert_eq!(outcome(&Server::answering(head)), Err(Fault::Encoded));
    let plain = ok(PAGE).replacen("\r\n", "\r\nContent-Encoding: identity\r\n", 1);
    assert_eq!(outcome(&Server::answering(plain)).unwrap().load, LOADED);
}

#[test]
fn what_is_not_http() {
    assert_eq!(outcome(&Server::answering("SSH-2.0-OpenSSH_9.2\r\n")), Err(Fault::Protocol));
    assert_eq!(
        outcome(&Server::closing("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc")),
        Err(Fault::Protocol)
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n";
    assert_eq!(outcome(&Server::answering(chunked)), Err(Fault::Protocol));
}

#[test]
fn a_header_without_end() {
    let server = Server::start(|mut stream| {
        request(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        loop {
            stream.write_all(&[b'x'; 1000])?;
        }
    });
    assert_eq!(outcome(&server), Err(Fault::HeaderTooLarge));
}

#[test]
fn bodies_that_say_nothing() {
    assert_eq!(outcome(&Server::answering(ok(""))), Err(Fault::Empty));
    assert_eq!(outcome(&Server::answering(ok("# HELP a b\na 1\n"))), Err(Fault::NoSeries));
    assert_eq!(outcome(&Server::answering(ok("\u{7f}ELF\u{2}\0\0\0"))), Err(Fault::Binary));
    assert_eq!(outcome(&Server::answering(ok("vllm:num_requests_waiting NaN\n"))), Err(Fault::NotANumber));
    assert_eq!(outcome(&Server::answering(ok("vllm:num_requests_waiting x\n"))), Err(Fault::Malformed));
    let reading = outcome(&Server::answering(ok(&PAGE.replace("4.0\n", "NaN\n")))).unwrap();
    assert_eq!(reading.load, Load { waiting: None, running: None, ..LOADED });
    assert_eq!(reading.flaw, Some(Fault::NotANumber));
}

#[test]
fn a_body_that_is_cut() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n";
    let line = "vllm:num_requests_waiting 12\n";
    assert_eq!(outcome(&Server::closing(format!("{head}{line}"))), Err(Fault::Cut));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(outcome(&Server::closing(format!("{head}1d\r\n{line}\r\n"))), Err(Fault::Cut));
    // Nothing says how long it should have been but the line that has no end.
    let head = "HTTP/1.0 200 OK\r\n\r\n";
    assert_eq!(outcome(&Server::closing(format!("{head}{}", line.trim_end()))), Err(Fault::Cut));
    let reading = outcome(&Server::closing(format!("{head}{line}vllm:num_requests_runn"))).unwrap_err();
    assert_eq!(reading, Fault::Cut);
    // All was there before the cut.
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PAGE.len());
    assert_eq!(outcome(&Server::closing(format!("{head}{}", &PAGE[..30_000]))).unwrap().load, LOADED);
}

#[test]
fn a_last_line_without_a_line_end_is_whole_where_the_body_is() {
    let body = "vllm:num_requests_running 7\nvllm:num_requests_waiting 12";
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for answer in [ok(body), format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}")] {
        let reading = outcome(&Server::answering(answer)).unwrap();
        assert_eq!((reading.load.waiting, reading.load.running, reading.flaw), (Some(12.0), Some(7.0), None));
    }
    // Nothing but the close shows the end.
    let unframed = |body: &str| outcome(&Server::closing(format!("HTTP/1.1 200 OK\r\n\r\n{body}")));
    assert_eq!(unframed(body), Err(Fault::Cut));
    let ended = unframed(&format!("{body}\n# EOF")).unwrap();
    assert_eq!((ended.load.waiting, ended.flaw), (Some(12.0), None));
}

#[test]
fn interim_answers_are_skipped() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    let others = "HTTP/1.1 100 Continue\r\nDate: today\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    for interim in [hints, others, &format!("{others}{hints}")] {
        let server = Server::answering(format!("{interim}{}", ok(PAGE)));
        let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
        assert_eq!(recorder.wait(1, 5).outcome.unwrap().load, LOADED);
        poller.join();
        assert!(kept(&server, &recorder));
    }
    // In pieces, and the answer after a while.
    let server = Server::start(move |mut stream| {
        request(&mut stream)?;
        drip(&mut stream, hints.as_bytes())?;
        stream.write_all(ok(PAGE).as_bytes())
    });
    assert_eq!(outcome(&server).unwrap().load, LOADED);
    assert_eq!(outcome(&Server::closing(hints)), Err(Fault::Closed));
    assert_eq!(outcome(&Server::closing("HTTP/1.1 101 Switching Protocols\r\n\r\n")), Err(Fault::Status));
}

/// An engine that has reported per cent is read so when its cache is nearly empty too, also over new connections.
#[test]
fn per_cent_is_remembered_from_poll_to_poll() {
    let polls = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |mut stream| {
        for _ in 0..2 {
            request(&mut stream)?;
            let first = polls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            stream.write_all(
                ok(&format!("vllm:kv_cache_usage_perc {}\n", if first { 35.0 } else { 0.5 })).as_bytes(),
            )?;
        }
        Ok(())
    });
    let (poller, recorder) = start(vec![target(1, server.address, &settings())]);
    assert_eq!(recorder.wait(1, 1).outcome.unwrap().load.cache, Some(0.35));
    for poll in 2..8 {
        assert_eq!(recorder.wait(1, poll).outcome.unwrap().load.cache, Some(0.005));
    }
    poller.join();
    assert!(server.connections() >= 3);
}

/// Engines that send without end what must be skipped.
#[test]
fn floods_of_framing_end() {
    let flood = |first: &'static str, piece: String| {
        Server::start(move |mut stream| {
            request(&mut stream)?;
            stream.write_all(first.as_bytes())?;
            loop {
                stream.write_all(piece.as_bytes())?;
            }
        })
    };
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500);
    assert_eq!(outcome(&flood("", interim)), Err(Fault::HeaderTooLarge));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let tiny = "1;a=b\r\n\n\r\n".repeat(1000);
    assert_eq!(outcome(&flood(chunked, tiny)), Err(Fault::TooLarge));
    assert!(matches!(outcome(&flood(chunked, "0".repeat(10_000))), Err(Fault::Protocol | Fault::Cut)));
}

#[test]
fn pages_of_other_kinds_are_called_what_they_are() {
    assert_eq!(outcome(&Server::answering(ok("<!doctype html><html>a chat page</html>"))), Err(Fault::Html));
    assert_eq!(outcome(&Server::answering(ok("[]"))), Err(Fault::Json));
    assert_eq!(outcome(&Server::answering(ok(&format!("<html>{}", "x".repeat(200_000))))), Err(Fault::Html));
}

/// What is known of a poll that failed has the place, the status and where a redirect leads, and no secrets.
#[test]
fn a_failure_tells_what_was_asked_and_answered() {
    let failure = |answer: &str, settings: Settings| {
        let server = Server::answering(answer);
        let (poller, recorder) = start(vec![target(1, server.address, &settings)]);
        recorder.wait(1, 2).outcome.unwrap_err();
        poller.join();
        let failure = recorder.failures.lock().unwrap()[0].clone();
        (
            failure.fault,
            failure.url.replace(&server.address.to_string(), "HOST"),
            failure.status,
            failure.location,
        )
    };
    let path =
        |path: &str| Settings { path: MetricsPath::new(path), credentials: credentials(), ..settings() };
    let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let url = |path: &str| format!("http://HOST{path}");
    assert_eq!(failure(not_found, path("/m?token=s3cret")), (Fault::Status, url("/m"), Some(404), None));
    assert_eq!(
        failure(not_found, settings()),
        (Fault::Status, url("/metrics"), Some(404), None),
        "the first place"
    );
    let moved = "HTTP/1.1 307 Moved\r\nLocation: /metrics/?a=b\r\nContent-Length: 0\r\n\r\n";
    let location = Some("/metrics/".to_owned());
    assert_eq!(failure(moved, path("/metrics")), (Fault::Redirect, url("/metrics"), Some(307), location));
    assert_eq!(failure("SSH-2.0-x\r\n", path("/m")), (Fault::Protocol, url("/m"), None, None));
}

#[test]
fn what_follows_the_wanted_series_is_not_waited_for() {
    let server = Server::start(|mut stream| {
        while request(&mut stream)?.is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")?;
            stream.write_all(PAGE.as_bytes())?;
        }
        Ok(())
    });
    let start = Instant::now();
    let poll = poll_once(target(1, server.address, &settings()));
    assert_eq!(poll.outcome.unwrap().load, LOADED);
    assert!(start.elapsed() < settings().timeout / 2);
}

//! Engines that are reached by https.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tblb_core::config::Auth;
use tblb_core::engine::Reading;
use tblb_core::fault::Fault;
use tblb_poller::{Credentials, Scheme, Settings, Target};
use tblb_poller_tests::*;

/// An authority, and the file that says that it is to be trusted.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Authority {
        Authority::with_name(name, name)
    }

    /// The file has one name, the authority may have another.
    fn with_name(name: &str, common_name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pem", std::process::id()));
        std::fs::write(&file, issuer.pem()).unwrap();
        Authority { issuer, file }
    }

    /// A server with a certificate for these names, valid up to that year.
    fn server(&self, names: &[&str], until: i32) -> Server {
        self.server_that_wants("", names, until)
    }

    /// The same; a request without that in its head is refused.
    fn server_that_wants(&self, wanted: &'static str, names: &[&str], until: i32) -> Server {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let config = Arc::new(config);
        Server::start(move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, stream);
            while let Some(head) = request(&mut stream)? {
                let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned();
                let answer = if head.contains(wanted) { ok(PAGE) } else { refused };
                stream.write_all(answer.as_bytes())?;
            }
            Ok(())
        })
    }

    fn settings(&self) -> Settings {
        Settings { scheme: Scheme::Https, ca_file: Some(self.file.clone()), ..settings() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn named(host: &str, server: &Server, settings: &Settings) -> Target {
    Target { host: host.into(), ..target(1, server.address, settings) }
}

fn fault(target: Target) -> Fault {
    poll_once(target).outcome.unwrap_err()
}

#[test]
fn a_page_is_read_over_one_connection_again_and_again() {
    let authority = Authority::new("good");
    let server = authority.server(&["llm.example", "127.0.0.1"], 2100);
    for host in ["llm.example", "llm.example:8443", &server.address.to_string(), "127.0.0.1"] {
        let before = server.connections();
        let (poller, recorder) = start(vec![named(host, &server, &authority.settings())]);
        let Reading { load, .. } = recorder.wait(1, 10).outcome.unwrap();
        assert_eq!((load.waiting, load.cache), (Some(4.0), Some(0.4040404040404041)));
        poller.join();
        assert!(server.connections() - before <= 3, "of 10 polls, or a few more");
        assert!(recorder.of(1).iter().all(|poll| poll.outcome.is_ok()));
    }
}

#[test]
fn credentials_are_sent_over_tls() {
    let authority = Authority::new("credentials");
    let server = authority.server_that_wants("authorization: Bearer abc\r\n", &["llm.example"], 2100);
    assert_eq!(fault(named("llm.example", &server, &authority.settings())), Fault::Status);
    let auth = Auth::parse(&["bearer", "f"]).unwrap();
    let credentials = Credentials::new(&auth.scheme, &auth.secret(b"abc\n").unwrap());
    let settings = Settings { credentials, ..authority.settings() };
    poll_once(named("llm.example", &server, &settings)).outcome.unwrap();
}

#[test]
fn certificates_that_are_not_good() {
    let (authority, other) = (Authority::new("known"), Authority::new("unknown"));
    let (good, old) = (authority.server(&["llm.example"], 2100), authority.server(&["llm.example"], 2001));
    assert_eq!(fault(named("llm.example", &good, &other.settings())), Fault::TlsAuthority);
    let namesake = Authority::with_name("namesake", "known");
    assert_eq!(fault(named("llm.example", &good, &namesake.settings())), Fault::TlsAuthority);
    assert_eq!(fault(named("other.example", &good, &authority.settings())), Fault::TlsName);
    assert_eq!(fault(named("127.0.0.1", &good, &authority.settings())), Fault::TlsName);
    assert_eq!(fault(named("llm.example", &old, &authority.settings())), Fault::TlsExpired);
    // Unless nobody asks.
    let any = Settings { verify: false, ..other.settings() };
    poll_once(named("other.example", &old, &any)).outcome.unwrap();
}

#[test]
fn authorities_of_the_system() {
    let Some(address) = in_child("authorities_of_the_system", || {
        let (trusted, other) = (Authority::new("system"), Authority::new("other"));
        let good = trusted.server(&["llm.example"], 2100);
        let bad = other.server(&["llm.example"], 2100);
        let env = [("SSL_CERT_FILE", trusted.file.display().to_string())];
        let arguments = format!("{} {}", good.address, bad.address);
        (env.to_vec(), arguments, Box::new((trusted, other, good, bad)))
    }) else {
        return;
    };
    let system = Settings { scheme: Scheme::Https, ..settings() };
    let (good, bad) = address.split_once(' ').unwrap();
    let target =
        |address: &str| Target { host: "llm.example".into(), ..target(1, address.parse().unwrap(), &system) };
    poll_once(target(good)).outcome.unwrap();
    assert_eq!(fault(target(bad)), Fault::TlsAuthority);
}

#[test]
fn authorities_that_cannot_be_read() {
    let authority = Authority::new("spoilt");
    let server = authority.server(&["llm.example"], 2100);
    for content in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nabc")] {
        match content {
            None => std::fs::remove_file(&authority.file).unwrap(),
            Some(content) => std::fs::write(&authority.file, content).unwrap(),
        }
        assert_eq!(
            fault(named("llm.example", &server, &authority.settings())),
            Fault::TlsSetup,
            "{content:?}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_file_of_authorities_that_is_mended_is_read_again() {
    let authority = Authority::new("mended");
    let server = authority.server(&["llm.example"], 2100);
    let hidden = authority.file.with_extension("hidden");
    std::fs::rename(&authority.file, &hidden).unwrap();
    let (poller, recorder) = start(vec![named("llm.example", &server, &authority.settings())]);
    assert_eq!(recorder.wait(1, 1).outcome, Err(Fault::TlsSetup));
    std::fs::rename(&hidden, &authority.file).unwrap();
    let end = (1..).find(|&count| recorder.wait(1, count).outcome.is_ok());
    assert!(end.is_some());
    poller.join();
}

#[test]
fn engines_that_do_not_speak_tls() {
    let authority = Authority::new("plain");
    let server = Server::start(|mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        // Until the poller has closed it.
        request(&mut stream).map(drop)
    });
    assert_eq!(fault(named("llm.example", &server, &authority.settings())), Fault::TlsHandshake);
    let silent = Server::start(|mut stream| request(&mut stream).map(drop));
    let settings = Settings { timeout: Duration::from_millis(300), ..authority.settings() };
    assert_eq!(fault(named("llm.example", &silent, &settings)), Fault::Timeout);
}

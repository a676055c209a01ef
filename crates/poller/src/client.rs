//! One engine's client: a connection, and one poll after the other over it.

use crate::agent::agent;
use crate::failure;
use crate::socket::Link;
use crate::stop::Stop;
use crate::target::{Scheme, Settings, Target};
use crate::tls::{Authorities, Configs, Trust};
use rustls::pki_types::ServerName;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tblb_core::engine::{Choice, Engine, Progress, Reading, Scrape};
use tblb_core::fault::Fault;
use ureq::http::uri::{Authority, PathAndQuery};
use ureq::http::{Request, StatusCode, Uri, header};
use ureq::{Agent, Body};

/// The largest body that is read for its numbers. Pages of vLLM's have 50 kB, more with many models; one of 22 MB was
/// seen, but with what is wanted near its beginning.
pub(crate) const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// How much of a body is read to no purpose but to keep the connection. A new connection costs less than this.
const DRAIN_LIMIT: usize = 256 * 1024;

/// How long the rest of a body is waited for. What is there already takes less than a millisecond.
const DRAIN_TIME: Duration = Duration::from_millis(20);

/// What of a body is read at once.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Where an engine that is not known yet is asked.
const USUAL_PATH: &str = "/metrics";

/// The client of one engine.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    link: Arc<Link>,
    request: Request<()>,
    choice: Choice,
}

impl Client {
    /// Connects when it is first asked to poll.
    pub fn new(target: &Target, configs: &Arc<Configs>, stop: &Arc<Stop>) -> Client {
        let settings = &*target.settings;
        let authority = authority(target);
        let trust = (settings.scheme == Scheme::Https).then(|| Trust {
            authorities: authorities(settings),
            name: name(authority.host(), target),
            configs: Arc::clone(configs),
        });
        let mut request = Request::new(());
        *request.uri_mut() = uri(settings, authority);
        let link = Arc::new(Link::new(target.address, Arc::clone(stop)));
        let choice = settings.engine.map_or(Choice::Auto { remembered: None }, Choice::Named);
        Client { agent: agent(Arc::clone(&link), trust), link, request, choice }
    }

    /// Asks the engine once; the answer must be there within that time.
    ///
    /// # Errors
    /// Why there is no reading.
    pub fn poll(&mut self, within: Duration, chunk: &mut [u8]) -> Result<Reading, Fault> {
        self.link.set_deadline(Instant::now() + within);
        let connections = self.link.connections();
        let mut result = self.ask(chunk);
        // An engine may close an idle connection in the very moment in which it is used again.
        if result == Err(Fault::Closed) && self.link.connections() == connections {
            result = self.ask(chunk);
        }
        if let (Choice::Auto { remembered }, Ok(reading)) = (&mut self.choice, &result) {
            *remembered = Some(reading.engine);
        }
        result
    }

    fn ask(&self, chunk: &mut [u8]) -> Result<Reading, Fault> {
        let response = self.agent.run(self.request.clone()).map_err(|error| failure::of_ureq(&error))?;
        let (head, body) = response.into_parts();
        let fault = match head.status {
            StatusCode::OK
                if head.headers.get(header::CONTENT_ENCODING).is_some_and(|by| by != "identity") =>
            {
                Some(Fault::Encoded)
            }
            StatusCode::OK => None,
            status if status.is_redirection() => Some(Fault::Redirect),
            _ => Some(Fault::Status),
        };
        let mut body = Pieces { body, chunk };
        let result = fault.map_or_else(|| read(self.choice, &mut body), Err);
        self.drain(&mut body);
        result
    }

    /// Reads what is left of a body so that its connection can be used again, unless that is much or slow: then
    /// the connection is closed, when the body is dropped.
    fn drain(&self, body: &mut Pieces) {
        self.link.set_deadline(self.link.deadline().min(Instant::now() + DRAIN_TIME));
        let mut left = DRAIN_LIMIT;
        while let Ok(piece @ [_, ..]) = body.next() {
            let Some(less) = left.checked_sub(piece.len()) else { return };
            left = less;
        }
    }
}

/// A body, piece by piece.
struct Pieces<'a> {
    body: Body,
    chunk: &'a mut [u8],
}

impl Pieces<'_> {
    /// Empty at the end.
    fn next(&mut self) -> io::Result<&[u8]> {
        let length = self.body.as_reader().read(self.chunk)?;
        Ok(&self.chunk[..length])
    }
}

/// Reads a body as far as it takes.
fn read(choice: Choice, body: &mut Pieces) -> Result<Reading, Fault> {
    let mut scrape = Scrape::new(choice);
    let mut length = 0;
    loop {
        let piece = body.next().map_err(|error| match failure::of_io(&error) {
            Fault::Closed => Fault::Cut,
            fault => fault,
        })?;
        length += piece.len();
        if piece.is_empty() || scrape.feed(piece)? == Progress::Enough {
            return scrape.finish();
        }
        if length > BODY_LIMIT {
            return Err(Fault::TooLarge);
        }
    }
}

/// The host for a request line and its `Host`.
fn authority(target: &Target) -> Authority {
    let address = || Authority::try_from(target.address.to_string());
    let named = Authority::try_from(target.host.as_str()).ok().filter(|name| !name.host().is_empty());
    named.or_else(|| address().ok()).unwrap_or_else(|| Authority::from_static("localhost"))
}

fn uri(settings: &Settings, authority: Authority) -> Uri {
    let mut parts = ureq::http::uri::Parts::default();
    parts.scheme = Some(match settings.scheme {
        Scheme::Http => ureq::http::uri::Scheme::HTTP,
        Scheme::Https => ureq::http::uri::Scheme::HTTPS,
    });
    parts.authority = Some(authority);
    let usual = PathAndQuery::from_static(settings.engine.map_or(USUAL_PATH, |engine: &Engine| engine.path));
    parts.path_and_query = Some(settings.path.as_ref().map_or(usual, |path| path.get().clone()));
    Uri::from_parts(parts).unwrap_or_default()
}

/// The name that a certificate is to have: the host's, which may be an address in brackets.
fn name(host: &str, target: &Target) -> ServerName<'static> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let named = ServerName::try_from(host.to_string());
    named.unwrap_or_else(|_| ServerName::from(target.address.ip()))
}

fn authorities(settings: &Settings) -> Authorities {
    match &settings.ca_file {
        _ if !settings.verify => Authorities::Any,
        Some(path) => Authorities::File(path.clone()),
        None => Authorities::System,
    }
}

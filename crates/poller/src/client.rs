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
use tblb_core::engine::{self, Engine, Lookup, Progress, Reading, Scrape};
use tblb_core::failpoint::{Point, hit};
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

/// The client of one engine.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    link: Arc<Link>,
    /// A request for each place where the engine may report.
    places: Vec<Request<()>>,
    /// The one of them where it did the last time, or the first.
    here: usize,
    lookup: Arc<Lookup>,
    /// The engine that answered the last time.
    remembered: Option<&'static Engine>,
}

/// Why there is no reading.
#[derive(Debug, PartialEq)]
struct Miss {
    fault: Fault,
    /// The engine serves, but nothing that can be read is at this place.
    elsewhere: bool,
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
        let request = |path| {
            let mut request = Request::new(());
            *request.uri_mut() = uri(settings.scheme, authority.clone(), path);
            if let Some(credentials) = &settings.credentials {
                request.headers_mut().insert(header::AUTHORIZATION, credentials.header().clone());
            }
            request
        };
        let places = paths(settings).into_iter().map(request).collect();
        let link = Arc::new(Link::new(target.address, Arc::clone(stop)));
        let lookup = Arc::clone(&settings.lookup);
        Client { agent: agent(Arc::clone(&link), trust), link, places, here: 0, lookup, remembered: None }
    }

    /// Asks the engine; the answer must be there within that time. If nothing is where it reported the last time, the
    /// other places are looked at as well: an engine that does not report at all is polled seldom, so that costs it
    /// little.
    ///
    /// # Errors
    /// Why there is no reading.
    pub fn poll(&mut self, within: Duration, chunk: &mut [u8]) -> Result<Reading, Fault> {
        let deadline = Instant::now() + within;
        let (here, count) = (self.here, self.places.len());
        let mut nothing = None;
        for place in std::iter::once(here).chain((0..count).filter(|&place| place != here)) {
            match self.poll_at(place, deadline, chunk) {
                Ok(reading) => {
                    self.here = place;
                    self.remembered = Some(reading.engine);
                    return Ok(reading);
                }
                Err(Miss { fault, elsewhere: true }) => nothing = nothing.or(Some(fault)),
                Err(Miss { fault, .. }) => return Err(fault),
            }
        }
        Err(nothing.unwrap_or(Fault::NoSeries))
    }

    fn poll_at(&self, place: usize, deadline: Instant, chunk: &mut [u8]) -> Result<Reading, Miss> {
        self.link.set_deadline(deadline);
        let connections = self.link.connections();
        let result = self.ask(place, chunk);
        // An engine may close an idle connection in the very moment in which it is used again.
        let closed = matches!(result, Err(Miss { fault: Fault::Closed, .. }));
        if closed && self.link.connections() == connections { self.ask(place, chunk) } else { result }
    }

    fn ask(&self, place: usize, chunk: &mut [u8]) -> Result<Reading, Miss> {
        let request = self.places.get(place).cloned().unwrap_or_default();
        let response = self.agent.run(request).map_err(|error| Miss::of(failure::of_ureq(&error)))?;
        hit(Point::PollAnswered);
        let (head, body) = response.into_parts();
        let miss = match head.status {
            StatusCode::OK
                if head.headers.get(header::CONTENT_ENCODING).is_some_and(|by| by != "identity") =>
            {
                Some(Miss::of(Fault::Encoded))
            }
            StatusCode::OK => None,
            StatusCode::NOT_FOUND => Some(Miss { fault: Fault::Status, elsewhere: true }),
            status if status.is_redirection() => Some(Miss::of(Fault::Redirect)),
            _ => Some(Miss::of(Fault::Status)),
        };
        let mut body = Pieces { body, chunk };
        let scrape = || Scrape::of(Arc::clone(&self.lookup), self.remembered);
        let result = miss.map_or_else(|| read(scrape(), &mut body).map_err(Miss::of), Err);
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

impl Miss {
    /// A body without a series, such as the JSON that trtllm-serve has at `/metrics`, says that metrics are elsewhere.
    /// (To who reads lines, JSON that has none is a line that was cut, or too long a one.)
    fn of(fault: Fault) -> Miss {
        let elsewhere = matches!(fault, Fault::Empty | Fault::NoSeries | Fault::Cut | Fault::LineTooLong);
        Miss { fault, elsewhere }
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
fn read(mut scrape: Scrape, body: &mut Pieces) -> Result<Reading, Fault> {
    let mut length = 0;
    loop {
        let piece = body.next().map_err(|error| match failure::of_io(&error) {
            Fault::Closed => Fault::Cut,
            fault => fault,
        })?;
        hit(Point::PollRead);
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

/// Where the engine may report: where the settings say, else where it does, else where any does.
fn paths(settings: &Settings) -> Vec<PathAndQuery> {
    let paths = match (&settings.path, settings.lookup.engine()) {
        (Some(path), _) => return vec![path.get().clone()],
        (None, Some(engine)) => vec![engine.path],
        (None, None) => engine::paths(),
    };
    paths.into_iter().map(PathAndQuery::from_static).collect()
}

fn uri(scheme: Scheme, authority: Authority, path: PathAndQuery) -> Uri {
    let mut parts = ureq::http::uri::Parts::default();
    parts.scheme = Some(match scheme {
        Scheme::Http => ureq::http::uri::Scheme::HTTP,
        Scheme::Https => ureq::http::uri::Scheme::HTTPS,
    });
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
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

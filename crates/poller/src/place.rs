//! Where an engine may report, and whom to trust there.

use crate::target::{Scheme, Settings, Target};
use crate::tls::{Authorities, Configs, Trust};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tblb_core::engine;
use ureq::http::uri::{Authority, Parts, PathAndQuery};
use ureq::http::{HeaderValue, Request, Uri, header, uri};

/// A place where an engine may report.
#[derive(Debug)]
pub(crate) struct Place {
    /// What is asked there.
    pub request: Request<()>,
    /// The same to be logged: without a query, which may hold secrets.
    pub url: String,
}

/// Every place where an engine may report, the most likely first.
pub(crate) fn all(target: &Target) -> Vec<Place> {
    let (settings, authority) = (&*target.settings, authority(target));
    let place = |path: PathAndQuery| {
        let scheme = match settings.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let url = format!("{scheme}://{authority}{}", path.path());
        Place { request: request(settings, authority.clone(), path), url }
    };
    paths(settings).into_iter().map(place).collect()
}

/// What a client of the target trusts.
pub(crate) fn trust(target: &Target, configs: &Arc<Configs>) -> Trust {
    let name = name(authority(target).host(), target);
    Trust { authorities: authorities(&target.settings), name, configs: Arc::clone(configs) }
}

fn request(settings: &Settings, authority: Authority, path: PathAndQuery) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = uri(settings.scheme, authority, path);
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tblb/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain; version=0.0.4, */*; q=0.1"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(credentials) = &settings.credentials {
        headers.insert(header::AUTHORIZATION, credentials.header().clone());
    }
    request
}

/// The host for a request line and its `Host`.
fn authority(target: &Target) -> Authority {
    let address = || Authority::try_from(target.address.to_string());
    // A user would become credentials.
    let is_host = |name: &Authority| !name.host().is_empty() && !name.as_str().contains('@');
    let named = Authority::try_from(target.host.as_str()).ok().filter(is_host);
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
    let mut parts = Parts::default();
    parts.scheme = Some(match scheme {
        Scheme::Http => uri::Scheme::HTTP,
        Scheme::Https => uri::Scheme::HTTPS,
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

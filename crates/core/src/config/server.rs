//! What `tblb_server` says: what is known of one server only.

use super::metrics::{Scheme, path};
use super::value::port;
use super::{Error, parameter};

/// What is known of one server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// The server, as its `server` directive names it or as its address with a port.
    pub address: String,
    /// Where its metrics are, None where they are as those of the others.
    pub metrics: Option<Place>,
}

/// Where the metrics of one server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is not polled.
    Off,
    /// At this port of the server.
    Port(u16),
    /// At an address of their own.
    Url(Url),
}

/// An address of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// http or https.
    pub scheme: Scheme,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port, by default the usual one of the scheme.
    pub port: u16,
    /// The path with its query, None for the engine's own.
    pub path: Option<String>,
}

/// The parameters. Each is one row here and one in [`Server::set`].
const PARAMETERS: [&str; 2] = ["metrics", "port"];

impl Server {
    /// Parses the words after `tblb_server`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, Error> {
        let [address, parameters @ ..] = words else {
            return Err(Error::number_of_parameters("a server of the upstream and a parameter"));
        };
        if address.is_empty()
            || parameters.is_empty()
            || address.split_once('=').is_some_and(|(name, _)| PARAMETERS.contains(&name))
        {
            return Err(Error::number_of_parameters("a server of the upstream and a parameter"));
        }
        let mut server = Server { address: (*address).to_owned(), ..Server::default() };
        for word in parameters {
            let (name, value) = parameter(word, &PARAMETERS)?;
            server.set(word, name, value)?;
        }
        Ok(server)
    }

    fn set(&mut self, word: &str, name: &str, value: &str) -> Result<(), Error> {
        let place = match name {
            "port" => Place::Port(port(word, value)?),
            _ if value == "off" => Place::Off,
            _ => Place::Url(url(word, value)?),
        };
        match self.metrics.replace(place) {
            None => Ok(()),
            Some(_) => Err(Error::invalid(word, "one place of metrics, by \"metrics=\" or by \"port=\"")),
        }
    }
}

impl Url {
    /// The host and port as a request has them, without a port that is the usual one.
    pub fn authority(&self) -> String {
        if self.port == usual_port(self.scheme) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn usual_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

fn url(word: &str, value: &str) -> Result<Url, Error> {
    let wrong = || Error::invalid(word, "a URL such as \"http://10.0.0.1:8002/metrics\", or \"off\"");
    let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
    let stripped = |(prefix, scheme): (&str, Scheme)| value.strip_prefix(prefix).map(|rest| (scheme, rest));
    let (scheme, rest) = schemes.into_iter().find_map(stripped).ok_or_else(wrong)?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Error::invalid(word, "a URL without a user; \"tblb_metrics_auth\" gives credentials"));
    }
    let (host, number) = host_and_port(authority).ok_or_else(wrong)?;
    let port = number.map_or(Ok(usual_port(scheme)), |number| port(word, number))?;
    let path = (!rest.is_empty()).then(|| path(word, rest)).transpose()?;
    Ok(Url { scheme, host: host.to_owned(), port, path })
}

/// The parts of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let right = match inner {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
    right.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Result<Server, String> {
        Server::parse(&text.split_whitespace().collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    fn place(word: &str) -> Result<Option<Place>, String> {
        server(&format!("10.0.0.1:8000 {word}")).map(|server| server.metrics)
    }

    fn at(scheme: Scheme, host: &str, port: u16, path: Option<&str>) -> Result<Option<Place>, String> {
        let (host, path) = (host.to_owned(), path.map(Into::into));
        Ok(Some(Place::Url(Url { scheme, host, port, path })))
    }

    #[test]
    fn places_of_metrics() {
        use Scheme::{Http, Https};
        assert_eq!(server("10.0.0.1:8000 port=8002").unwrap().address, "10.0.0.1:8000");
        assert_eq!(place("port=8002"), Ok(Some(Place::Port(8002))));
        assert_eq!(place("metrics=off"), Ok(Some(Place::Off)));
        assert_eq!(place("metrics=http://10.0.0.1:8012/m?a=b"), at(Http, "10.0.0.1", 8012, Some("/m?a=b")));
        assert_eq!(place("metrics=https://metrics.example"), at(Https, "metrics.example", 443, None));
        assert_eq!(place("metrics=http://[::1]:8002/"), at(Http, "[::1]", 8002, Some("/")));
        assert_eq!(place("metrics=http://a"), at(Http, "a", 80, None));
    }

    #[test]
    fn a_url_names_its_host_as_a_request_does() {
        let authority = |word: &str| match place(word) {
            Ok(Some(Place::Url(url))) => url.authority(),
            other => panic!("{other:?}"),
        };
        assert_eq!(authority("metrics=http://a:80/m"), "a");
        assert_eq!(authority("metrics=https://a:80/m"), "a:80");
        assert_eq!(authority("metrics=https://[::1]/m"), "[::1]");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "invalid number of parameters, expected a server of the upstream and a parameter"),
            ("a:1", "invalid number of parameters"),
            ("port=1", "invalid number of parameters"),
            ("metrics=off port=1", "invalid number of parameters"),
            ("a:1 slot=1", "unknown parameter \"slot=1\", expected one of \"metrics\", \"port\""),
            ("a:1 port=0", "invalid parameter \"port=0\", expected a port from 1 to 65535"),
            ("a:1 port=1 metrics=off", "invalid parameter \"metrics=off\", expected one place of metrics"),
            ("a:1 port=1 port=2", "invalid parameter \"port=2\", expected one place of metrics"),
            ("a:1 metrics=on", "invalid parameter \"metrics=on\", expected a URL such as"),
            ("a:1 metrics=ftp://a/", "invalid parameter \"metrics=ftp://a/\", expected a URL such as"),
            ("a:1 metrics=http://", "invalid parameter \"metrics=http://\", expected a URL such as"),
            ("a:1 metrics=http://:80/", "invalid parameter"),
            ("a:1 metrics=http://::1/", "invalid parameter"),
            ("a:1 metrics=http://[::g]/", "invalid parameter"),
            ("a:1 metrics=http://a:b/", "invalid parameter \"metrics=http://a:b/\", expected a port"),
            ("a:1 metrics=http://a/b#c", "invalid parameter \"metrics=http://a/b#c\", expected a path"),
            ("a:1 metrics=http://a?b", "invalid parameter \"metrics=http://a?b\", expected a path"),
            (
                "a:1 metrics=http://u:p@a/",
                "invalid parameter \"metrics=http://u:p@a/\", expected a URL without a user",
            ),
        ] {
            let error = server(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}

//! Whom to poll: the servers of all upstreams, each address once for all that ask there in the same way.

use crate::conf::UpstreamConf;
use crate::peers::Copied;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tblb_core::board;
use tblb_core::config::{self, Metrics, Place};
use tblb_poller::{MetricsPath, Scheme, Settings, Target};

/// Which servers the targets are, by their keys: what the log calls them.
pub type Names = HashMap<u64, String>;

/// The targets of these groups, and their names.
pub fn of<'a>(
    groups: impl Iterator<Item = (&'a UpstreamConf, &'a [Copied], &'a [Option<u32>])>,
) -> (Vec<Target>, Names) {
    let mut shared = Shared::default();
    for (upstream, peers, slots) in groups {
        let Some(metrics) = &upstream.block.metrics else { continue };
        let ways = Ways::of(upstream, metrics, &mut shared);
        for (peer, slot) in peers.iter().zip(slots) {
            let (Some(slot), Some(asked)) = (slot, ways.asked(upstream, peer, metrics)) else { continue };
            shared.add(asked, *slot, metrics.interval, upstream, peer);
        }
    }
    shared.targets()
}

/// Where and how a server is asked.
struct Asked {
    address: SocketAddr,
    host: String,
    /// The number of its settings in [`Shared::settings`].
    settings: usize,
}

/// How the servers of one upstream are asked: the numbers of the settings in [`Shared::settings`].
struct Ways {
    usual: usize,
    /// For each `tblb_server` of the upstream.
    own: Vec<usize>,
}

impl Ways {
    /// All of an upstream's settings, those that no server needs now too: their numbers stay the same as long as the configuration
    /// does.
    fn of(upstream: &UpstreamConf, metrics: &Metrics, shared: &mut Shared) -> Ways {
        let usual = shared.number(settings(upstream, metrics, metrics.scheme, metrics.path.as_deref()));
        let own = upstream.block.servers.iter().map(|server| match &server.metrics {
            Some(Place::Url(url)) => {
                shared.number(settings(upstream, metrics, url.scheme, url.path.as_deref()))
            }
            _ => usual,
        });
        Ways { usual, own: own.collect() }
    }

    /// What to ask for the metrics of a peer, None where there is nothing to ask.
    fn asked(&self, upstream: &UpstreamConf, peer: &Copied, metrics: &Metrics) -> Option<Asked> {
        let (written, name) = (peer.server.to_string(), peer.name.to_string());
        let number = upstream.block.server_number(&written, &name);
        let place = number.and_then(|number| upstream.block.servers.get(number)?.metrics.as_ref());
        let named = |host: String| metrics.verify.name.clone().unwrap_or(host);
        let port = match place {
            Some(Place::Off) => return None,
            Some(Place::Url(url)) => {
                let number = number?;
                let address = *upstream.server_addresses.get(number)?;
                return Some(Asked {
                    address: address?,
                    host: named(url.authority()),
                    settings: *self.own.get(number)?,
                });
            }
            Some(Place::Port(port)) => Some(*port),
            None => metrics.port(),
        };
        let mut address = peer.address?;
        let host = match port {
            Some(port) => {
                address.set_port(port);
                format!("{}:{port}", without_port(&written))
            }
            None => written,
        };
        Some(Asked { address, host: named(host), settings: self.usual })
    }
}

/// How to poll, as the poller takes it. The interval is that of the target, not that of the settings.
fn settings(
    upstream: &UpstreamConf,
    metrics: &Metrics,
    scheme: config::Scheme,
    path: Option<&str>,
) -> Settings {
    Settings {
        scheme: match scheme {
            config::Scheme::Http => Scheme::Http,
            config::Scheme::Https => Scheme::Https,
        },
        path: path.and_then(MetricsPath::new),
        lookup: upstream.block.lookup(),
        credentials: upstream.credentials.clone(),
        interval: Duration::ZERO,
        timeout: metrics.timeout,
        verify: metrics.verify.on,
        ca_file: metrics.verify.trusted.as_ref().map(Into::into),
    }
}

/// Targets on their way: servers of several upstreams that are asked in the same way at the same address are one.
#[derive(Default)]
struct Shared {
    /// Each way to poll once, without its interval.
    settings: Vec<Settings>,
    targets: Vec<Sharing>,
    /// The number in `targets` by address, host and number of the settings.
    known: HashMap<(SocketAddr, String, usize), usize>,
    /// Slots that are served: a server that stands twice in an upstream has one.
    served: HashSet<u32>,
}

/// A target and the servers that it is.
struct Sharing {
    asked: Asked,
    slots: Vec<u32>,
    /// The shortest that an upstream asks for.
    interval: Duration,
    /// What the log calls the first of its servers.
    name: String,
}

impl Shared {
    /// The number of these settings.
    fn number(&mut self, settings: Settings) -> usize {
        let known = self.settings.iter().position(|known| *known == settings);
        known.unwrap_or_else(|| {
            self.settings.push(settings);
            self.settings.len() - 1
        })
    }

    fn add(&mut self, asked: Asked, slot: u32, interval: Duration, upstream: &UpstreamConf, peer: &Copied) {
        if !self.served.insert(slot) {
            return;
        }
        let place = (asked.address, asked.host.clone(), asked.settings);
        let number = *self.known.entry(place).or_insert(self.targets.len());
        if let Some(sharing) = self.targets.get_mut(number) {
            sharing.slots.push(slot);
            sharing.interval = sharing.interval.min(interval);
        } else {
            let name = format!("{} in upstream \"{}\"", peer.name, upstream.name);
            self.targets.push(Sharing { asked, slots: vec![slot], interval, name });
        }
    }

    fn targets(self) -> (Vec<Target>, Names) {
        let mut made: HashMap<(usize, Duration), Arc<Settings>> = HashMap::new();
        let mut names = Names::new();
        let target = |sharing: Sharing| {
            let Sharing { asked, slots, interval, name } = sharing;
            let Asked { address, host, settings: number } = asked;
            let key = board::key(&[address.to_string().as_bytes(), host.as_bytes(), &number.to_ne_bytes()]);
            let others = slots.len() - 1;
            names.insert(key, if others == 0 { name } else { format!("{name} and {others} more") });
            let with_interval =
                || Settings { interval, ..self.settings.get(number).cloned().unwrap_or_default() };
            let settings = made.entry((number, interval)).or_insert_with(|| Arc::new(with_interval()));
            Target { key, slots, address, host, settings: Arc::clone(settings) }
        };
        let targets = self.targets.into_iter().map(target).collect();
        (targets, names)
    }
}

/// The host of `host:port` or `[v6]:port`.
fn without_port(server: &str) -> &str {
    match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => server,
    }
}

//! An upstream block: what all of its directives say together.

use super::value::one_of;
use super::{Auth, Balance, Error, Limit, Metrics, Models, Place, Recording, Server, signal};
use crate::engine::{Custom, Lookup};
use std::sync::Arc;

/// What the directives of an upstream block say; where one is not given, its default.
#[derive(Debug, Clone)]
pub struct Block {
    /// `tblb`.
    pub balance: Balance,
    /// `tblb_metrics`: how engines are polled, None for `off`.
    pub metrics: Option<Metrics>,
    /// `tblb_metrics_signal`, in their order.
    pub signals: Vec<Custom>,
    /// `tblb_server`, in their order.
    pub servers: Vec<Server>,
    /// `tblb_metrics_auth`, None without it.
    pub auth: Option<Auth>,
    /// `tblb_limit`.
    pub limit: Limit,
    /// `tblb_model`.
    pub models: Models,
    /// `tblb_bypass`: whether all that is known is left aside, and the method is least_conn.
    pub bypass: bool,
    /// `tblb_record`: where picks are written down, None without it.
    pub recording: Option<Recording>,
    /// The directives that were given with their words, in their order.
    given: Vec<(&'static Directive, String)>,
}

/// A directive of an upstream block.
#[derive(Debug)]
struct Directive {
    name: &'static str,
    /// Whether it may stand there more than once.
    many: bool,
    /// Whether the picker goes by it. What others say has become part of what is known of peers by then.
    picks: bool,
    /// Takes down what its words say.
    set: fn(&mut Block, &[&str]) -> Result<(), Error>,
}

/// The directive that makes ours the method of a block; the others mean nothing without it.
const METHOD: &str = "tblb";

/// The directive of what is known of one server only.
const SERVER: &str = "tblb_server";

/// Every directive of an upstream block.
static DIRECTIVES: &[Directive] = &[
    Directive {
        name: METHOD,
        many: false,
        picks: true,
        set: |block, words| Balance::parse(words).map(|said| block.balance = said),
    },
    Directive {
        name: "tblb_metrics",
        many: false,
        picks: false,
        set: |block, words| Metrics::parse(words).map(|said| block.metrics = said),
    },
    Directive {
        name: "tblb_metrics_signal",
        many: true,
        picks: false,
        set: |block, words| signal::parse(words).map(|said| block.signals.push(said)),
    },
    Directive {
        name: "tblb_metrics_auth",
        many: false,
        picks: false,
        set: |block, words| Auth::parse(words).map(|said| block.auth = Some(said)),
    },
    Directive {
        name: SERVER,
        many: true,
        picks: false,
        set: |block, words| Server::parse(words).and_then(|said| block.add_server(said)),
    },
    Directive {
        name: "tblb_limit",
        many: false,
        picks: false,
        set: |block, words| Limit::parse(words).map(|said| block.limit = said),
    },
    Directive {
        name: "tblb_model",
        many: false,
        picks: false,
        set: |block, words| Models::parse(words).map(|said| block.models = said),
    },
    Directive {
        name: "tblb_bypass",
        many: false,
        picks: true,
        set: |block, words| switch(words).map(|said| block.bypass = said),
    },
    Directive {
        name: "tblb_record",
        many: false,
        picks: false,
        set: |block, words| Recording::parse(words).map(|said| block.recording = Some(said)),
    },
];

impl Default for Block {
    fn default() -> Self {
        Block {
            balance: Balance::default(),
            metrics: Some(Metrics::default()),
            signals: Vec::new(),
            servers: Vec::new(),
            auth: None,
            limit: Limit::default(),
            models: Models::default(),
            bypass: false,
            recording: None,
            given: Vec::new(),
        }
    }
}

impl Block {
    /// Reads directives as they stand in an upstream block, each with its semicolon (the last may lack it).
    ///
    /// # Errors
    /// Names the directive, the word that is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut block = Block::default();
        for statement in text.split(';') {
            let mut words = statement.split_whitespace();
            let Some(name) = words.next() else { continue };
            block.set(name, &words.collect::<Vec<_>>()).map_err(|error| error.in_directive(name))?;
        }
        block.check()?;
        Ok(block)
    }

    /// Takes down one directive: its name and the words after it.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn set(&mut self, name: &str, words: &[&str]) -> Result<(), Error> {
        let Some(directive) = DIRECTIVES.iter().find(|directive| directive.name == name) else {
            return Err(Error::unknown("directive", name, DIRECTIVES.iter().map(|known| known.name)));
        };
        if self.has(name) && !directive.many {
            return Err(Error::duplicate(name));
        }
        (directive.set)(self, words)?;
        self.given.push((directive, words.join(" ")));
        Ok(())
    }

    /// Checks what can be known only at the end of the block.
    ///
    /// # Errors
    /// Names the first directive that lacks a `tblb`, and says where there is nothing to read.
    pub fn check(&self) -> Result<(), Error> {
        match self.given.first() {
            Some((first, _)) if !self.is_ours() => Err(Error::needs(first.name, METHOD)),
            _ if self.reads_nothing() => {
                Err(Error::needs("tblb_metrics engine=custom", "tblb_metrics_signal"))
            }
            _ if self.metrics.is_none() && self.servers.iter().any(gives_a_place) => {
                Err(Error::not_polled(SERVER))
            }
            _ => Ok(()),
        }
    }

    fn add_server(&mut self, server: Server) -> Result<(), Error> {
        if self.servers.iter().any(|known| known.address == server.address) {
            return Err(Error::duplicate_server(&server.address, SERVER));
        }
        self.servers.push(server);
        Ok(())
    }

    /// Checks that each server which `tblb_server` names is one of the block. `known` are its servers, each by the word of its
    /// directive and by its addresses; one whose addresses are not known yet may have any.
    ///
    /// # Errors
    /// The place among [`Block::servers`] of the first that is not, and what is wrong.
    pub fn check_servers(&self, known: &[(String, Vec<String>)]) -> Result<(), (usize, Error)> {
        let is_known = |server: &Server| {
            let addresses = |(written, addresses): &(String, Vec<String>)| {
                server.address == *written || addresses.is_empty() || addresses.contains(&server.address)
            };
            known.iter().any(addresses)
        };
        let Some(place) = self.servers.iter().position(|server| !is_known(server)) else { return Ok(()) };
        let address = self.servers.get(place).map(|server| server.address.as_str()).unwrap_or_default();
        let error = Error::unknown_server(address, known.iter().map(|(written, _)| written.as_str()));
        Err((place, error.in_directive(SERVER)))
    }

    /// The place among [`Block::servers`] of what is known of one server, which nginx knows by the word of its `server`
    /// directive and by an address. What is said of the address goes before what is said of the word, which may have several
    /// addresses.
    pub fn server_number(&self, written: &str, address: &str) -> Option<usize> {
        let by_address = self.servers.iter().position(|server| server.address == address);
        by_address.or_else(|| self.servers.iter().position(|server| server.address == written))
    }

    /// Whether only names of the user's are to be read, and there are none.
    fn reads_nothing(&self) -> bool {
        let engine = self.metrics.as_ref().and_then(|metrics| metrics.engine);
        self.signals.is_empty() && engine.is_some_and(|engine| !engine.has_names() && !engine.by_model)
    }

    /// What is looked for in the metrics of its engines.
    pub fn lookup(&self) -> Arc<Lookup> {
        Lookup::new(self.metrics.as_ref().and_then(|metrics| metrics.engine), &self.signals)
    }

    /// Whether it says that ours is the method.
    pub fn is_ours(&self) -> bool {
        self.has(METHOD)
    }

    /// The directives that the picker goes by, as [`Block::parse`] takes them.
    pub fn of_picks(&self) -> String {
        let given = self.given.iter().filter(|(directive, _)| directive.picks);
        given.map(|(directive, words)| format!("{} {words};", directive.name)).collect()
    }

    /// The age in ms above which a sample counts no more.
    pub fn stale_ms(&self) -> u64 {
        let Some(metrics) = &self.metrics else { return 0 };
        metrics.stale.map_or(u64::MAX, |stale| u64::try_from(stale.as_millis()).unwrap_or(u64::MAX))
    }

    fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given.name == name)
    }
}

/// Whether it says where the metrics of a server are.
fn gives_a_place(server: &Server) -> bool {
    matches!(server.metrics, Some(Place::Port(_) | Place::Url(_)))
}

/// `on` or `off`.
fn switch(words: &[&str]) -> Result<bool, Error> {
    match words {
        [word] => one_of(word, word, &[("on", true), ("off", false)]),
        _ => Err(Error::number_of_parameters("\"on\" or \"off\"")),
    }
}

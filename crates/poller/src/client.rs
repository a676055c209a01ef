//! One engine's client: a connection, and one poll after the other over it.

use crate::buffers::Buffers;
use crate::exchange::{Ended, Exchange};
use crate::failure::{Failure, of_io};
use crate::head::Miss;
use crate::place::{self, Place};
use crate::stream::{Registry, Stream};
use crate::target::{Scheme, Target};
use crate::tls::{Configs, Trust};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tblb_core::engine::{Engine, Lookup, Reading, Scrape};
use tblb_core::fault::Fault;

/// What a poll gave.
pub(crate) type Outcome = Result<Reading, Failure>;

/// The client of one engine.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    /// None for plain HTTP.
    trust: Option<Trust>,
    /// Each place where the engine may report.
    places: Vec<Place>,
    /// The one of them where it did the last time, or the first.
    here: usize,
    lookup: Arc<Lookup>,
    /// The engine that answered the last time.
    remembered: Option<&'static Engine>,
    /// It reported the use of its cache in per cent in a page before this one, without a failure in between.
    per_cent: bool,
    /// None before the first poll, and when the connection was closed.
    stream: Option<Stream>,
    /// None between polls.
    poll: Option<Poll>,
}

/// A poll under way.
#[derive(Debug)]
struct Poll {
    deadline: Instant,
    /// Which of the places is asked, in the order that begins with `here`.
    turn: usize,
    exchange: Exchange,
    /// The connection was made for an earlier exchange.
    reused: bool,
    /// Why the first place gave nothing.
    first: Option<Failure>,
}

impl Client {
    /// Connects when it is first asked to poll.
    pub fn new(target: &Target, configs: &Arc<Configs>) -> Client {
        let settings = &*target.settings;
        let trust = (settings.scheme == Scheme::Https).then(|| place::trust(target, configs));
        Client {
            address: target.address,
            trust,
            places: place::all(target),
            here: 0,
            lookup: Arc::clone(&settings.lookup),
            remembered: None,
            per_cent: false,
            stream: None,
            poll: None,
        }
    }

    /// Asks the engine; the answer must be there within that time. If nothing is where it reported the last time, the other
    /// places are looked at as well: an engine that does not report at all is polled seldom, so that costs it little.
    /// Gives what the poll gave, if it ended at once.
    pub fn begin(&mut self, within: Duration, registry: Registry, buffers: &mut Buffers) -> Option<Outcome> {
        let began = Instant::now();
        if self.stream.as_mut().is_some_and(|stream| !stream.is_idle()) {
            self.stream = None;
        }
        let deadline = began + within;
        match self.exchange(self.here, deadline, registry) {
            Ok((exchange, reused)) => {
                self.poll = Some(Poll { deadline, turn: 0, exchange, reused, first: None });
                self.go_on(registry, buffers)
            }
            Err(fault) => Some(Err(self.failure(self.here, fault))),
        }
    }

    /// Goes on when the connection has something new. An idle one that has is closed, or out of step.
    pub fn ready(&mut self, registry: Registry, buffers: &mut Buffers) -> Option<Outcome> {
        if self.poll.is_none() && self.stream.as_mut().is_some_and(|stream| !stream.is_idle()) {
            self.stream = None;
        }
        self.go_on(registry, buffers)
    }

    /// When something has to happen, if a poll is under way.
    pub fn deadline(&self) -> Option<Instant> {
        self.poll.as_ref().map(|poll| poll.exchange.deadline)
    }

    /// The deadline has come.
    pub fn late(&mut self, registry: Registry, buffers: &mut Buffers) -> Option<Outcome> {
        let poll = self.poll.as_mut().filter(|poll| poll.exchange.deadline <= Instant::now())?;
        let ended = poll.exchange.late();
        self.ended(ended, registry).or_else(|| self.go_on(registry, buffers))
    }

    fn go_on(&mut self, registry: Registry, buffers: &mut Buffers) -> Option<Outcome> {
        loop {
            let (poll, stream) = (self.poll.as_mut()?, self.stream.as_mut()?);
            let ended = poll.exchange.advance(stream, buffers)?;
            if let Some(outcome) = self.ended(ended, registry) {
                return Some(outcome);
            }
        }
    }

    /// An exchange has ended: gives what the poll gave, or None where another exchange has begun.
    fn ended(&mut self, ended: Ended, registry: Registry) -> Option<Outcome> {
        if !ended.keep {
            self.stream = None;
        }
        let mut poll = self.poll.take()?;
        let place = self.place(poll.turn);
        let miss = match ended.result {
            Ok(reading) => {
                self.here = place;
                self.remembered = Some(reading.engine);
                self.per_cent = reading.per_cent;
                return Some(Ok(reading));
            }
            Err(miss) => miss,
        };
        let failure = self.failure(place, miss.fault).with(&poll.exchange.head);
        match miss {
            // An engine may close an idle connection in the very moment in which it is used again.
            Miss { fault: Fault::Closed, .. } if poll.reused => {}
            Miss { elsewhere: true, .. } => {
                poll.turn += 1;
                poll.first = poll.first.or(Some(failure));
                if poll.turn >= self.places.len() {
                    return poll.first.map(|first| self.failed(first));
                }
            }
            _ => return Some(self.failed(failure)),
        }
        match self.exchange(self.place(poll.turn), poll.deadline, registry) {
            Ok((exchange, reused)) => {
                self.poll = Some(Poll { exchange, reused, ..poll });
                None
            }
            Err(fault) => Some(Err(self.failure(self.place(poll.turn), fault))),
        }
    }

    /// Begins an exchange, over the connection that there is or over a new one; gives also whether it is the former.
    fn exchange(
        &mut self,
        place: usize,
        deadline: Instant,
        registry: Registry,
    ) -> Result<(Exchange, bool), Fault> {
        let reused = self.stream.is_some();
        let request = &self.places.get(place).ok_or(Fault::Local)?.request;
        let scrape = Scrape::of(Arc::clone(&self.lookup), self.remembered).with_per_cent(self.per_cent);
        let exchange = Exchange::new(request, scrape, deadline, reused).ok_or(Fault::Local)?;
        if !reused {
            let stream = Stream::connect(self.address, self.trust.as_ref(), registry);
            self.stream = Some(stream.map_err(|error| of_io(&error))?);
        }
        Ok((exchange, reused))
    }

    /// The place whose turn it is.
    fn place(&self, turn: usize) -> usize {
        match turn {
            0 => self.here,
            _ => {
                (0..self.places.len()).filter(|place| *place != self.here).nth(turn - 1).unwrap_or(self.here)
            }
        }
    }

    /// What a poll gave that failed. It may be another engine, or another version, that answers again.
    fn failed(&mut self, failure: Failure) -> Outcome {
        self.per_cent = false;
        Err(failure)
    }

    fn failure(&self, place: usize, fault: Fault) -> Failure {
        let url = self.places.get(place).map(|place| place.url.clone()).unwrap_or_default();
        Failure { fault, url, status: None, location: None }
    }
}

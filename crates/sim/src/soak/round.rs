//! Storms over engines and the nginx before them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep, timeout};

use super::room::{Kind, Room, Setting};
use super::slow;
use super::strike::Strike;
use crate::client::{self, Load, Options, Record};
use crate::demo::server;
use crate::engine::{self, Engine, Fault};
use crate::node::NodeSpec;
use crate::random::{Purpose, derive};
use crate::workload::Lengths;

/// How long requests are sent in a storm.
const STORM: Duration = Duration::from_secs(12);

/// The part of it in which faults strike.
const STRIKES: f64 = 8.0;

/// How long each of them lasts at most, in seconds.
const LASTS: f64 = 4.0;

/// Engines, each so many times as fast as the one it imitates.
const ENGINES: [f64; 3] = [30.0, 20.0, 10.0];

/// How long an engine may find its port taken when it comes back.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that clients who go away would send: more than there is time for.
const ABORTED: usize = 10_000;

/// Answers of some fifty tokens.
const LENGTHS: Lengths = Lengths { output_mu: 3.6, output_sigma: 0.7, ..Lengths::SHAREGPT };

/// What became of requests.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that were sent and awaited.
    pub sent: usize,
    /// Those that failed as a fault of their storm explains, by what went wrong.
    pub explained: BTreeMap<String, usize>,
    /// Those that no fault explains, with the faults that there were.
    pub unexplained: Vec<String>,
    /// How often each fault struck.
    pub strikes: BTreeMap<String, usize>,
}

/// Engines and the nginx before them. All end when this is dropped.
pub struct House {
    setting: Setting,
    engines: Vec<Seat>,
    /// One of each kind.
    pub rooms: [Room; 2],
    seed: u64,
}

/// Where an engine is; None while it is gone.
struct Seat {
    addr: SocketAddr,
    options: engine::Options,
    engine: RefCell<Option<Engine>>,
}

/// A strike at one nginx or engine.
#[derive(Debug, Clone, Copy)]
struct Blow {
    strike: Strike,
    /// Seconds from the beginning of the storm, and how many it lasts.
    at: f64,
    lasts: f64,
    /// Which engine or worker, modulo their number.
    index: usize,
    seed: u64,
}

impl Blow {
    fn draw(rng: &mut Rng) -> Self {
        let strike = Strike::draw(rng);
        let (at, lasts) = (rng.f64() * STRIKES, 0.2 + rng.f64() * (LASTS - 0.2));
        Self { strike, at, lasts, index: rng.usize(..60), seed: rng.u64(..) }
    }
}

impl House {
    /// Starts the engines and both nginx.
    ///
    /// # Errors
    /// One does not start.
    pub fn start(setting: &Setting, seed: u64) -> io::Result<Self> {
        let engines = ENGINES.into_iter().map(Seat::start).collect::<io::Result<Vec<_>>>()?;
        let servers = engines.iter().map(|seat| server(&format!("http://{}", seat.addr)));
        let servers = servers.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let room = |kind| Room::start(setting, kind, &servers);
        Ok(Self { setting: setting.clone(), engines, rooms: [room(Kind::Kept)?, room(Kind::Renewed)?], seed })
    }

    /// One storm: requests to each nginx, and between three and six blows. What became of the requests is added to the
    /// tally of each nginx.
    ///
    /// # Errors
    /// An engine does not come back.
    pub async fn storm(&self, round: u64, tallies: &mut [Tally; 2]) -> io::Result<()> {
        let seed = derive(self.seed, Purpose::Times, round);
        let mut rng = Rng::with_seed(seed);
        let blows: Vec<Blow> = (0..rng.usize(3..=6)).map(|_| Blow::draw(&mut rng)).collect();
        let records = [RefCell::default(), RefCell::default()];
        let rooms = || self.rooms.iter().zip(&records);
        let base = rooms().map(|(room, records)| self.load(room, records, seed));
        let blows_land = blows.iter().map(|blow| async {
            sleep(Duration::from_secs_f64(blow.at)).await;
            if let Strike::Engine(_) | Strike::Die = blow.strike {
                return self.engines[blow.index % self.engines.len()].suffer(blow).await;
            }
            let struck = rooms().filter(|(room, _)| room.kind == Kind::Renewed || !blow.strike.renews());
            join_all(struck.map(|(room, records)| self.suffer(room, records, blow))).await;
            Ok(())
        });
        let (_, landed) = tokio::join!(join_all(base), try_join_all(blows_land));
        landed?;
        for ((room, records), tally) in rooms().zip(tallies) {
            let of_room = |blow: &&Blow| room.kind == Kind::Renewed || !blow.strike.renews();
            let strikes: Vec<Strike> = blows.iter().filter(of_room).map(|blow| blow.strike).collect();
            tally.add(round, &strikes, records.take());
        }
        Ok(())
    }

    fn options(&self, room: &Room, seed: u64) -> Options {
        let timeout = Duration::from_secs(60);
        Options { lengths: LENGTHS, keepalive: false, seed, timeout, ..Options::new(room.nginx().url()) }
    }

    /// Requests at random times.
    async fn load(&self, room: &Room, records: &RefCell<Vec<Record>>, seed: u64) {
        let rate = self.setting.rate;
        let requests = (rate * STORM.as_secs_f64()).ceil() as usize;
        let options = Options { load: Load::Open { rate }, requests, ..self.options(room, seed) };
        send(&options, records).await;
    }

    async fn suffer(&self, room: &Room, records: &RefCell<Vec<Record>>, blow: &Blow) {
        let lasts = Duration::from_secs_f64(blow.lasts);
        let options = |concurrency, requests| Options {
            load: Load::Closed { concurrency },
            requests,
            ..self.options(room, blow.seed)
        };
        let crowd = (self.setting.rate.ceil() as usize).max(2);
        match blow.strike {
            Strike::Engine(_) | Strike::Die => {}
            Strike::Aborts => aborts(&options(crowd.div_ceil(4), ABORTED), records, blow).await,
            // They break when a worker is killed; what is left of them goes away.
            Strike::SlowReaders => {
                let all = join_all((0..crowd.div_ceil(4)).map(|_| slow::read(room.nginx().addr())));
                let _ = timeout(lasts, all).await;
            }
            Strike::SlowSenders => {
                let all = join_all((0..crowd.div_ceil(4)).map(|_| slow::send(room.nginx().addr())));
                let _ = timeout(lasts, all).await;
            }
            Strike::Burst => send(&options(2 * crowd, 2 * crowd), records).await,
            Strike::Stop => {
                let _stopped = room.stop(blow.index);
                sleep(lasts).await;
            }
            Strike::Reload => room.reload(),
            Strike::Kill => room.kill(blow.index),
        }
    }
}

/// Sends requests and keeps what became of them.
async fn send(options: &Options, records: &RefCell<Vec<Record>>) {
    // The URL is nginx's own and the load above 0.
    let _ = client::run(options, |record| records.borrow_mut().push(record.clone())).await;
}

/// Sends requests and goes away from all of them, again and again.
async fn aborts(options: &Options, records: &RefCell<Vec<Record>>, blow: &Blow) {
    let mut rng = Rng::with_seed(blow.seed);
    let until = Instant::now() + Duration::from_secs_f64(blow.lasts);
    while Instant::now() < until {
        let _ = timeout(Duration::from_millis(rng.u64(5..400)), send(options, records)).await;
    }
}

impl Seat {
    fn start(speed: f64) -> io::Result<Self> {
        let node = NodeSpec::named("1gpu").ok_or_else(|| io::Error::other("there is no such node type"))?;
        let options = engine::Options::new(node.at_speed(speed));
        let engine = Engine::start(SocketAddr::from(([127, 0, 0, 1], 0)), &options)?;
        Ok(Self { addr: engine.addr(), options, engine: RefCell::new(Some(engine)) })
    }

    async fn suffer(&self, blow: &Blow) -> io::Result<()> {
        let lasts = Duration::from_secs_f64(blow.lasts);
        match blow.strike {
            Strike::Engine(fault) => {
                self.set(fault);
                sleep(lasts).await;
                self.set(Fault::None);
                Ok(())
            }
            _ => {
                // None if it is gone already; whoever took it away brings it back.
                let Some(engine) = self.engine.take() else { return Ok(()) };
                engine.stop();
                sleep(lasts).await;
                *self.engine.borrow_mut() = Some(self.come_back().await?);
                Ok(())
            }
        }
    }

    fn set(&self, fault: Fault) {
        if let Some(engine) = &*self.engine.borrow() {
            engine.set_fault(fault);
        }
    }

    /// Starts an engine at the same address; a connection may have its port for a while.
    async fn come_back(&self) -> io::Result<Engine> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (addr, options) = (self.addr, self.options.clone());
            // A runtime that is not used must not be dropped in another.
            match tokio::task::spawn_blocking(move || Engine::start(addr, &options)).await? {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                started => return started,
            }
        }
    }
}

impl Tally {
    fn add(&mut self, round: u64, strikes: &[Strike], records: Vec<Record>) {
        for strike in strikes {
            *self.strikes.entry(strike.name()).or_default() += 1;
        }
        self.sent += records.len();
        for error in records.into_iter().filter_map(|record| record.error) {
            if strikes.iter().any(|strike| strike.explains(&error)) {
                *self.explained.entry(error).or_default() += 1;
            } else {
                self.unexplained.push(format!("{error} in round {round} of {strikes:?}"));
            }
        }
    }
}

//! What polling a thousand engines costs: `cargo run --release -p tblb-poller --example thousand`.
//!
//! A child process plays the engines, each on a port of its own; this process polls them every second, and afterwards
//! the same requests are made over bare sockets by as many threads, without HTTP, parsing or schedule. The
//! difference is what the poller costs beside the sockets.

use rustix::event::epoll;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use tblb_core::engine::Reading;
use tblb_core::fault::Fault;
use tblb_poller::{Failure, MAX_THREADS, Poller, Settings, Sink, State, Target, When};

const ENGINES: usize = 1000;
const TIME: Duration = Duration::from_secs(20);
const PAGES: [(&str, &str); 2] = [
    ("vllm", include_str!("../../core/corpus/vllm-0.32-loaded.prom")),
    ("llamacpp", include_str!("../../core/corpus/llamacpp-loaded.prom")),
];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, word, page] = &arguments[..] {
        if word == "--serve" {
            return serve(page);
        }
    }
    println!("{ENGINES} engines, one poll a second each, {} s; CPU in % of one core", TIME.as_secs());
    println!(
        "{:8} {:12} {:>7} {:>6} {:>6} {:>9} {:>8}",
        "page", "by", "polls", "user", "system", "RSS MiB", "threads"
    );
    for (name, page) in PAGES {
        let (mut child, addresses) = engines(name)?;
        let result = poller(name, &addresses).and_then(|()| sockets(name, page.len(), &addresses));
        child.kill()?;
        child.wait()?;
        result?;
    }
    Ok(())
}

// The engines.

/// Starts the child and gives the addresses that it tells.
fn engines(page: &str) -> Outcome<(Child, Vec<SocketAddr>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args(["--serve", page]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let addresses = BufReader::new(output).lines().take(ENGINES).map(|line| Ok(line?.parse()?)).collect();
    match addresses {
        Ok(addresses) => Ok((child, addresses)),
        Err(error) => {
            child.kill()?;
            Err(error)
        }
    }
}

/// Answers every request with the page, until the parent is gone.
fn serve(page: &str) -> Outcome<()> {
    let (_, page) = PAGES.iter().find(|(name, _)| *name == page).ok_or("no such page")?;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let watch = |fd: &dyn AsFd, number: usize| {
        epoll::add(&epoll, fd.as_fd(), epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)
    };
    let listeners: Vec<_> =
        (0..ENGINES).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    for (number, listener) in listeners.iter().enumerate() {
        watch(listener, number)?;
        println!("{}", listener.local_addr()?);
    }
    let parent = std::io::stdin();
    watch(&parent, usize::MAX)?;
    let mut streams = HashMap::new();
    let mut events = [epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(0) }; 64];
    let mut request = [0; 4096];
    loop {
        let ready = epoll::wait(&epoll, &mut events[..], None)?;
        let numbers: Vec<_> = events[..ready].iter().map(|event| event.data.u64() as usize).collect();
        for number in numbers {
            if number == usize::MAX {
                return Ok(());
            } else if let Some(listener) = listeners.get(number) {
                let (stream, _) = listener.accept()?;
                let number = ENGINES + streams.len();
                watch(&stream, number)?;
                streams.insert(number, stream);
            } else if let Some(stream) = streams.get_mut(&number) {
                if matches!(stream.read(&mut request), Ok(0) | Err(_)) {
                    epoll::delete(&epoll, &*stream)?;
                } else {
                    stream.write_all(answer.as_bytes())?;
                }
            }
        }
    }
}

// The poller.

#[derive(Default)]
struct Counter {
    polls: AtomicU64,
    faults: AtomicU64,
}

impl Sink for Counter {
    fn hold(&self) -> bool {
        true
    }

    fn publish(&self, _: &Target, outcome: &Result<Reading, Fault>, _: When) {
        let count = if outcome.is_ok() { &self.polls } else { &self.faults };
        count.fetch_add(1, Relaxed);
    }

    fn changed(&self, _: &Target, _: Option<State>, _: State, _: Option<&Failure>) {}
}

fn poller(page: &str, addresses: &[SocketAddr]) -> Outcome<()> {
    let before = Usage::now()?;
    let settings = Arc::new(Settings::default());
    let counter = Arc::new(Counter::default());
    let poller = Poller::start(Arc::<Counter>::clone(&counter), MAX_THREADS)?;
    let targets = addresses.iter().enumerate().map(|(number, &address)| Target {
        key: number as u64,
        slots: vec![number as u32],
        address,
        host: address.to_string(),
        settings: Arc::clone(&settings),
    });
    poller.set_targets(targets.collect());
    std::thread::sleep(Duration::from_secs(3)); // the connections are made
    let (polls, start) = (counter.polls.load(Relaxed), Usage::now()?);
    std::thread::sleep(TIME);
    let (polls, end) = (counter.polls.load(Relaxed) - polls, Usage::now()?);
    report(page, "poller", polls, &start, &end, end.memory - before.memory);
    if counter.faults.load(Relaxed) > 0 {
        println!("faults: {}", counter.faults.load(Relaxed));
    }
    poller.join();
    Ok(())
}

// The bare sockets.

/// The requests of the poller, by as many threads, each of which has its part of the connections.
fn sockets(page: &str, length: usize, addresses: &[SocketAddr]) -> Outcome<()> {
    let threads = MAX_THREADS - 1;
    let (ready, polls, before) = (Barrier::new(threads + 1), AtomicU64::new(0), Usage::now()?);
    let part = addresses.len().div_ceil(threads);
    std::thread::scope(|scope| {
        for addresses in addresses.chunks(part) {
            let (ready, polls) = (&ready, &polls);
            scope.spawn(move || ask(addresses, length, ready, polls));
        }
        ready.wait();
        let start = Usage::now()?;
        std::thread::sleep(TIME);
        let (polls, end) = (polls.load(Relaxed), Usage::now()?);
        report(page, "bare sockets", polls, &start, &end, end.memory - before.memory);
        Ok(())
    })
}

fn ask(addresses: &[SocketAddr], length: usize, ready: &Barrier, polls: &AtomicU64) -> std::io::Result<()> {
    let streams = addresses.iter().map(TcpStream::connect).collect::<Result<Vec<_>, _>>();
    ready.wait();
    let (mut streams, start, mut buffer) = (streams?, Instant::now(), vec![0; 64 * 1024]);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n".len() + length.to_string().len();
    let pause = Duration::from_secs(1) / streams.len() as u32;
    for turn in 0.. {
        let due = pause * turn;
        if due > TIME {
            return Ok(());
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let index = turn as usize % streams.len();
        let stream = &mut streams[index];
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:10000\r\naccept: */*\r\n\r\n")?;
        let mut left = head + length;
        while left > 0 {
            left -= stream.read(&mut buffer)?;
        }
        polls.fetch_add(1, Relaxed);
    }
    Ok(())
}

// What it costs.

/// What this process has used.
struct Usage {
    at: Instant,
    /// s.
    user: f64,
    system: f64,
    /// MiB that are resident.
    memory: f64,
    threads: usize,
}

impl Usage {
    fn now() -> Outcome<Usage> {
        let (stat, status) =
            (std::fs::read_to_string("/proc/self/stat")?, std::fs::read_to_string("/proc/self/status")?);
        // After the name, which may have blanks: state is field 3 of proc(5), utime 14 and stime 15, in ticks of
        // 10 ms on every Linux of today.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |number: usize| {
            Outcome::Ok(fields.get(number - 3).ok_or("no such field")?.parse::<f64>()? / 100.0)
        };
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
            Outcome::Ok(line.split_whitespace().next().unwrap_or_default().parse::<f64>()?)
        };
        Ok(Usage {
            at: Instant::now(),
            user: field(14)?,
            system: field(15)?,
            memory: line("VmRSS:")? / 1024.0,
            threads: line("Threads:")? as usize,
        })
    }
}

fn report(page: &str, by: &str, polls: u64, start: &Usage, end: &Usage, memory: f64) {
    let time = (end.at - start.at).as_secs_f64();
    let percent = |seconds: f64| 100.0 * seconds / time;
    let (user, system) = (percent(end.user - start.user), percent(end.system - start.system));
    println!("{page:8} {by:12} {polls:7} {user:6.2} {system:6.2} {memory:9.1} {:8}", end.threads - 1);
}

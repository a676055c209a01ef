//! What goes on while a test does something else.

use crate::client::{Connection, Failure};
use crate::engines::{COMPLETIONS, completion};
use crate::nginx::Nginx;
use crate::status::Status;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Threads that do the same over and over. Dropping it ends them.
pub struct Meanwhile<T> {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<T>>>,
}

impl<T: Send + 'static> Meanwhile<T> {
    /// Starts `n` threads, each of which does `f` again and again and keeps what it gives.
    pub fn start(n: usize, f: impl Fn() -> T + Clone + Send + 'static) -> Meanwhile<T> {
        let over = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (f, over) = (f.clone(), Arc::clone(&over));
            thread::spawn(move || {
                let mut kept = Vec::new();
                while !over.load(Relaxed) {
                    kept.push(f());
                }
                kept
            })
        };
        let threads = (0..n).map(spawn).collect();
        Meanwhile { over, threads }
    }

    /// Ends them when each has done what it is at, and gives all that they kept.
    pub fn end(mut self) -> Vec<T> {
        self.over.store(true, Relaxed);
        let threads = self.threads.drain(..);
        threads.flat_map(|thread| thread.join().expect("a thread that does not panic")).collect()
    }
}

impl<T, E: Debug> Meanwhile<Result<T, E>> {
    /// Ends them, fails the test if anything that they did has failed, and says how much it was.
    pub fn end_well(self) -> usize
    where
        Result<T, E>: Send + 'static,
    {
        let done = self.end();
        let failed: Vec<_> = done.iter().filter_map(|done| done.as_ref().err()).collect();
        assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), done.len());
        done.len()
    }
}

/// Looks how old the metrics of these servers of `llm` are, in ms; all have answered already.
pub fn ages(nginx: &Nginx, servers: impl IntoIterator<Item = String>) -> Meanwhile<f64> {
    let to = nginx.address();
    let servers: Vec<_> = servers.into_iter().collect();
    Meanwhile::start(1, move || {
        thread::sleep(Duration::from_millis(20));
        let answer = Connection::open(to).and_then(|mut to| to.get("/tblb?format=json"));
        let status = Status::parse(&answer.expect("the status").body);
        let age = |server| status.peer("llm", server).number("age_ms").expect("metrics");
        servers.iter().map(|server| age(server)).fold(0.0, f64::max)
    })
}

impl Meanwhile<f64> {
    /// Ends looking at ages, and fails the test if metrics that are asked for at this interval were ever as old as two.
    pub fn end_within_two(self, interval: Duration) {
        let oldest = self.end().into_iter().fold(f64::NAN, f64::max);
        let two = 2.0 * interval.as_secs_f64() * 1000.0;
        println!("the oldest metrics of servers that are well: {oldest:.0} of {two} ms");
        assert!(oldest < two, "metrics of {oldest} ms, asked for each {interval:?}");
    }
}

impl<T> Drop for Meanwhile<T> {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}

/// So many clients that ask for streams of so many tokens, each stream on a connection of its own.
pub fn load(to: SocketAddr, clients: usize, tokens: u32) -> Meanwhile<Result<(), Failure>> {
    Meanwhile::start(clients, move || {
        let answer = Connection::open(to)?.send("POST", COMPLETIONS, &[], &completion(tokens))?;
        let whole = answer.status == 200 && answer.body.ends_with("data: [DONE]\n\n");
        whole.then_some(()).ok_or_else(|| format!("{}: {}", answer.status, answer.body))
    })
}

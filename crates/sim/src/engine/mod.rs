//! A mock engine: the model of [`crate::node`] in real time behind OpenAI's streaming API and an engine's `/metrics`.
//!
//! [`Engine::start`] serves on a thread of its own, so that synchronous tests can use it in process; the command
//! `tblb-sim engine` is the same thing as a process.
//!
//! `/v1/completions`, `/v1/chat/completions`, `/v1/models`, `/health` and `/metrics` behave as a real engine's do:
//! the response header is sent before the first token, tokens are merged into one chunk when the client or the machine
//! is slow, and a client that goes away aborts its request. `POST /fault` switches [`Fault`]s; `GET /fault` lists them.

mod answer;
mod clock;
mod fault;
mod live;
mod metrics;
mod page;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::node::NodeSpec;
pub use fault::{FAULTS, Fault, Target};
use live::Live;
pub use metrics::{METRICS_FORMS, MetricsForm};
pub use tls::Tls;

/// Connections that may wait to be accepted: a burst of hundreds of streams must not be refused.
const BACKLOG: u32 = 1024;

/// What a mock engine is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node that the model imitates.
    pub node: NodeSpec,
    /// The name of the model it serves.
    pub model: String,
    /// Whose `/metrics` page it shows.
    pub metrics: MetricsForm,
    /// Fixes the noise of the step times and the lengths that the model draws.
    pub seed: u64,
    /// Serves https instead of http.
    pub tls: Option<Tls>,
}

impl Options {
    /// An engine of this node type with vLLM's metrics, serving the model `mock` over http.
    pub fn new(node: NodeSpec) -> Self {
        Self { node, model: "mock".to_owned(), metrics: MetricsForm::Vllm, seed: 1, tls: None }
    }
}

/// What was seen at an engine since it started, and what is there now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Completions that were asked for, whatever became of them.
    pub requests: u64,
    /// Completions that were answered with an error.
    pub refused: u64,
    /// Requests that got all their tokens.
    pub finished: u64,
    /// Requests whose client went away.
    pub aborted: u64,
    /// Times that a sequence lost its KV blocks.
    pub preemptions: u64,
    /// GETs of `/metrics`.
    pub scrapes: u64,
    /// GETs of `/metrics` that are under way: until all of the answer is with the system, or the client has gone.
    pub open_scrapes: usize,
    /// The most of these that there were at a time.
    pub most_scrapes: usize,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that are open.
    pub connections: usize,
    /// Open connections on which `/metrics` was asked for.
    pub scrape_connections: usize,
    /// Requests that are under way: on their way to the queue, in it or in the batch.
    pub open_requests: usize,
    /// Requests in the batch.
    pub running: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// The part of the KV blocks that is taken, 0 to 1.
    pub kv_use: f64,
}

/// How far an engine's life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It serves.
    Serving,
    /// It was stopped by its owner.
    Stopped,
    /// [`Fault::Die`] ended it.
    Died,
}

/// A mock engine that serves. Dropping it stops it.
pub struct Engine {
    addr: SocketAddr,
    scheme: &'static str,
    live: Arc<Live>,
    stop: watch::Sender<bool>,
    life: watch::Receiver<Life>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Engine {
    /// Starts an engine that listens at `addr` (port 0: a free one).
    ///
    /// # Errors
    /// The address cannot be bound, the certificate cannot be used, or no thread can be made.
    pub fn start(addr: SocketAddr, options: &Options) -> io::Result<Self> {
        let tls = options.tls.as_ref().map(Tls::acceptor).transpose()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = listen(&runtime, addr)?;
        let addr = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let live = Arc::new(Live::new(options));
        let (stop, stopped) = watch::channel(false);
        let (ended, life) = watch::channel(Life::Serving);
        let serving = Arc::clone(&live);
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let life = runtime.block_on(live_until(serving, listener, tls, stopped));
            // Closes every connection before anybody hears of the end.
            drop(runtime);
            ended.send_replace(life);
        })?;
        Ok(Self { addr, scheme, live, stop, life, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Switches a fault on in the place of the one with the same target; [`Fault::None`] switches all off.
    pub fn set_fault(&self, fault: Fault) {
        self.live.set_fault(fault);
    }

    /// What was seen and what is there now.
    pub fn stats(&self) -> Stats {
        self.live.stats()
    }

    /// How far its life is.
    pub fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Waits until it no longer serves.
    pub async fn ended(&self) -> Life {
        // A thread that is gone without a word has ended too.
        self.life.clone().wait_for(|life| *life != Life::Serving).await.map_or(Life::Died, |life| *life)
    }

    /// Stops it: the listener and all connections are closed when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(runtime: &Runtime, addr: SocketAddr) -> io::Result<TcpListener> {
    let _guard = runtime.enter();
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A test that restarts an engine at the same address must not wait for TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn live_until(
    live: Arc<Live>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<bool>,
) -> Life {
    let mut faults = live.faults.subscribe();
    tokio::select! {
        () = server::serve(listener, tls, Arc::clone(&live)) => Life::Stopped,
        () = live.drive() => Life::Stopped,
        _ = stopped.wait_for(|stopped| *stopped) => Life::Stopped,
        _ = faults.wait_for(|faults| faults.process == Fault::Die) => Life::Died,
    }
}

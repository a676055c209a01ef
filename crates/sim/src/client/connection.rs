//! Connections to the server, kept for further requests.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use super::{BadOptions, Endpoint, Job, Options};

pub(super) type Connection = SendRequest<Full<Bytes>>;

/// The text of one token of a prompt: four bytes.
const PROMPT_TOKEN: &str = "abc ";

/// Where requests go, and what is the same in all of them.
pub(super) struct Target {
    /// Host and port to connect to, and the Host header.
    authority: String,
    path: String,
    endpoint: Endpoint,
    model: String,
    upstream_header: String,
    pub timeout: Duration,
    keepalive: bool,
    idle: Mutex<Vec<Connection>>,
}

impl Target {
    pub fn new(options: &Options) -> Result<Self, BadOptions> {
        let bad = |why: &str| BadOptions(format!("the URL \"{}\" {why}", options.base_url));
        let uri: Uri = options.base_url.parse().map_err(|error| bad(&format!("cannot be read: {error}")))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("must begin with http://"));
        }
        let host = uri.host().ok_or_else(|| bad("has no host"))?;
        let endpoint = match options.endpoint {
            Endpoint::Completions => "/v1/completions",
            Endpoint::Chat => "/v1/chat/completions",
        };
        Ok(Self {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)),
            path: format!("{}{endpoint}", uri.path().trim_end_matches('/')),
            endpoint: options.endpoint,
            model: options.model.clone(),
            upstream_header: options.upstream_header.clone(),
            timeout: options.timeout,
            keepalive: options.keepalive,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The request of this job.
    pub fn request(&self, job: Job) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let prompt = PROMPT_TOKEN.repeat(job.length.input as usize);
        let mut body = json!({
            "model": self.model,
            "max_tokens": job.length.output,
            "ignore_eos": true,
            "temperature": 0.0,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        match self.endpoint {
            Endpoint::Completions => body["prompt"] = prompt.into(),
            Endpoint::Chat => body["messages"] = json!([{"role": "user", "content": prompt}]),
        }
        Request::post(&self.path)
            .header("Host", &self.authority)
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
    }

    /// The server that answered: of several that were tried, the last.
    pub fn upstream(&self, headers: &HeaderMap) -> Option<String> {
        let tried = headers.get(&self.upstream_header)?.to_str().ok()?;
        tried.rsplit([',', ' ']).next().map(str::to_owned)
    }

    /// A connection that is open and idle, or a new one.
    pub async fn connect(&self) -> io::Result<Connection> {
        while let Some(mut idle) = self.pop_idle() {
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends when its sender is dropped; its errors come out of the exchange.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn pop_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection whose answer was read to its end, unless none is to be kept.
    pub fn keep(&self, connection: Connection) {
        if !self.keepalive {
            return;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

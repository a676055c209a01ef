//! Connections and routes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Endpoint, Writer};
use super::fault::{FAULTS, Fault};
use super::live::{Live, Ticket};
use super::request::{self, Ask};
use super::{Stats, page};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The largest request body; base64 images are some MB.
const MAX_BODY: usize = 64 << 20;

/// Accepts connections for ever.
pub(super) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, live: Arc<Live>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it small chunks wait for acknowledgements; a socket that refuses is gone already.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&live)));
                }
                // Out of descriptors, most likely: others will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, tls: Option<TlsAcceptor>, live: Arc<Live>) {
    let connection = Connection::new(live);
    match tls {
        None => connection.serve(stream).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                connection.serve(stream).await;
            }
        }
    }
}

/// A client's connection, counted while it is open.
struct Connection {
    live: Arc<Live>,
    scraping: AtomicBool,
}

impl Connection {
    fn new(live: Arc<Live>) -> Self {
        live.count(|stats| {
            stats.accepted += 1;
            stats.connections += 1;
        });
        Self { live, scraping: AtomicBool::new(false) }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| async { Ok::<_, io::Error>(self.answer(request).await) });
        // An error is a client that went away or a fault that broke the answer off; both are counted elsewhere.
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if path != "/fault" {
            // Only the engine's own end closes the channel, and then nobody waits for an answer.
            let _ = self.live.faults.subscribe().wait_for(|faults| !faults.frozen()).await;
        }
        match (request.method(), path.as_str()) {
            (&Method::GET, "/metrics") => {
                let first = !self.scraping.swap(true, Ordering::Relaxed);
                self.live.count(|stats| {
                    stats.scrapes += 1;
                    stats.scrape_connections += usize::from(first);
                });
                let scrape = Scrape::begin(&self.live);
                page::metrics(&self.live)
                    .await
                    .map(|body| Scraped { body, _under_way: scrape }.boxed_unsync())
            }
            (&Method::GET, "/health") => text(StatusCode::OK, String::new()),
            (&Method::GET, "/v1/models") => {
                json_answer(StatusCode::OK, &answer::models(&self.live.model, self.live.max_tokens()))
            }
            (&Method::POST, "/v1/completions") => self.complete(Endpoint::Completions, request).await,
            (&Method::POST, "/v1/chat/completions") => self.complete(Endpoint::Chat, request).await,
            (&Method::GET, "/fault") => json_answer(StatusCode::OK, &faults(&self.live)),
            (&Method::POST, "/fault") => self.set_fault(request).await,
            _ => json_answer(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
        }
    }

    async fn complete(&self, endpoint: Endpoint, request: Request<Incoming>) -> Response<Body> {
        self.live.count(|stats| stats.requests += 1);
        let answer = match read(request).await {
            Ok(body) => self.generate(endpoint, &body).await,
            Err(refused) => Err(refused),
        };
        answer.unwrap_or_else(|refused| {
            self.live.count(|stats| stats.refused += 1);
            refused.answer()
        })
    }

    async fn generate(&self, endpoint: Endpoint, body: &[u8]) -> Result<Response<Body>, Refused> {
        let fault = self
            .live
            .faults
            .subscribe()
            .wait_for(|faults| !faults.hangs_inference())
            .await
            .map_or(Fault::None, |faults| faults.inference);
        if let Fault::InferenceStatus { status } = fault {
            return Err(Refused::new(status, "InternalServerError", "refused by a fault"));
        }
        let parse = if endpoint == Endpoint::Chat { request::chat } else { request::completion };
        let ask = parse(body).map_err(|error| Refused::new(400, "BadRequestError", &error))?;
        self.check_model(&ask)?;
        let ticket = self
            .live
            .submit(ask.prompt_tokens, ask.max_tokens, ask.ignore_eos)
            .map_err(|error| Refused::new(400, "BadRequestError", &error.to_string()))?;
        let writer = Writer::new(endpoint, ticket.id, &self.live.model, ask.stream, ask.include_usage);
        if ask.stream {
            let cut = if let Fault::CutInference { tokens } = fault { Some(tokens) } else { None };
            Ok(self.stream(ticket, writer, cut))
        } else {
            whole(ticket, &writer).await
        }
    }

    fn check_model(&self, ask: &Ask) -> Result<(), Refused> {
        match &ask.model {
            Some(model) if *model != self.live.model => {
                Err(Refused::new(404, "NotFoundError", &format!("The model `{model}` does not exist.")))
            }
            _ => Ok(()),
        }
    }

    fn stream(&self, ticket: Ticket, writer: Writer, cut: Option<u32>) -> Response<Body> {
        let body = answer::streamed(ticket, writer, cut).boxed_unsync();
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    async fn set_fault(&self, request: Request<Incoming>) -> Response<Body> {
        let body = match read(request).await {
            Ok(body) => body,
            Err(refused) => return refused.answer(),
        };
        match serde_json::from_slice(&body) {
            Ok(fault) => {
                self.live.set_fault(fault);
                json_answer(StatusCode::OK, &faults(&self.live))
            }
            Err(error) => Refused::new(400, "BadRequestError", &error.to_string()).answer(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let scraping = *self.scraping.get_mut();
        self.live.count(|stats: &mut Stats| {
            stats.connections -= 1;
            stats.scrape_connections -= usize::from(scraping);
        });
    }
}

/// A GET of `/metrics`, counted while it is under way.
struct Scrape(Arc<Live>);

impl Scrape {
    fn begin(live: &Arc<Live>) -> Self {
        live.count(|stats| {
            stats.open_scrapes += 1;
            stats.most_scrapes = stats.most_scrapes.max(stats.open_scrapes);
        });
        Self(Arc::clone(live))
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.0.count(|stats| stats.open_scrapes -= 1);
    }
}

/// The answer to a scrape, which is under way as long as there is one.
struct Scraped {
    body: Body,
    _under_way: Scrape,
}

impl hyper::body::Body for Scraped {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request that gets an error.
struct Refused {
    status: u16,
    body: Value,
}

impl Refused {
    fn new(status: u16, kind: &str, message: &str) -> Self {
        Self { status, body: answer::error(status, kind, message) }
    }

    fn answer(&self) -> Response<Body> {
        json_answer(
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            &self.body,
        )
    }
}

async fn read(request: Request<Incoming>) -> Result<Bytes, Refused> {
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(Refused::new(413, "BadRequestError", &error.to_string())),
    }
}

async fn whole(mut ticket: Ticket, writer: &Writer) -> Result<Response<Body>, Refused> {
    if !answer::finished(&mut ticket).await {
        return Err(Refused::new(500, "InternalServerError", "the engine ended"));
    }
    let mut response = text(StatusCode::OK, writer.whole(ticket.request, ticket.finish_reason));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn faults(live: &Live) -> Value {
    let active: Vec<Fault> = live.faults.borrow().active().collect();
    let known: Vec<&str> = FAULTS.iter().map(|(name, ..)| *name).collect();
    json!({"active": active, "known": known})
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = text(status, body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

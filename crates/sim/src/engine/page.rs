//! `GET /metrics`, as it should be and as faults make it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

use super::fault::Fault;
use super::live::Live;
use super::server::Body;

/// Bytes in a frame of an endless or huge body.
const FRAME: usize = 16 * 1024;

/// Bytes in a chunk of [`Fault::ChunkedMetrics`]: lines and values straddle chunks.
const CHUNK: usize = 7;

/// `vllm:num_requests_waiting 3.0` and the end of the line, as gzip has it.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\xcb\xc9\xc9\xb5\xca\x2b\xcd\x8d\x2f\x4a\x2d\x2c\x4d\x2d\x2e\x29\x8e\x2f\x4f\xcc\x2c\xc9\xcc\x4b\x57\x30\xd6\x33\xe0\x02\x00\xa2\xb0\xfc\xfe\x1e\x00\x00\x00";

/// Answers `GET /metrics`.
pub(super) async fn metrics(live: &Live) -> Response<Body> {
    // A fault that hangs may be switched off, or into another one.
    let fault = live
        .faults
        .subscribe()
        .wait_for(|faults| faults.metrics != Fault::HangMetrics)
        .await
        .map_or(Fault::None, |faults| faults.metrics);
    let page = if fault == Fault::FrozenMetrics { live.frozen_page() } else { live.metrics_page() };
    let length = page.len();
    let mut response = Response::new(body(fault, page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    match fault {
        Fault::MetricsStatus { status } => {
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Fault::RedirectMetrics { port } => {
            headers.insert(LOCATION, elsewhere(port));
            *response.status_mut() = StatusCode::FOUND;
        }
        Fault::CutMetrics | Fault::CutLineMetrics => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Fault::GzipMetrics => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Fault::HeaderMetrics { megabytes } => {
            let value = HeaderValue::from_bytes(&vec![b'x'; megabytes as usize * 1_000_000]);
            headers.insert(HeaderName::from_static("x-long"), value.unwrap_or(HeaderValue::from_static("")));
        }
        _ => {}
    }
    response
}

/// Where a redirect leads.
fn elsewhere(port: u16) -> HeaderValue {
    let url = (port > 0).then(|| HeaderValue::try_from(format!("http://127.0.0.1:{port}/metrics")));
    url.and_then(Result::ok).unwrap_or(HeaderValue::from_static("/elsewhere"))
}

fn body(fault: Fault, page: String) -> Body {
    let length = page.len();
    match fault {
        Fault::MetricsStatus { .. } => full("Internal Server Error"),
        Fault::RedirectMetrics { .. } | Fault::EmptyMetrics => full(""),
        Fault::MalformedMetrics => full("<html><body>{\"waiting\": 3}\nvllm:num_requests_waiting{ 3\n"),
        Fault::BinaryMetrics => full((0..4096u32).map(|at| (at * 167 % 256) as u8).collect::<Vec<_>>()),
        Fault::NanMetrics => full(with_values(&page, "NaN")),
        Fault::InfiniteMetrics => full(with_values(&page, "+Inf")),
        Fault::NegativeMetrics => full(with_values(&page, "-1")),
        Fault::OverflowMetrics => full(with_values(&page, "1e400")),
        Fault::ZeroMetrics => full(idle(&page)),
        Fault::DuplicateMetrics => {
            full(page.lines().map(|line| format!("{line}\n{line}\n")).collect::<String>())
        }
        Fault::OtherMetrics => full("# TYPE process_open_fds gauge\nprocess_open_fds 61\n"),
        Fault::GzipMetrics => full(GZIP),
        Fault::CutMetrics => cut_off(Bytes::from(page).slice(..length / 2)),
        Fault::CutLineMetrics => cut_off(Bytes::from(cut_line(&page))),
        Fault::ChunkedMetrics => {
            let page = Bytes::from(page);
            let piece = move |at| page.slice(at..length.min(at + CHUNK));
            streaming(stream::iter((0..length).step_by(CHUNK).map(piece)).map(Ok))
        }
        Fault::SlowMetrics { pause_ms } => {
            let bytes = Bytes::from(page);
            streaming(stream::unfold(bytes, move |mut bytes| async move {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                (!bytes.is_empty()).then(|| (Ok(bytes.split_to(1)), bytes))
            }))
        }
        Fault::HugeMetrics { megabytes, page_first } => {
            let others = stream::iter(others().take(megabytes as usize * 1_000_000 / FRAME));
            let page = stream::once(async move { Bytes::from(page) });
            if page_first {
                streaming(page.chain(others).map(Ok))
            } else {
                streaming(others.chain(page).map(Ok))
            }
        }
        Fault::EndlessMetrics => streaming(stream::iter(others()).map(Ok)),
        Fault::LongLineMetrics { kilobytes } => {
            let label = "x".repeat(kilobytes as usize * 1000);
            full(format!("python_info{{version=\"{label}\"}} 1.0\n{page}"))
        }
        _ => full(page),
    }
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn streaming(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(stream.map(|bytes| bytes.map(Frame::data))).boxed_unsync()
}

/// The page with this in the place of every value.
fn with_values(page: &str, value: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => format!("{series} {value}\n"),
        _ => format!("{line}\n"),
    };
    page.lines().map(line).collect()
}

/// The page with 0 in the place of every value, but for those that say whether the engine sleeps.
fn idle(page: &str) -> String {
    let line = |line: &str| match line.contains("sleep_state") {
        true => format!("{line}\n"),
        false => with_values(line, "0"),
    };
    page.lines().map(line).collect()
}

/// A body that breaks off after these bytes.
fn cut_off(begin: Bytes) -> Body {
    let cut = async {
        // hyper sends what it has when the body pauses, and throws it away when the body fails.
        tokio::task::yield_now().await;
        Err(io::Error::other("cut by a fault"))
    };
    streaming(stream::iter([Ok(begin)]).chain(stream::once(cut)))
}

/// The page up to its first series, of which the last byte of the value is left out.
fn cut_line(page: &str) -> String {
    let comments = page.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    let (before, rest) = page.split_at(comments);
    let series = rest.lines().next().unwrap_or_default();
    format!("{before}{}", series.split_at(series.len().saturating_sub(1)).0)
}

/// Frames of series that nobody asks for, without end.
fn others() -> impl Iterator<Item = Bytes> {
    let line = "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"2xx\"} 1.0\n";
    let mut frame = line.repeat(FRAME / line.len());
    // Comments are skipped by every reader; this one brings the frame to its size.
    let rest = FRAME - frame.len();
    frame.push_str(&format!("{:#<width$}\n", "", width = rest.saturating_sub(1)));
    std::iter::repeat(Bytes::from(frame))
}

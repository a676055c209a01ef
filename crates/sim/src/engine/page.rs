//! `GET /metrics`, as it should be and as faults make it.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

use super::fault::{Fault, SLOW_BYTE};
use super::live::Live;
use super::server::Body;

/// Bytes in a frame of an endless or huge body.
const FRAME: usize = 16 * 1024;

/// Answers `GET /metrics`.
pub(super) async fn metrics(live: &Live) -> Response<Body> {
    // A fault that hangs may be switched off, or into another one.
    let fault = live
        .faults
        .subscribe()
        .wait_for(|faults| faults.metrics != Fault::HangMetrics)
        .await
        .map_or(Fault::None, |faults| faults.metrics);
    let page = live.metrics_page();
    let length = page.len();
    let mut response = Response::new(body(fault, page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    match fault {
        Fault::MetricsStatus { status } => {
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Fault::RedirectMetrics => {
            headers.insert(LOCATION, HeaderValue::from_static("/elsewhere"));
            *response.status_mut() = StatusCode::FOUND;
        }
        Fault::CutMetrics => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        _ => {}
    }
    response
}

fn body(fault: Fault, page: String) -> Body {
    let length = page.len();
    match fault {
        Fault::MetricsStatus { .. } => full("Internal Server Error"),
        Fault::RedirectMetrics | Fault::EmptyMetrics => full(""),
        Fault::MalformedMetrics => full("<html><body>{\"waiting\": 3}\nvllm:num_requests_waiting{ 3\n"),
        Fault::BinaryMetrics => full((0..4096u32).map(|at| (at * 167 % 256) as u8).collect::<Vec<_>>()),
        Fault::NanMetrics => full(nan(&page)),
        Fault::CutMetrics => {
            let half = Bytes::from(page).slice(..length / 2);
            let cut = async {
                // hyper sends what it has when the body pauses, and throws it away when the body fails.
                tokio::task::yield_now().await;
                Err(io::Error::other("cut by a fault"))
            };
            streaming(stream::iter([Ok(half)]).chain(stream::once(cut)))
        }
        Fault::SlowMetrics => {
            let bytes = Bytes::from(page);
            streaming(stream::unfold(bytes, |mut bytes| async move {
                tokio::time::sleep(SLOW_BYTE).await;
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

/// The page with NaN in the place of every value.
fn nan(page: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => format!("{series} NaN\n"),
        _ => format!("{line}\n"),
    };
    page.lines().map(line).collect()
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

//! The status as Prometheus text.

use super::{Peer, Status};
use std::fmt::Write;

/// A family of samples: name after `nginx_tblb_`, type, help, and the value of a peer, None where unknown.
type Family = (&'static str, &'static str, &'static str, fn(&Peer) -> Option<f64>);

const FAMILIES: &[Family] = &[
    ("waiting", "gauge", "Requests queued in the engine.", |p| p.waiting),
    ("running", "gauge", "Requests being executed by the engine.", |p| p.running),
    ("cache_usage_ratio", "gauge", "KV-cache use of the engine, 0 to 1.", |p| p.cache),
    ("fresh", "gauge", "Whether the engine's metrics are fresh.", |p| Some(f64::from(p.state == "fresh"))),
    ("closed", "gauge", "Whether the engine says that it serves no requests.", |p| Some(f64::from(p.closed))),
    ("sample_age_seconds", "gauge", "Age of the last good metrics.", |p| p.age_ms.map(|ms| ms as f64 / 1e3)),
    ("in_flight", "gauge", "Requests of this nginx at the server.", |p| Some(p.in_flight as f64)),
    ("prefill_tokens", "gauge", "Prompt tokens of requests that have sent nothing yet.", |p| {
        Some(p.prefill as f64)
    }),
    ("suspect", "gauge", "Whether answers have stopped coming.", |p| Some(f64::from(p.suspect))),
    ("failing", "gauge", "Whether the last answers of the server failed.", |p| Some(f64::from(p.failing))),
    ("tpot_seconds", "gauge", "Learnt time per output token.", |p| p.tpot_ms.map(|ms| ms / 1e3)),
    ("score", "gauge", "The algorithm's score.", |p| p.score),
    ("picks_total", "counter", "Times that the server was picked.", |p| Some(p.picks as f64)),
    ("completions_total", "counter", "Responses that came whole.", |p| Some(p.completions as f64)),
    ("failures_total", "counter", "Tries that failed.", |p| Some(p.failures as f64)),
    ("aborts_total", "counter", "Requests that the client gave up.", |p| Some(p.aborts as f64)),
    ("polls_total", "counter", "Polls of the engine's metrics.", |p| Some(p.polls.count as f64)),
];

pub(super) fn render(status: &Status) -> String {
    let mut out = String::with_capacity(1 << 14);
    // Writing to a string cannot fail.
    let _ = families(&mut out, status)
        .and_then(|()| models(&mut out, status))
        .and_then(|()| faults(&mut out, status))
        .and_then(|()| ttft(&mut out, status));
    out
}

fn families(out: &mut String, status: &Status) -> std::fmt::Result {
    for (name, kind, help, value) in FAMILIES {
        head(out, name, kind, help)?;
        for (labels, peer) in peers(status) {
            if let Some(value) = value(peer) {
                writeln!(out, "nginx_tblb_{name}{{{labels}}} {value}")?;
            }
        }
    }
    head(out, "poller_up", "gauge", "Whether the engines of the upstream are being polled.")?;
    for upstream in &status.upstreams {
        let up = u8::from(upstream.poller.state == "running");
        writeln!(out, "nginx_tblb_poller_up{{upstream=\"{}\"}} {up}", escape(&upstream.name))?;
    }
    Ok(())
}

fn models(out: &mut String, status: &Status) -> std::fmt::Result {
    head(out, "model_utilization_ratio", "gauge", "How busy the engine is with a model, 0 to 1.")?;
    for (labels, peer) in peers(status) {
        for model in peer.models.iter().flatten() {
            if let Some(utilization) = model.utilization {
                let name = escape(&model.name);
                writeln!(
                    out,
                    "nginx_tblb_model_utilization_ratio{{{labels},model=\"{name}\"}} {utilization}"
                )?;
            }
        }
    }
    Ok(())
}

fn faults(out: &mut String, status: &Status) -> std::fmt::Result {
    head(out, "poll_faults_total", "counter", "Polls that failed, by kind.")?;
    for (labels, peer) in peers(status) {
        for (kind, count) in &peer.polls.faults {
            writeln!(out, "nginx_tblb_poll_faults_total{{{labels},kind=\"{kind}\"}} {count}")?;
        }
    }
    Ok(())
}

fn ttft(out: &mut String, status: &Status) -> std::fmt::Result {
    head(out, "ttft_seconds", "histogram", "Time to the first body byte.")?;
    for (labels, peer) in peers(status) {
        for (bound, count) in &peer.ttft_octaves {
            writeln!(out, "nginx_tblb_ttft_seconds_bucket{{{labels},le=\"{bound}\"}} {count}")?;
        }
        let count = peer.ttft_ms.count;
        writeln!(out, "nginx_tblb_ttft_seconds_bucket{{{labels},le=\"+Inf\"}} {count}")?;
        writeln!(out, "nginx_tblb_ttft_seconds_sum{{{labels}}} {}", peer.ttft_sum_s)?;
        writeln!(out, "nginx_tblb_ttft_seconds_count{{{labels}}} {count}")?;
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP nginx_tblb_{name} {help}\n# TYPE nginx_tblb_{name} {kind}")
}

/// All peers with their labels.
fn peers(status: &Status) -> impl Iterator<Item = (String, &Peer)> {
    status.upstreams.iter().flat_map(|upstream| {
        upstream.peers.iter().map(|peer| {
            let labels =
                format!("upstream=\"{}\",server=\"{}\"", escape(&upstream.name), escape(&peer.server.server));
            (labels, peer)
        })
    })
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

//! The status as Prometheus text.

use super::{Peer, Status};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

/// A family of samples: name after `nginx_tblb_`, type, help, and the value of a peer, None where unknown.
type Family = (&'static str, &'static str, &'static str, fn(&Peer) -> Option<f64>);

const FAMILIES: &[Family] = &[
    ("weight", "gauge", "The weight of the server.", |p| Some(p.server.weight as f64)),
    ("down", "gauge", "Whether the server is marked down, or out for its failures.", |p| {
        Some(f64::from(p.server.down))
    }),
    ("connections", "gauge", "Connections to the server, as nginx counts them.", |p| {
        Some(p.server.conns as f64)
    }),
    ("models", "gauge", "Models that the engine names.", |p| p.models_total.map(|n| n as f64)),
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

/// All servers, each with its labels.
type Peers<'a> = [(String, &'a Peer)];

pub(super) fn render(status: &Status) -> String {
    let upstreams = upstreams(status);
    let peers = peers(status, &upstreams);
    let mut out = String::with_capacity((1 << 13) * (1 + peers.len()));
    // Writing to a string cannot fail.
    let _ = info(&mut out, status, &upstreams)
        .and_then(|()| families(&mut out, &peers))
        .and_then(|()| models(&mut out, &peers))
        .and_then(|()| faults(&mut out, &peers))
        .and_then(|()| ttft(&mut out, &peers));
    out
}

/// What there is of the module and of each upstream.
fn info(out: &mut String, status: &Status, upstreams: &[String]) -> std::fmt::Result {
    head(out, "build_info", "gauge", "The version of the module, and that of the nginx it was built for.");
    let build = format!("version=\"{}\",nginx=\"{}\"", escape(status.version), escape(status.nginx));
    sample(out, "build_info", &build, "", 1.0)?;
    head(out, "config_info", "gauge", "What the directives of the upstream say.");
    let switch = |on| if on { "on" } else { "off" };
    for (labels, upstream) in upstreams.iter().zip(&status.upstreams) {
        let (algorithm, config) = (upstream.algorithm, &upstream.config);
        let (metrics, bypass) = (switch(config.interval_ms.is_some()), switch(config.bypass));
        let said = format!(
            ",algorithm=\"{algorithm}\",pick=\"{}\",metrics=\"{metrics}\",bypass=\"{bypass}\"",
            config.pick
        );
        sample(out, "config_info", labels, &said, 1.0)?;
    }
    head(out, "poller_up", "gauge", "Whether the engines of the upstream are being polled.");
    for (labels, upstream) in upstreams.iter().zip(&status.upstreams) {
        sample(out, "poller_up", labels, "", f64::from(upstream.poller.state == "running"))?;
    }
    head(out, "unmeasured_servers", "gauge", "Servers for which the shared zone has no room.");
    for (labels, upstream) in upstreams.iter().zip(&status.upstreams) {
        sample(out, "unmeasured_servers", labels, "", upstream.unmeasured as f64)?;
    }
    Ok(())
}

fn families(out: &mut String, peers: &Peers) -> std::fmt::Result {
    for (name, kind, help, value) in FAMILIES {
        head(out, name, kind, help);
        for (labels, peer) in peers {
            if let Some(value) = value(peer) {
                sample(out, name, labels, "", value)?;
            }
        }
    }
    Ok(())
}

fn models(out: &mut String, peers: &Peers) -> std::fmt::Result {
    head(out, "model_utilization_ratio", "gauge", "How busy the engine is with a model, 0 to 1.");
    for (labels, peer) in peers {
        for model in peer.models.iter().flatten() {
            if let Some(utilization) = model.utilization {
                let model = format!(",model=\"{}\"", escape(&model.name));
                sample(out, "model_utilization_ratio", labels, &model, utilization)?;
            }
        }
    }
    Ok(())
}

fn faults(out: &mut String, peers: &Peers) -> std::fmt::Result {
    head(out, "poll_faults_total", "counter", "Polls that failed, by kind.");
    for (labels, peer) in peers {
        for (kind, count) in &peer.polls.faults {
            sample(out, "poll_faults_total", labels, &format!(",kind=\"{kind}\""), *count as f64)?;
        }
    }
    Ok(())
}

fn ttft(out: &mut String, peers: &Peers) -> std::fmt::Result {
    head(out, "ttft_seconds", "histogram", "Time to the first body byte.");
    // The bounds are the same for all servers that have been measured.
    let measured = peers.iter().map(|(_, peer)| &peer.ttft_octaves).max_by_key(|octaves| octaves.len());
    let bounds: Vec<_> =
        measured.into_iter().flatten().map(|(bound, _)| format!(",le=\"{bound}\"")).collect();
    for (labels, peer) in peers {
        for (bound, (_, count)) in bounds.iter().zip(&peer.ttft_octaves) {
            sample(out, "ttft_seconds_bucket", labels, bound, *count as f64)?;
        }
        let count = peer.ttft_ms.count as f64;
        sample(out, "ttft_seconds_bucket", labels, ",le=\"+Inf\"", count)?;
        sample(out, "ttft_seconds_sum", labels, "", peer.ttft_sum_s)?;
        sample(out, "ttft_seconds_count", labels, "", count)?;
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    out.extend(["# HELP nginx_tblb_", name, " ", help, "\n# TYPE nginx_tblb_", name, " ", kind, "\n"]);
}

/// A sample: its labels, and more labels that begin with a comma.
fn sample(out: &mut String, name: &str, labels: &str, more: &str, value: f64) -> std::fmt::Result {
    out.extend(["nginx_tblb_", name, "{", labels, more, "} "]);
    // Whole numbers are most of all, and integers are written much faster; up to here a float holds them all.
    if value.fract() == 0.0 && value.abs() < 1e15 {
        writeln!(out, "{}", value as i64)
    } else {
        writeln!(out, "{value}")
    }
}

/// The labels of each upstream.
fn upstreams(status: &Status) -> Vec<String> {
    let names = status.upstreams.iter().map(|upstream| escape(&upstream.name));
    distinct(names.map(|name| format!("upstream=\"{name}\"")).collect(), "upstream_place")
}

/// The labels of each server. A server that stands in its upstream twice counts once for each place.
fn peers<'a>(status: &'a Status, upstreams: &[String]) -> Vec<(String, &'a Peer)> {
    let mut all = Vec::new();
    for (labels, upstream) in upstreams.iter().zip(&status.upstreams) {
        let names = upstream.peers.iter().map(|peer| escape(&peer.server.server));
        let servers = names.map(|name| format!("{labels},server=\"{name}\"")).collect();
        all.extend(distinct(servers, "place").into_iter().zip(&upstream.peers));
    }
    all
}

/// Labels of which no two are the same: the same ones get their place in the list, from 1 on, in a label of that name.
fn distinct(mut labels: Vec<String>, name: &str) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    labels.iter().for_each(|label| *counts.entry(label.clone()).or_default() += 1);
    for (place, label) in (1usize..).zip(&mut labels) {
        if counts.get(label) > Some(&1) {
            // Writing to a string cannot fail.
            let _ = write!(label, ",{name}=\"{place}\"");
        }
    }
    labels
}

fn escape(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        value.into()
    }
}

//! The status as a page to read.

use super::{Peer, Status, Upstream};
use std::borrow::Cow;
use std::fmt::Write;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" \
content=\"2\"><title>tblb</title>\n<style>body{font:15px system-ui,sans-serif;margin:2em;color:#222}\
table{border-collapse:collapse;margin:.5em 0 2em}th,td{padding:.3em .8em;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2),th:nth-child(3),td:nth-child(3),th:nth-child(4),td:nth-child(4){text-align:left}\
.stale{color:#b60}.unknown{color:#888}.fresh{color:#070}small{color:#666}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#444}}</style></head><body>\n";

const COLUMNS: [&str; 15] = [
    "server",
    "engine",
    "models",
    "metrics",
    "age, ms",
    "waiting",
    "running",
    "cache",
    "in flight",
    "score",
    "picks",
    "failures",
    "TTFT mean, ms",
    "TTFT P99, ms",
    "last poll",
];

pub(super) fn render(status: &Status) -> String {
    let mut out = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = status.upstreams.iter().try_for_each(|one| upstream(&mut out, one));
    let _ = writeln!(out, "<small>tblb {}</small></body></html>", status.version);
    out
}

fn upstream(out: &mut String, upstream: &Upstream) -> std::fmt::Result {
    let (name, poller) = (escape(&upstream.name), &upstream.poller);
    writeln!(out, "<h2>{name} <small>{}, polling {}</small></h2>", upstream.algorithm, poller.state)?;
    writeln!(out, "<table><tr>{}</tr>", COLUMNS.map(|column| format!("<th>{column}</th>")).concat())?;
    upstream.peers.iter().for_each(|one| peer(out, one));
    writeln!(out, "</table>")
}

/// What speaks against a peer.
fn mark(peer: &Peer) -> &'static str {
    match (peer.closed, peer.failing, peer.suspect) {
        (true, ..) => ", closed",
        (false, true, _) => ", failing",
        (false, false, true) => ", suspect",
        (false, false, false) => "",
    }
}

fn peer(out: &mut String, peer: &Peer) {
    let server = &peer.server;
    let marks =
        [(server.backup, " (backup)"), (server.down, " (down)")].map(|(is, mark)| if is { mark } else { "" });
    let cells = [
        (escape(&server.server) + &*marks.concat()).into_owned(),
        peer.engine.unwrap_or("–").into(),
        models(peer),
        format!("<span class=\"{0}\">{0}</span>{1}", peer.state, mark(peer)),
        number(peer.age_ms.map(|ms| ms as f64), 0),
        number(peer.waiting, 0),
        number(peer.running, 0),
        number(peer.cache, 3),
        peer.in_flight.to_string(),
        number(peer.score, 3),
        peer.picks.to_string(),
        peer.failures.to_string(),
        number(peer.ttft_ms.mean, 1),
        number(peer.ttft_ms.p99, 1),
        peer.polls.fault.map_or_else(|| number(peer.polls.took_ms, 1) + " ms", str::to_owned),
    ];
    out.push_str("<tr>");
    cells.iter().for_each(|cell| out.extend(["<td>", cell, "</td>"]));
    out.push_str("</tr>\n");
}

/// The models that are shown of those that it names, with how busy it is with each.
fn models(peer: &Peer) -> String {
    let models = peer.models.iter().flatten().map(|model| {
        let utilization = model.utilization.map_or(String::new(), |utilization| format!(" {utilization:.2}"));
        (escape(&model.name) + &*utilization).into_owned()
    });
    let mut models: Vec<_> = models.collect();
    let more = peer.models_total.unwrap_or(0).saturating_sub(models.len());
    if more > 0 {
        models.push(format!("<small>{more} more</small>"));
    }
    if models.is_empty() { "–".into() } else { models.join("<br>") }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
}

fn escape(text: &str) -> Cow<'_, str> {
    if text.contains(['&', '<', '>', '"']) {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").into()
    } else {
        text.into()
    }
}

//! The main rows of the module's status.

use serde::Deserialize;

/// One server of an upstream, as `tblb_status` shows it. A value that is not known is `None`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PeerRow {
    /// The server's address.
    pub server: String,
    /// The engine that was found there.
    pub engine: Option<String>,
    /// `fresh`, `stale` or `unknown`.
    pub state: String,
    /// Requests in the engine's queue.
    pub waiting: Option<f64>,
    /// Requests in its batch.
    pub running: Option<f64>,
    /// Its KV-cache use, 0 to 1.
    pub cache: Option<f64>,
    /// Requests that nginx has there now.
    pub in_flight: u64,
    /// Requests that nginx sent there.
    pub picks: u64,
    /// Its score; higher is better.
    pub score: Option<f64>,
}

#[derive(Deserialize)]
struct Status {
    upstreams: Vec<Upstream>,
}

#[derive(Deserialize)]
struct Upstream {
    peers: Vec<PeerRow>,
}

/// Reads the status JSON: the servers of all upstreams.
///
/// # Errors
/// It is no such JSON.
pub fn peers(json: &[u8]) -> serde_json::Result<Vec<PeerRow>> {
    let status: Status = serde_json::from_slice(json)?;
    Ok(status.upstreams.into_iter().flat_map(|upstream| upstream.peers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_unknown_values_stay_unknown() {
        let json = br#"{"version":"0.1.0","upstreams":[{"name":"llm","algorithm":"s1_enhanced","poller":{},"peers":[
            {"server":"127.0.0.1:1","engine":"vllm","state":"fresh","age_ms":12,"waiting":1,"running":4,"cache":0.25,
             "in_flight":5,"score":0.7,"picks":9,"failures":0,"ttft_ms":{"mean":1.5}},
            {"server":"127.0.0.1:2","engine":null,"state":"unknown","waiting":null,"running":null,"cache":null,
             "in_flight":0,"score":null,"picks":0}]}]}"#;
        let rows = peers(json).expect("a status");
        assert_eq!((rows[0].running, rows[0].cache, rows[0].picks), (Some(4.0), Some(0.25), 9));
        assert_eq!((rows[1].state.as_str(), rows[1].score), ("unknown", None));
        assert!(peers(b"{}").is_err());
    }
}

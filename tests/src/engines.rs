//! The mock engine of `tblb-sim` in this process.

pub use tblb_sim::engine::{Engine, Fault, MetricsForm, Options, Tls};
use tblb_sim::node::NodeSpec;

/// How many times as fast as a real engine: a token takes about a millisecond.
const SPEED: f64 = 10.0;

/// What an engine is like here: a fast node with vLLM's metrics.
pub fn options() -> Options {
    Options::new(NodeSpec::named("4gpu-tp").expect("a node type").at_speed(SPEED))
}

/// Starts an engine.
pub fn start(options: &Options) -> Engine {
    Engine::start("127.0.0.1:0".parse().expect("an address"), options).expect("an engine")
}

/// Starts `n` engines.
pub fn several(n: usize) -> Vec<Engine> {
    (0..n).map(|_| start(&options())).collect()
}

/// The name of an engine as a server.
pub fn name(engine: &Engine) -> String {
    engine.addr().to_string()
}

/// The names of engines as servers.
pub fn names(engines: &[Engine]) -> Vec<String> {
    engines.iter().map(name).collect()
}

/// The path of completions.
pub const COMPLETIONS: &str = "/v1/completions";

/// The body of a request for so many tokens, streamed.
pub fn completion(tokens: u32) -> String {
    serde_json::json!({"prompt": "hello", "max_tokens": tokens, "ignore_eos": true, "stream": true})
        .to_string()
}

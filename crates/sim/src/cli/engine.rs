//! `tblb-sim engine`: a mock engine as a process.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use tblb_sim::engine::{Engine, FAULTS, Life, METRICS_FORMS, MetricsForm, Options, Tls};
use tblb_sim::node::{NODE_TYPES, NodeSpec};

use super::{Ended, signals};

/// Serve a mock inference engine: OpenAI's streaming API on a model of continuous batching, in real time.
#[derive(clap::Args)]
#[command(after_long_help = after_help())]
pub struct Args {
    /// Where to listen; port 0 takes a free one. The real address is printed on one line
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The node type to imitate
    #[arg(long, value_name = "NAME", default_value = "1gpu", value_parser = presets())]
    preset: String,
    /// Whose /metrics page to show
    #[arg(long, value_name = "FORM", default_value = "vllm", value_parser = forms())]
    metrics: String,
    /// Run so many times as fast as the node type
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive)]
    speed: f64,
    /// Sequences in the batch at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_seqs: Option<u32>,
    /// KV-cache blocks of 16 tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    kv_blocks: Option<u32>,
    /// The name of the model that is served
    #[arg(long, value_name = "NAME", default_value = "mock")]
    model: String,
    /// Fixes the noise of the step times and the lengths that the model draws
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Serve https with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// End when standard input is closed, so that the engine cannot outlive the process that started it
    #[arg(long)]
    until_stdin_closes: bool,
}

fn presets() -> PossibleValuesParser {
    NODE_TYPES.iter().map(|spec| spec.name).into()
}

fn forms() -> PossibleValuesParser {
    METRICS_FORMS.iter().map(|(name, _)| *name).into()
}

/// Parses a number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("must be a number above 0".to_owned()),
    }
}

fn after_help() -> String {
    let mut text = "Node types:\n".to_owned();
    // Writing to a String cannot fail.
    for spec in NODE_TYPES {
        let _ = writeln!(text, "  {:18} {}", spec.name, spec.about);
    }
    text.push_str("\nFaults, switched by POST /fault with {\"fault\":\"NAME\"} (\"none\" ends all):\n");
    for (name, _, about) in FAULTS {
        let _ = writeln!(text, "  {name:18} {about}");
    }
    text
}

impl Args {
    fn options(&self) -> io::Result<Options> {
        let unknown = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("unknown {what}"));
        let mut node = NodeSpec::named(&self.preset).ok_or_else(|| unknown("preset"))?.at_speed(self.speed);
        node.max_seqs = self.max_seqs.unwrap_or(node.max_seqs);
        node.kv_blocks = self.kv_blocks.unwrap_or(node.kv_blocks);
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => {
                Some(Tls { certificates: std::fs::read(certificates)?, key: std::fs::read(key)? })
            }
            _ => None,
        };
        let metrics = MetricsForm::named(&self.metrics).ok_or_else(|| unknown("form of metrics"))?;
        Ok(Options { node, model: self.model.clone(), metrics, seed: self.seed, tls })
    }
}

/// Serves until a signal, the end of standard input (if asked to) or the fault `die`, which is a failure.
pub fn run(args: &Args) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signal = signals::ended()?;
        let engine = Engine::start(args.listen, &args.options()?)?;
        writeln!(io::stdout(), "listening on {}", engine.url())?;
        tokio::select! {
            () = signal => Ok(ExitCode::SUCCESS),
            () = stdin_closed(args.until_stdin_closes) => Ok(ExitCode::SUCCESS),
            life = engine.ended() => {
                Ok(if life == Life::Died { ExitCode::FAILURE } else { ExitCode::SUCCESS })
            }
        }
    })
}

/// Waits for the end of standard input, or for ever if nobody cares.
async fn stdin_closed(cared_for: bool) {
    let (closed, is_closed) = tokio::sync::oneshot::channel::<()>();
    if cared_for {
        // A plain thread: a read of standard input cannot be cancelled, and must not keep the process alive.
        std::thread::spawn(move || {
            let _ = io::stdin().lock().read_to_end(&mut Vec::new());
            drop(closed);
        });
        let _ = is_closed.await;
    } else {
        std::future::pending().await
    }
}

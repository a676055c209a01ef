//! What a node is like, and the three fitted node types.

/// Tokens in a KV block, vLLM's default.
pub const BLOCK_TOKENS: u32 = 16;

/// How long a step takes, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTime {
    /// Any step (a).
    pub base: f64,
    /// More for each prompt token that is computed (b).
    pub prefill: f64,
    /// More for each sequence that decodes (c).
    pub decode: f64,
    /// More for each token that lay in the KV cache when the step began (d).
    pub resident: f64,
    /// The number of decoding sequences (n0) above which each costs `crowded` more.
    pub crowd: u32,
    /// More for each decoding sequence above `crowd` (h).
    pub crowded: f64,
}

impl StepTime {
    /// The time of one step in ms: a + b·prefill tokens + c·decoding + d·resident tokens + h·max(0, decoding − n0).
    pub fn ms(&self, prefill_tokens: u32, decoding: usize, resident: u64) -> f64 {
        let decoding = decoding as f64;
        self.base
            + self.prefill * f64::from(prefill_tokens)
            + self.decode * decoding
            + self.resident * resident as f64
            + self.crowded * (decoding - f64::from(self.crowd)).max(0.0)
    }
}

/// How long a request is in the API server before the scheduler sees it, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Any request (o).
    pub base: f64,
    /// More for each request that runs when it comes (p).
    pub running: f64,
}

/// What a node is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeSpec {
    /// The node type's name on the command line.
    pub name: &'static str,
    /// One sentence on it for `--help`.
    pub about: &'static str,
    /// Step times.
    pub step: StepTime,
    /// Time before the queue.
    pub arrival: Arrival,
    /// Sequences in the batch at most.
    pub max_seqs: u32,
    /// Tokens computed in a step at most, decoding ones included (chunked prefill).
    pub prefill_budget: u32,
    /// KV blocks of [`BLOCK_TOKENS`] tokens.
    pub kv_blocks: u32,
    /// Standard deviation of the logarithm of a step's time.
    pub noise: f64,
}

/// vLLM's scheduler as the field test ran it; see [`NodeSpec`].
const MAX_SEQS: u32 = 256;
const PREFILL_BUDGET: u32 = 2048;
/// Steps of a real engine scatter by about 4 %.
const NOISE: f64 = 0.04;

/// The node types whose constants were fitted to the least_conn curves of a published field test (vLLM, ShareGPT V3,
/// closed loop; TTFT at 10 to 500 concurrent requests).
pub const NODE_TYPES: &[NodeSpec] = &[
    NodeSpec {
        name: "1gpu",
        about: "one GPU, the slower node of the heterogeneous pool",
        step: StepTime {
            base: 17.5,
            prefill: 0.096,
            decode: 0.060,
            resident: 0.00018,
            crowd: 35,
            crowded: 0.05,
        },
        arrival: Arrival { base: 12.0, running: 0.10 },
        max_seqs: MAX_SEQS,
        prefill_budget: PREFILL_BUDGET,
        kv_blocks: 4800,
        noise: NOISE,
    },
    NodeSpec {
        name: "4gpu-tp",
        about: "four GPUs with tensor parallelism, the faster node of the heterogeneous pool",
        step: StepTime {
            base: 9.2,
            prefill: 0.060,
            decode: 0.130,
            resident: 0.00006,
            crowd: 40,
            crowded: 0.06,
        },
        arrival: Arrival { base: 9.0, running: 0.14 },
        max_seqs: MAX_SEQS,
        prefill_budget: PREFILL_BUDGET,
        kv_blocks: 33000,
        noise: NOISE,
    },
    NodeSpec {
        name: "1gpu-homogeneous",
        about: "one GPU, one of the five equal nodes of the homogeneous pool",
        step: StepTime {
            base: 17.0,
            prefill: 0.105,
            decode: 0.120,
            resident: 0.00020,
            crowd: 35,
            crowded: 0.05,
        },
        arrival: Arrival { base: 14.0, running: 0.15 },
        max_seqs: MAX_SEQS,
        prefill_budget: PREFILL_BUDGET,
        kv_blocks: 4800,
        noise: NOISE,
    },
];

impl NodeSpec {
    /// The node type of this name in [`NODE_TYPES`].
    pub fn named(name: &str) -> Option<Self> {
        NODE_TYPES.iter().find(|spec| spec.name == name).copied()
    }

    /// The same node `speed` times as fast: all its times are divided. `speed` must be above 0.
    #[must_use]
    pub fn at_speed(mut self, speed: f64) -> Self {
        let (step, arrival) = (&mut self.step, &mut self.arrival);
        for time in [
            &mut step.base,
            &mut step.prefill,
            &mut step.decode,
            &mut step.resident,
            &mut step.crowded,
            &mut arrival.base,
            &mut arrival.running,
        ] {
            *time /= speed;
        }
        self
    }
}

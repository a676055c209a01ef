//! How long reading a page takes: `cargo run --release -p tblb-core --example scrape`.

use std::hint::black_box;
use std::time::Instant;
use tblb_core::engine::{Choice, Engine, Progress, Scrape};

/// As the poller does it: in pieces of 16 KiB, until there is enough.
fn read(choice: Choice, body: &[u8]) {
    let mut scrape = Scrape::new(choice);
    for chunk in body.chunks(16 * 1024) {
        if black_box(scrape.feed(chunk)) == Ok(Progress::Enough) {
            break;
        }
    }
    let _ = black_box(scrape.finish());
}

/// µs a page: the best of ten rounds, which is the least disturbed by other work.
fn measure(choice: Choice, body: &str) -> f64 {
    const TIMES: u32 = 1000;
    let round = || {
        let start = Instant::now();
        (0..TIMES).for_each(|_| read(choice, black_box(body.as_bytes())));
        start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
    };
    (0..10).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let vllm = include_str!("../corpus/vllm-0.32-loaded.prom");
    let llamacpp = include_str!("../corpus/llamacpp-loaded.prom");
    let auto = Choice::Auto { remembered: None };
    let remembered = Choice::Auto { remembered: Engine::named("vllm") };
    let whole = vllm.replace("vllm:kv_cache", "vllm:gpu_cache");
    for (what, choice, body) in [
        ("vLLM, first time", auto, vllm),
        ("vLLM, remembered", remembered, vllm),
        ("vLLM, old names: to the end", remembered, whole.as_str()),
        ("llama.cpp", auto, llamacpp),
    ] {
        println!("{what:30} {:6} bytes {:7.2} µs", body.len(), measure(choice, body));
    }
}

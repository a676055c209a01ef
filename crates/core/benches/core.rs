//! What a pick, a rescoring and the reading of a metrics page cost. Ratios within one run are what counts: least_conn
//! is the yardstick of a pick.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use tblb_core::algorithm;
use tblb_core::board::{Board, Outcome, Shape};
use tblb_core::config::Block;
use tblb_core::engine::{Choice, Progress, Scrape};
use tblb_core::load::Load;
use tblb_core::picker::{self, Candidate, Known, Pick, Standing};
use tblb_core::scores::{Freshness, Scores};

const SIZES: [usize; 4] = [8, 64, 256, 1024];

fn candidates(n: usize) -> Vec<Candidate> {
    let mut rng = fastrand::Rng::with_seed(1);
    let candidate = |_| Candidate {
        conns: rng.u64(0..50),
        weight: 1,
        effective_weight: 1,
        current_weight: 0,
        known: Known { score: Some(rng.f64()), fresh: true, standing: Standing::Ready, work: None },
    };
    (0..n).map(candidate).collect()
}

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for n in SIZES {
        let mut peers = candidates(n);
        let mut rng = fastrand::Rng::with_seed(2);
        group.bench_function(BenchmarkId::new("least_conn", n), |b| {
            b.iter(|| picker::least_conn(black_box(&mut peers), Standing::Ready))
        });
        for (name, _) in Pick::ALL {
            let Ok(how) = Block::parse(&format!("tblb s1 pick={name}")) else { continue };
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter(|| picker::pick(&how, 100, black_box(&mut peers), &mut rng));
            });
        }
    }
    group.finish();
}

fn rescoring(c: &mut Criterion) {
    let mut group = c.benchmark_group("rescore");
    for n in SIZES {
        let shape = Shape { upstreams: 1, slots: n, rows: 4 };
        let words: Vec<AtomicU64> = (0..shape.words().unwrap_or(0)).map(|_| AtomicU64::new(0)).collect();
        let Some(board) = Board::format(&words, shape) else { return };
        let mut rng = fastrand::Rng::with_seed(3);
        let slots: Vec<Option<u32>> =
            (1..=n as u64).map(|key| board.claim(key, 0, 0).map(|slot| slot as u32)).collect();
        for slot in slots.iter().flatten() {
            let (waiting, running, cache) = (Some(rng.f64()), Some(rng.f64()), Some(rng.f64()));
            let load = Load { waiting, running, cache, closed: false };
            board.publish(*slot as usize, &Outcome { at: 1, took: 1, result: Ok((0, load)) });
        }
        for algorithm in algorithm::ALL {
            let Ok(how) = Block::parse(&format!("tblb {}", algorithm.name)) else { continue };
            let mut scores = Scores::with_capacity(n);
            group.bench_function(BenchmarkId::new(algorithm.name, n), |b| {
                b.iter(|| {
                    scores.forget();
                    scores.refresh(&how, &board, 0, black_box(&slots), Freshness { now: 2, stale: 1000 });
                });
            });
        }
    }
    group.finish();
}

fn pages(c: &mut Criterion) {
    let mut group = c.benchmark_group("page");
    for (name, page) in [
        ("vllm 50 KB", &include_bytes!("../corpus/vllm-0.32-loaded.prom")[..]),
        ("llamacpp 3 KB", &include_bytes!("../corpus/llamacpp-loaded.prom")[..]),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut scrape = Scrape::new(Choice::Auto { remembered: None });
                for chunk in black_box(page).chunks(16 * 1024) {
                    if !matches!(scrape.feed(chunk), Ok(Progress::More)) {
                        break;
                    }
                }
                scrape.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, picks, rescoring, pages);
criterion_main!(benches);

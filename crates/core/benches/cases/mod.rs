//! What is measured, by time and by instructions: a pick, a rescoring, and the reading of a metrics page, of a request's body
//! and of an event of an answer.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use tblb_core::algorithm::{self, Rule};
use tblb_core::answer::Answer;
use tblb_core::balancer::{Group, Terms};
use tblb_core::board::{Board, InFlight, Outcome, Shape};
use tblb_core::config::Block;
use tblb_core::engine::{Choice, Progress, Scrape};
use tblb_core::load::Load;
use tblb_core::model::Scanner;
use tblb_core::picker::Numbers;

/// Nodes of a pool.
const SIZES: [usize; 4] = [8, 64, 256, 1024];

/// The ways to pick, each with a directive that picks so, and how many workers count. How a score came about does not
/// matter to a pick, and neither do other workers where their requests are not added up.
const PICKS: [(&str, &str, usize); 5] = [
    ("least_conn", "tblb least_conn", 1),
    ("least_work", "tblb least_work", 1),
    ("least_work_8", "tblb least_work", WORKERS),
    ("random", "tblb s1 pick=random", 1),
    ("best", "tblb s1 pick=best", 1),
];

/// The most workers that count.
const WORKERS: usize = 8;

const PAGES: [(&str, &[u8]); 2] = [
    ("vllm", include_bytes!("../../corpus/vllm-0.32-loaded.prom")),
    ("llamacpp", include_bytes!("../../corpus/llamacpp-loaded.prom")),
];

/// Bodies of requests, by where the model stands, how many bytes they have, and what they are full of.
const BODIES: [(&str, usize); 5] =
    [("small", 200), ("first", 200_000), ("last", 200_000), ("escaped", 200_000), ("numbers", 200_000)];

/// Events of answers.
const EVENTS: [(&str, &str); 3] = [
    (
        "chat",
        concat!(
            r#"data: {"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"m","choices":[{"index":0,"delta":{"content":" answer"},"logprobs":null,"finish_reason":null}]}"#,
            "\n\n"
        ),
    ),
    (
        "anthropic",
        concat!(
            "event: content_block_delta\n",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" answer"}}"#,
            "\n\n"
        ),
    ),
    (
        "ollama",
        concat!(
            r#"{"model":"m","created_at":"2026-01-01T00:00:00.000000000Z","response":" answer","done":false}"#,
            "\n"
        ),
    ),
];

/// As much of a page as the poller reads at once.
const CHUNK: usize = 16 * 1024;

/// The time of all that is measured, soon after the metrics.
const NOW_MS: u64 = 2;

/// Something that can be done again and again.
pub type Step = Box<dyn FnMut()>;

/// One thing that is measured.
pub struct Case {
    /// `pick`, `rescore`, `page`, `body` or `event`.
    pub group: &'static str,
    /// What is picked or scored by, or whose page it is.
    pub name: &'static str,
    /// Nodes, or bytes of the page, body or event.
    pub size: usize,
    /// Makes ready for it.
    pub step: fn(&Case) -> Step,
}

/// All that is measured.
pub fn all() -> Vec<Case> {
    let scored = algorithm::ALL.iter().filter(|algorithm| matches!(algorithm.rule, Rule::Score(_)));
    let picks = PICKS.map(|(name, ..)| ("pick", name, pick as fn(&Case) -> Step));
    let rescorings = scored.map(|algorithm| ("rescore", algorithm.name, rescore as fn(&Case) -> Step));
    let by_size = picks.into_iter().chain(rescorings);
    let cases = by_size.flat_map(|(group, name, step)| SIZES.map(|size| Case { group, name, size, step }));
    let pages = PAGES.map(|(name, page)| Case { group: "page", name, size: page.len(), step: read_page });
    let bodies = BODIES.map(|(name, size)| Case { group: "body", name, size, step: scan_body });
    let events =
        EVENTS.map(|(name, event)| Case { group: "event", name, size: event.len(), step: read_event });
    cases.chain(pages).chain(bodies).chain(events).collect()
}

/// What a request pays: what is known of each peer is brought up to date, the peers are offered, and one is picked.
fn pick(case: &Case) -> Step {
    let found = PICKS.iter().find(|(name, ..)| *name == case.name);
    let (directive, workers) = found.map_or(("", 1), |(_, directive, workers)| (*directive, *workers));
    let mut pool = Pool::new(directive, case.size, workers);
    let mut rng = fastrand::Rng::with_seed(1);
    let conns: Vec<_> = (0..case.size).map(|_| rng.u64(0..50)).collect();
    Box::new(move || {
        pool.refresh();
        pool.group.ask(None);
        for (place, &conns) in conns.iter().enumerate() {
            pool.group.offer(
                place,
                Numbers { conns, weight: 1, effective_weight: 1, current_weight: 0 },
                place,
            );
        }
        let terms =
            Terms { block: &pool.block, board: Some(&pool.board), prompt: black_box(100), now: NOW_MS };
        black_box(pool.group.pick(terms, &mut rng, |_, _| ()));
    })
}

/// What a worker pays when metrics have changed.
fn rescore(case: &Case) -> Step {
    let mut pool = Pool::new(&format!("tblb {}", case.name), case.size, 1);
    Box::new(move || {
        pool.group.forget();
        pool.refresh();
        black_box(pool.group.scores().get(0));
    })
}

/// What the poller pays for one answer, up to where it has enough.
fn read_page(case: &Case) -> Step {
    let page = PAGES.iter().find(|(name, _)| *name == case.name).map_or(&[][..], |(_, page)| page);
    Box::new(move || {
        let mut scrape = Scrape::new(Choice::Auto { remembered: None });
        for chunk in black_box(page).chunks(CHUNK) {
            if !matches!(scrape.feed(chunk), Ok(Progress::More)) {
                break;
            }
        }
        let _ = black_box(scrape.finish());
    })
}

/// What a request pays for its model, where models matter.
fn scan_body(case: &Case) -> Step {
    let body = body(case.name, case.size).into_bytes();
    Box::new(move || {
        let mut scanner = Scanner::new();
        for chunk in black_box(&body).chunks(CHUNK) {
            scanner.feed(chunk);
        }
        let _ = black_box(scanner.finish());
    })
}

/// A chat of about so many bytes.
fn body(name: &str, size: usize) -> String {
    let filled = |text: &str| text.repeat(size.saturating_sub(100) / text.len());
    let words = filled("Some words that are sent to a model, and a few more of them. ");
    let content = match name {
        "escaped" => format!("\"{}\"", filled("if x:\\n\\treturn \\\"y\\\"\\n")),
        "numbers" => format!("[{}0]", filled("1234, ")),
        _ => format!("\"{words}\""),
    };
    let (model, messages) = (
        "\"model\": \"qwen2.5-7b\"",
        format!("\"messages\": [{{\"role\": \"user\", \"content\": {content}}}]"),
    );
    let members = if matches!(name, "small" | "first") { [model, &messages] } else { [&messages, model] };
    format!("{{{}}}", members.join(", "))
}

/// Peers that all report, have taught how fast they are, and have requests of each worker.
struct Pool {
    block: Block,
    board: Board<'static>,
    group: Group<usize>,
}

impl Pool {
    #[expect(clippy::unwrap_used, reason = "the directives and sizes are those above")]
    fn new(directive: &str, size: usize, workers: usize) -> Self {
        let shape = Shape { upstreams: 1, slots: size, rows: WORKERS };
        let words: Vec<AtomicU64> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
        let board = Board::format(words.leak(), shape).unwrap();
        let rows: Vec<_> = board.rows().take(workers).collect();
        (1..).zip(&rows).for_each(|(pid, row)| row.begin(pid));
        let slots: Vec<_> = (1..=size as u64).map(|key| board.claim(key, 0, 0).map(|i| i as u32)).collect();
        let mut rng = fastrand::Rng::with_seed(3);
        for slot in slots.iter().flatten() {
            let (waiting, running) = (Some(f64::from(rng.u8(0..20))), Some(f64::from(rng.u8(..))));
            let load = Load { waiting, running, cache: Some(rng.f64()), ..Load::default() };
            board.publish(*slot as usize, &Outcome { at: 1, took: 1, result: Ok((0, load)) });
            let learned = board.slot(*slot as usize).unwrap().learned();
            learned.tpot().learn(rng.f64() * 5e4);
            learned.slope().learn(rng.f64() * 5e2);
            learned.prefill().learn(rng.f64() * 5e2);
            rows.iter().for_each(|row| row.enter(*slot as usize, InFlight::one(rng.u32(1..2000))));
        }
        let block = Block::parse(directive).unwrap();
        let mut group = Group::default();
        group.follow(slots);
        Pool { block, board, group }
    }

    fn refresh(&mut self) {
        self.group.refresh(&self.block, &self.board, 0, black_box(NOW_MS));
    }
}

/// What a worker pays for an event of an answer.
fn read_event(case: &Case) -> Step {
    let event = EVENTS.iter().find(|(name, _)| *name == case.name).map_or("", |(_, event)| event);
    let mut answer = Answer::default();
    let mut now = 0;
    Box::new(move || {
        now += 20_000;
        answer.read(black_box(event.as_bytes()), now);
        black_box(&answer);
    })
}

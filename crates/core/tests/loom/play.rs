//! What two threads may come to on one board.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tblb_core::board::{Board, InFlight, Shape};
use tblb_core::sync::AtomicU64;

/// A board of one upstream and one worker, and two threads that use it.
#[derive(Clone)]
pub struct Zone {
    words: Arc<Vec<AtomicU64>>,
    /// Whether the second of the two begins.
    swapped: bool,
}

impl Zone {
    pub fn new(slots: usize, swapped: bool) -> Self {
        let shape = Shape { upstreams: 1, slots, rows: 1 };
        let words: Vec<_> = (0..shape.words().unwrap()).map(|_| AtomicU64::new(0)).collect();
        Board::format(&words, shape).unwrap().set_upstream_key(0, 5);
        Zone { words: Arc::new(words), swapped }
    }

    pub fn board(&self) -> Board<'_> {
        Board::open(&self.words).unwrap()
    }

    /// Worker 100 has left a request in its row.
    pub fn predecessor(&self) {
        let row = self.board().row(0).unwrap();
        row.begin(100);
        row.enter(0, InFlight::one(9));
    }

    /// What comes of both at once.
    pub fn both<A: 'static, B: 'static>(
        &self,
        first: impl FnOnce(Board) -> A + 'static,
        second: impl FnOnce(Board) -> B + 'static,
    ) -> (A, B) {
        if self.swapped {
            let first = self.spawn(first);
            let second = second(self.board());
            (first.join().unwrap(), second)
        } else {
            let second = self.spawn(second);
            (first(self.board()), second.join().unwrap())
        }
    }

    fn spawn<T: 'static>(&self, act: impl FnOnce(Board) -> T + 'static) -> JoinHandle<T> {
        let zone = self.clone();
        thread::spawn(move || act(zone.board()))
    }
}

/// What two threads may come to of which the second only reads: after the first has ended it still reads every value that it
/// might have read before, so that neither need be interrupted.
pub fn reads(model: impl Fn(&Zone) + Send + Sync + 'static) {
    let ways = play(0, move || model(&Zone::new(1, false)));
    assert!(ways > 1, "where nothing can come otherwise nothing is shown");
}

/// What two threads may come to that both write, on a board of so many slots. Of the accesses to a word loom keeps the last
/// alone as one that could as well have come later, and so does not see every order from where one begins: each does once.
pub fn writes(slots: usize, model: impl Fn(&Zone) + Send + Sync + Clone + 'static) {
    let ways = [false, true].map(|swapped| {
        let model = model.clone();
        // Mistakes that need more interruptions are rare; those that were planted here needed one.
        play(3, move || model(&Zone::new(slots, swapped)))
    });
    assert!(ways.iter().any(|ways| *ways > 1), "where nothing can come otherwise nothing is shown");
}

/// Plays a model in each way that it can go with so many interruptions of a thread that could go on; how many ways those are.
fn play(interruptions: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = 20_000;
    let ways = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = ways.clone();
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("{} ways", ways.load(Relaxed));
    ways.load(Relaxed)
}

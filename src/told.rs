//! What is to be said of the tries of a request, by the variables and the logs.

use crate::conf::in_pool;
use crate::guard::Failed;
use ngx::ffi::ngx_http_request_t;
use once_cell::unsync::OnceCell;
use std::cell::Cell;
use tblb_core::reason::Reason;

/// Tries beyond the first of which something can be said; more than these are left out of the variables.
const MOST_TRIES: usize = 64;

/// What is to be said of a try.
#[derive(Clone, Copy)]
pub struct Said {
    /// The try's place among nginx's own states of the request's tries.
    pub state: usize,
    /// The algorithm's name.
    pub algorithm: &'static str,
    /// The peer's score.
    pub score: Option<f64>,
    /// Why it was picked.
    pub reason: Reason,
    /// Time to the first body byte in µs.
    pub ttft: Option<u64>,
}

/// What is to be said of the tries of a request.
pub struct Told {
    said: [Cell<Option<Said>>; 1],
    /// Further ones, in the request's pool, once they are needed.
    more: OnceCell<&'static [Cell<Option<Said>>; MOST_TRIES]>,
}

impl Told {
    /// Nothing is said yet.
    pub const fn new() -> Self {
        Told { said: [const { Cell::new(None) }; 1], more: OnceCell::new() }
    }

    /// The cells, those that hold something first.
    pub fn cells(&self) -> impl Iterator<Item = &Cell<Option<Said>>> {
        self.said.iter().chain(self.more.get().into_iter().flat_map(|more| more.iter()))
    }

    /// Adds what is to be said of a try; the request is the one whose tries these are.
    pub fn push(&self, said: Said, request: *mut ngx_http_request_t) {
        // Most requests have one try.
        let [first] = &self.said;
        if first.get().is_none() {
            first.set(Some(said));
            return;
        }
        // Without memory the try is left out of the variables.
        let more = self.more.get_or_try_init(|| {
            // SAFETY: the request is alive, and its pool outlives what is kept of it.
            unsafe { in_pool((*request).pool, [const { Cell::new(None) }; MOST_TRIES]).as_ref() }
                .ok_or(Failed)
        });
        if let Some(free) = more.ok().and_then(|more| more.iter().find(|cell| cell.get().is_none())) {
            free.set(Some(said));
        }
    }

    /// What was added last.
    pub fn last(&self) -> Option<&Cell<Option<Said>>> {
        self.cells().take_while(|cell| cell.get().is_some()).last()
    }
}

//! What is kept of a request while it is under way: the try that runs now, what is to be said of each try, and
//! how each ended.

mod answer;

use crate::told::{Said, Told};
use crate::{context_index, guard, worker};
use ngx::ffi::{
    NGX_DECLINED, NGX_ERROR, NGX_HTTP_CLIENT_CLOSED_REQUEST, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_OK,
    NGX_PEER_FAILED, NGX_PEER_NEXT, ngx_http_request_t, ngx_http_upstream_t, ngx_int_t, ngx_pnalloc,
    ngx_pool_cleanup_add, ngx_uint_t,
};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use tblb_core::algorithm::{Algorithm, Rule};
use tblb_core::balancer::Taken;
use tblb_core::model::Name;
use tblb_core::tries::{Ending, Id};

/// What is kept of a request; in its pool.
pub struct Kept {
    request: *mut ngx_http_request_t,
    /// The upstream whose end is hooked: an internal redirect leads to another.
    hooked: Cell<*mut ngx_http_upstream_t>,
    /// The hook that was there before.
    finalize: FinalizeRequest,
    /// The code that the request's upstream was finalised with, None before.
    code: Cell<Option<ngx_int_t>>,
    /// The try that runs now.
    current: Cell<Option<Current>>,
    /// What is to be said of each try.
    told: Told,
    /// The name of the model that was read, in the request's pool; None where none was.
    model: Cell<Option<&'static [u8]>>,
}

type Cleanup = unsafe extern "C" fn(*mut c_void);
type FinalizeRequest = Cell<Option<unsafe extern "C" fn(*mut ngx_http_request_t, ngx_int_t)>>;

/// The try that runs now.
#[derive(Clone, Copy)]
struct Current {
    slot: Option<u32>,
    /// Its name among the worker's tries, None if it is not counted.
    id: Option<Id>,
    picked_at: u64,
    /// No part of the answer's body has come.
    waits_for_body: bool,
    /// The time to the answer's first token is of interest, and not known.
    waits_for_token: bool,
    /// That time in µs, until it is clear that nothing on the way held the answer back.
    ttft: Option<u64>,
    /// The answer is followed to its end: it teaches, or its pauses and errors count.
    follows: bool,
    /// The client has not taken all that came.
    blocked: bool,
}

/// The cleanup of what is kept: a try that nginx never ended ends with the request. It also marks what is kept in
/// the request's pool, where it is found again after an internal redirect, which forgets the contexts of modules.
unsafe extern "C" fn cleanup(kept: *mut c_void) {
    // SAFETY: `keep` put it there, and the pool calls this once, before it gives memory back.
    guard::or((), || unsafe { (*kept.cast::<Kept>()).end_with(Ending::Aborted) });
}

/// What is kept of a request, if its context still tells.
///
/// # Safety
/// `request` is a request that nginx is handling, and outlives the reference.
pub unsafe fn kept_in_context<'a>(request: *mut ngx_http_request_t) -> Option<&'a Kept> {
    // SAFETY: the context is what `keep` put there, or null.
    unsafe { (*(*request).ctx.add(context_index())).cast::<Kept>().as_ref() }
}

/// What is kept of a request, None if no `tblb` upstream had it.
///
/// # Safety
/// `request` is a request that nginx is handling, and outlives the reference.
pub unsafe fn kept<'a>(request: *mut ngx_http_request_t) -> Option<&'a Kept> {
    // SAFETY: the context is what `keep` put there; the pool's cleanups are a list, and those marked as ours hold
    // what `keep` put there, for this request or for another with the same pool.
    unsafe {
        if let Some(kept) = kept_in_context(request) {
            return Some(kept);
        }
        let mut next = (*(*request).pool).cleanup;
        while let Some(entry) = next.as_ref() {
            if entry.handler.is_some_and(|handler| ptr::fn_addr_eq(handler, cleanup as Cleanup)) {
                let kept = entry.data.cast::<Kept>();
                if (*kept).request == request {
                    return Some(&*kept);
                }
            }
            next = entry.next;
        }
        None
    }
}

/// Begins to keep a request whose upstream is being initialised, and hooks into its end.
///
/// # Safety
/// `request` is a request of which nginx is initialising the upstream.
pub unsafe fn keep(request: *mut ngx_http_request_t) -> Option<&'static Kept> {
    // SAFETY: as the caller says; the cleanup's data is of the size that is asked for and lives in the request's
    // pool, as long as the request.
    unsafe {
        let kept = match kept(request) {
            Some(kept) => kept,
            None => {
                let entry = ngx_pool_cleanup_add((*request).pool, size_of::<Kept>()).as_mut()?;
                let kept = entry.data.cast::<Kept>();
                kept.write(Kept::new(request));
                entry.handler = Some(cleanup);
                &*kept
            }
        };
        *(*request).ctx.add(context_index()) = ptr::from_ref(kept).cast_mut().cast();
        let upstream = (*request).upstream;
        if kept.hooked.replace(upstream) != upstream {
            kept.finalize.set((*upstream).finalize_request);
            (*upstream).finalize_request = Some(finalize);
        }
        Some(kept)
    }
}

/// Notes how the request's upstream ends; nginx calls it just before it frees the peer.
unsafe extern "C" fn finalize(request: *mut ngx_http_request_t, code: ngx_int_t) {
    let original = guard::or(None, || {
        // SAFETY: nginx calls this with the request of which `keep` set the hook.
        let kept = unsafe { kept(request) }?;
        kept.code.set(Some(code));
        kept.finalize.get()
    });
    if let Some(original) = original {
        // SAFETY: it is the hook that was there before, called as nginx would have called it.
        unsafe { original(request, code) };
    }
}

impl Kept {
    fn new(request: *mut ngx_http_request_t) -> Self {
        Kept {
            request,
            hooked: Cell::new(ptr::null_mut()),
            finalize: Cell::new(None),
            code: Cell::new(None),
            current: Cell::new(None),
            told: Told::new(),
            model: Cell::new(None),
        }
    }

    /// Keeps the model that the request asks for, for `$tblb_model`. Without memory there is none.
    pub fn set_model(&self, name: &Name) {
        let name = name.as_bytes();
        // SAFETY: the request is alive, and its pool outlives what is kept of it; the copy is as long as the name.
        unsafe {
            let copy = ngx_pnalloc((*self.request).pool, name.len()).cast::<u8>();
            if !copy.is_null() {
                ptr::copy_nonoverlapping(name.as_ptr(), copy, name.len());
                self.model.set(Some(std::slice::from_raw_parts(copy, name.len())));
            }
        }
    }

    /// The name of the model that was read.
    pub fn model(&self) -> Option<&[u8]> {
        self.model.get()
    }

    /// A peer was picked at `picked_at` (µs), and a try begins, with a prompt of `prompt` tokens.
    pub fn begin(&self, taken: Taken, prompt: u32, algorithm: &'static Algorithm, picked_at: u64) {
        let Taken { slot, score, reason, .. } = taken;
        self.end(0);
        let (id, reads) = worker::begin_try(&taken, prompt, picked_at).unzip();
        self.code.set(None);
        // Subrequests (authentication, mirrors) are picks too, but nobody waits for the first token of theirs.
        // SAFETY: the request is alive: it is what is being balanced.
        let (main, state) =
            unsafe { (self.request == (*self.request).main, states(self.request).saturating_sub(1)) };
        self.current.set(Some(Current {
            slot,
            id,
            picked_at,
            waits_for_body: true,
            waits_for_token: main,
            ttft: None,
            follows: id.is_some() && (reads == Some(true) || !matches!(algorithm.rule, Rule::LeastConn)),
            blocked: false,
        }));
        self.told.push(Said { state, algorithm: algorithm.name, score, reason, ttft: None }, self.request);
    }

    /// The try that runs ends, if one does; `state` is what nginx says of it. May be called again.
    pub fn end(&self, state: ngx_uint_t) {
        if self.current.get().is_none() {
            return;
        }
        self.end_with(if state & NGX_PEER_FAILED as ngx_uint_t != 0 {
            Ending::Failed
        } else if state & NGX_PEER_NEXT as ngx_uint_t != 0 {
            // A 403 or 404 that sends the request on, which nginx holds against no server either.
            Ending::Refused
        } else {
            self.ending()
        });
    }

    fn end_with(&self, ending: Ending) {
        if let Some(current) = self.current.take() {
            self.settle(current);
            current.id.inspect(|id| worker::end_try(*id, ending));
        }
    }

    /// How a try ended that nginx says nothing of, by the code that it was finalised with.
    fn ending(&self) -> Ending {
        // SAFETY: the request is alive: nginx is freeing its peer.
        let request = unsafe { &*self.request };
        // SAFETY: the upstream's state is in the request's pool, or null.
        let status = unsafe { request.upstream.as_ref().and_then(|upstream| upstream.state.as_ref()) };
        let by_status = status.map_or(Ending::Completed, |state| ending_by(state.status));
        let server_error = NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
        // SAFETY: a request's connection lives as long as the request.
        let client = unsafe { &*request.connection };
        // It closed the connection, or it took too long to send a body or to read the answer.
        let client_gone = client.error() != 0 || client.timedout() != 0;
        match self.code.get() {
            None => Ending::Aborted,
            Some(code) if code == NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t => Ending::Aborted,
            Some(code) if code >= server_error => Ending::Failed,
            Some(code) if code != NGX_OK as ngx_int_t && client_gone => Ending::Aborted,
            Some(code) if code == NGX_ERROR as ngx_int_t => Ending::Failed,
            // The answer was a header that sends nginx elsewhere (X-Accel-Redirect).
            Some(code) if code == NGX_DECLINED as ngx_int_t => Ending::Completed,
            Some(code) if code < NGX_OK as ngx_int_t && by_status != Ending::Failed => Ending::Aborted,
            Some(_) => by_status,
        }
    }

    /// What is to be said of the try at that place among nginx's states.
    pub fn said(&self, state: usize) -> Option<Said> {
        self.told.cells().filter_map(Cell::get).find(|said| said.state == state)
    }
}

/// How an answer of that status ended that came whole. An engine that is too busy says so by 429, or by 408 when it gave up.
fn ending_by(status: ngx_uint_t) -> Ending {
    match status {
        408 | 429 | 500.. => Ending::Failed,
        400.. => Ending::Refused,
        _ => Ending::Completed,
    }
}

/// How many states of tries nginx has for a request.
///
/// # Safety
/// `request` is a request that nginx is handling.
pub unsafe fn states(request: *mut ngx_http_request_t) -> usize {
    // SAFETY: as the caller says; the array is null before the first try.
    unsafe { (*request).upstream_states.as_ref() }.map_or(0, |states| states.nelts)
}

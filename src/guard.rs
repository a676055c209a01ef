//! The border between nginx and us.

use ngx::ffi::{NGX_ERROR, NGX_OK, ngx_int_t};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Something failed, and what there was to say about it has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// Runs `f`; a panic in it ends here and gives `otherwise`. What `f` had borrowed is given back by unwinding;
/// what it had half changed is ours alone, and each of its users can live with it.
pub fn or<T>(otherwise: T, f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(otherwise)
}

/// Runs `f` for a hook of nginx: NGX_OK, or NGX_ERROR where it fails or panics.
pub fn status(f: impl FnOnce() -> Result<(), Failed>) -> ngx_int_t {
    match or(Err(Failed), f) {
        Ok(()) => NGX_OK as ngx_int_t,
        Err(Failed) => NGX_ERROR as ngx_int_t,
    }
}

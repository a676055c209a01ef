//! The clock: monotonic, the same in all processes of the machine; and nginx's own.

use ngx::ffi::ngx_cached_time;

/// Now in µs. Wall-clock jumps do not move it.
pub fn now_us() -> u64 {
    read_us(libc::CLOCK_MONOTONIC)
}

/// The processor time of this thread in µs.
pub fn processor_us() -> u64 {
    read_us(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read_us(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec, which the call fills; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut now) };
    (now.tv_sec as u64).saturating_mul(1_000_000).saturating_add(now.tv_nsec as u64 / 1000)
}

/// Now in ms.
pub fn now_ms() -> u64 {
    now_us() / 1000
}

/// nginx's time in seconds, by which it counts `fail_timeout`.
pub fn seconds() -> libc::time_t {
    // SAFETY: nginx's cached time is never null once it runs, and a word is read whole.
    unsafe { (*ngx_cached_time).sec }
}

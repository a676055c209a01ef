//! The clock: monotonic, the same in all processes of the machine.

/// Now in µs. Wall-clock jumps do not move it.
pub fn now_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec, which the call fills; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64).saturating_mul(1_000_000).saturating_add(now.tv_nsec as u64 / 1000)
}

/// Now in ms.
pub fn now_ms() -> u64 {
    now_us() / 1000
}

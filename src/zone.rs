//! The shared zone. This file alone casts it to a board.

use crate::clock;
use crate::conf::{self, MainConf, UpstreamConf};
use crate::guard::{self, Failed};
use crate::log::{self, Level};
use crate::peers::{self, Peers};
use crate::slab;
use crate::tag;
use ngx::ffi::{
    NGX_ERROR, NGX_OK, ngx_conf_t, ngx_core_conf_t, ngx_core_module, ngx_cycle, ngx_cycle_t, ngx_int_t,
    ngx_log_t, ngx_ncpu, ngx_pagesize, ngx_shared_memory_add, ngx_shm_zone_t, ngx_slab_alloc,
    ngx_slab_pool_t, ngx_str_t,
};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tblb_core::board::{Board, Shape};

/// The name of the zone: no user gives a zone this name by chance.
const NAME: &str = "ngx_http_upstream_tblb_module";

/// Rows for workers at least: more than most machines have workers.
const LEAST_ROWS: usize = 16;

/// The most workers that nginx starts (its NGX_MAX_PROCESSES).
const MOST_ROWS: usize = 1024;

/// Words of rows that are reserved whatever the number of workers, since `worker_processes` may follow the http block:
/// 4 MiB, of which a row takes memory only once its worker begins.
const ROW_WORDS: usize = 1 << 19;

/// Servers for which an upstream with `resolve` has room at least. A server that is not there takes no memory.
const LEAST_RESOLVED: usize = 1024;

/// The same, for each server that was there before a reload.
const ROOM_TO_GROW: usize = 4;

/// Asks nginx for the zone, of the size that the upstreams need.
pub fn add(cf: *mut ngx_conf_t, main: &mut MainConf) -> Result<(), Failed> {
    main.shape = shape(cf, main);
    // SAFETY: nginx sets its page size when it starts, and never after.
    let page = unsafe { ngx_pagesize };
    let size = main.shape.words().map(|words| slab::zone_for(words * size_of::<AtomicU64>(), page));
    let mut name = ngx_str_t { len: NAME.len(), data: NAME.as_ptr().cast_mut() };
    // SAFETY: nginx parses `cf`; the name is copied or static, and the tag is an address of ours.
    let zone = unsafe { ngx_shared_memory_add(cf, &mut name, size.unwrap_or(usize::MAX), tag()).as_mut() };
    let zone = zone.ok_or(Failed)?;
    zone.init = Some(init);
    zone.data = ptr::from_mut(main).cast();
    // Each cycle has a zone of its own, so that the slots of old and new workers never clash.
    zone.noreuse = 1;
    main.zone = zone;
    Ok(())
}

fn shape(cf: *mut ngx_conf_t, main: &MainConf) -> Shape {
    let before = old_board(None).map_or(0, |old| old.slots_used());
    let peers: usize = main.upstreams().map(|upstream| room(upstream, before)).sum();
    // An eighth more, so that what is known of servers that were renamed survives a reload until it is reclaimed.
    let slots = peers + peers / 8 + 8;
    let spare = ROW_WORDS.checked_div(Shape { upstreams: 0, slots, rows: 1 }.row_words()).unwrap_or(0);
    Shape { upstreams: main.upstreams.len(), slots, rows: rows(cf).max(spare.clamp(LEAST_ROWS, MOST_ROWS)) }
}

/// Peers that an upstream may have: those it has now, and what `resolve` can find. `before` is how many servers the
/// configuration before had.
fn room(upstream: &UpstreamConf, before: usize) -> usize {
    let now: usize = lists(upstream).map(Peers::number).sum();
    let most = (ROOM_TO_GROW * now.max(before)).max(LEAST_RESOLVED);
    now + resolved(upstream).min(most)
}

/// Peers that may yet be found in the DNS: as many as the upstream's own zone has room for.
#[cfg(nginx_1_27_3)]
fn resolved(upstream: &UpstreamConf) -> usize {
    // SAFETY: the upstream's configuration and its zone live as long as the cycle; the list was just made.
    unsafe {
        let may_resolve = lists(upstream).any(|list| !(*list.as_ptr()).resolve.is_null());
        let zone = (*upstream.upstream).shm_zone.as_ref().filter(|_| may_resolve);
        zone.map_or(0, |zone| zone.shm.size / size_of::<ngx::ffi::ngx_http_upstream_rr_peer_t>())
    }
}

#[cfg(not(nginx_1_27_3))]
fn resolved(_: &UpstreamConf) -> usize {
    0
}

/// The lists of peers of an upstream: the primary servers and the backup ones.
pub fn lists(upstream: &UpstreamConf) -> impl Iterator<Item = Peers> + use<> {
    // SAFETY: round robin has put its list there, and it lives as long as the cycle.
    let primary = unsafe { upstream.upstream.as_ref().and_then(|block| Peers::new(block.peer.data.cast())) };
    std::iter::successors(primary, |primary| primary.backup())
}

fn rows(cf: *mut ngx_conf_t) -> usize {
    // SAFETY: nginx parses `cf`, and sets the number of processors when it starts.
    let (workers, processors) = unsafe { (worker_processes((*cf).cycle), ngx_ncpu) };
    workers.max(usize::try_from(processors).unwrap_or(0))
}

/// The number of `worker_processes`, 0 as long as nginx has not read it.
///
/// # Safety
/// `cycle` is a cycle of nginx, whose configuration is being read or has been.
unsafe fn worker_processes(cycle: *mut ngx_cycle_t) -> usize {
    // SAFETY: as the caller says; the core module's configuration is made before any other.
    let workers = unsafe {
        let core = *(*cycle).conf_ctx.add(ngx_core_module.index);
        (*core.cast::<ngx_core_conf_t>()).worker_processes
    };
    usize::try_from(workers).unwrap_or(0)
}

/// Warns if there are more workers than rows, now that the whole configuration has been read.
///
/// # Safety
/// `cycle` is a cycle of nginx whose configuration has been read.
pub unsafe fn check_rows(cycle: *mut ngx_cycle_t) {
    // SAFETY: as the caller says.
    let (workers, main) = unsafe { (worker_processes(cycle), conf::main_of_cycle(cycle)) };
    let Some(main) = main.filter(|main| !main.upstreams.is_empty() && main.shape.rows < workers) else {
        return;
    };
    let text = format!(
        "tblb: requests of {} of {workers} workers are not counted in flight: there was room for {} when the http block \
         was read; place \"worker_processes\" before the http block",
        workers - main.shape.rows,
        main.shape.rows
    );
    // SAFETY: the cycle's log is open.
    unsafe { log::line((*cycle).log, Level::Warn, &text) };
}

/// Whether servers without a slot have been reported by this process.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Warns if `servers` servers have no slot, once until all have one.
///
/// # Safety
/// `log` is a log of nginx that is open, or null.
pub unsafe fn report_unmeasured(servers: usize, log: *mut ngx_log_t) {
    if !REPORTED.swap(servers > 0, Relaxed) && servers > 0 {
        let text = format!(
            "tblb: the shared zone has no room for {servers} servers, which get requests as under least_conn and are not \
             polled; a reload makes room for them"
        );
        // SAFETY: as the caller says.
        unsafe { log::line(log, Level::Warn, &text) };
    }
}

/// Makes the board of a new zone and carries over what is known from that of the cycle before.
unsafe extern "C" fn init(zone: *mut ngx_shm_zone_t, _data: *mut c_void) -> ngx_int_t {
    guard::or(NGX_ERROR as ngx_int_t, || {
        // SAFETY: nginx calls this with the zone that `add` asked for, mapped and with a slab pool in it.
        let made = unsafe { zone.as_ref().and_then(|zone| make(zone)) };
        if made.is_none() {
            // SAFETY: the old cycle's log is open.
            unsafe {
                log::line((*ngx_cycle).log, Level::Warn, &"tblb: the shared zone has no room for its board")
            };
            return NGX_ERROR as ngx_int_t;
        }
        NGX_OK as ngx_int_t
    })
}

/// # Safety
/// `zone` is ours, mapped, with a slab pool in it and a `MainConf` as its data.
unsafe fn make(zone: &ngx_shm_zone_t) -> Option<()> {
    // SAFETY: as the caller says; the block is as long as the shape says and lies in memory that the system has just
    // given, and nobody else knows of the block yet.
    let (main, board) = unsafe {
        let main = zone.data.cast::<MainConf>().as_ref()?;
        let pool = zone.shm.addr.cast::<ngx_slab_pool_t>();
        let length = main.shape.words()?;
        let block = NonNull::new(ngx_slab_alloc(pool, length * size_of::<AtomicU64>()))?;
        clear(block.cast(), length);
        (*pool).data = block.as_ptr();
        (main, Board::format(words(zone)?, main.shape)?)
    };
    let now = clock::now_ms();
    for upstream in main.upstreams() {
        board.set_upstream_key(upstream.number, upstream.key());
        claim_all(&board, upstream, now);
    }
    if let Some(old) = old_board(Some(zone)) {
        board.carry_over(&old, now);
    }
    Some(())
}

/// Makes a block of a new zone all 0. The system gives zones as zeros, and what is not written takes no memory. But an
/// nginx that was built with NGX_DEBUG_MALLOC fills all of a new zone with one byte that is not 0.
///
/// # Safety
/// `block` is `words` long, in a zone whose pool has given no other block.
unsafe fn clear(block: NonNull<u64>, words: usize) {
    // SAFETY: as the caller says.
    unsafe {
        if words > 0 && block.read() != 0 {
            block.write_bytes(0, words);
        }
    }
}

/// Gives the peers that an upstream has now their slots.
fn claim_all(board: &Board, upstream: &UpstreamConf, now: u64) {
    let mut copied = Vec::new();
    for list in lists(upstream) {
        peers::copy(list, 0, &mut copied);
        for peer in &copied {
            // A board without room says so in its own count.
            let _ = board.claim(upstream.peer_key(peer.name.as_bytes()), upstream.number, now);
        }
    }
}

/// The words of a mapped zone's board, and all that follows them in the zone.
fn words(zone: &ngx_shm_zone_t) -> Option<&'static [AtomicU64]> {
    let pool = NonNull::new(zone.shm.addr.cast::<ngx_slab_pool_t>())?;
    // SAFETY: a mapped zone begins with its slab pool, whose data is null or the block that `make` allocated in
    // it: aligned to a word (see `slab`), and within the zone. All of it are plain words, which all processes change by
    // atomic operations only. A zone stays mapped as long as its cycle; whoever keeps the board ends before (see
    // `worker::end`).
    unsafe {
        let block = (*pool.as_ptr()).data;
        let end = zone.shm.addr.cast::<u8>().wrapping_add(zone.shm.size);
        let length = (end as usize).checked_sub(block as usize)? / size_of::<AtomicU64>();
        (!block.is_null()).then(|| std::slice::from_raw_parts(block.cast::<AtomicU64>(), length))
    }
}

/// The board of a mapped zone of ours.
pub fn board(zone: &ngx_shm_zone_t) -> Option<Board<'static>> {
    words(zone).and_then(Board::open)
}

/// The board of the cycle before, None at the first start. `new` is the zone of the cycle that begins, if there is one yet.
fn old_board(new: Option<&ngx_shm_zone_t>) -> Option<Board<'static>> {
    // SAFETY: while nginx reads its configuration and initialises zones, `ngx_cycle` is the cycle before, whose list of
    // zones and whose zones are still there (at the first start the list is empty).
    unsafe {
        let mut part = ngx_cycle.as_ref().map(|cycle| &raw const cycle.shared_memory.part)?;
        while let Some(zones) = part.as_ref() {
            let first = zones.elts.cast::<ngx_shm_zone_t>();
            let old = (0..zones.nelts)
                .map(|i| &*first.add(i))
                .find(|old| conf::is_ours(old) && !new.is_some_and(|new| ptr::eq(*old, new)));
            if let Some(board) = old.and_then(board) {
                return Some(board);
            }
            part = zones.next;
        }
        None
    }
}

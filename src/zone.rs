//! The shared zone. This file alone casts it to a board.

use crate::clock;
use crate::conf::{self, MainConf, UpstreamConf};
use crate::guard::{self, Failed};
use crate::log::{self, Level};
use crate::peers::{self, Peers};
use crate::slab;
use crate::tag;
use ngx::ffi::{
    NGX_ERROR, NGX_OK, ngx_conf_t, ngx_core_conf_t, ngx_core_module, ngx_cycle, ngx_int_t, ngx_ncpu,
    ngx_pagesize, ngx_shared_memory_add, ngx_shm_zone_t, ngx_slab_alloc, ngx_slab_pool_t, ngx_str_t,
};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use tblb_core::board::{Board, Shape};

/// The name of the zone, as nginx's logs say it.
const NAME: &str = "tblb";

/// Rows for workers where the number of workers is said after the http block and not known when the zone is made;
/// a worker without a row serves, and its requests are not counted in flight.
const LEAST_ROWS: usize = 16;

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
    let peers: usize = main.upstreams().map(room).sum();
    // An eighth more, so that what is known of servers that were renamed survives a reload until it is reclaimed.
    Shape { upstreams: main.upstreams.len(), slots: peers + peers / 8 + 8, rows: rows(cf) }
}

/// Peers that an upstream may have: those it has now, and what `resolve` can find.
fn room(upstream: &UpstreamConf) -> usize {
    let now: usize = lists(upstream).map(Peers::number).sum();
    now + resolved(upstream)
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
    // SAFETY: nginx parses `cf`; the core module's configuration is made before any other.
    unsafe {
        let core = *(*(*cf).cycle).conf_ctx.add(ngx_core_module.index);
        let workers = (*core.cast::<ngx_core_conf_t>()).worker_processes;
        usize::try_from(workers).unwrap_or(0).max(usize::try_from(ngx_ncpu).unwrap_or(0)).max(LEAST_ROWS)
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
    // SAFETY: as the caller says; the block is as long as the shape says, and nobody else knows of it yet.
    let (main, board) = unsafe {
        let main = zone.data.cast::<MainConf>().as_ref()?;
        let pool = zone.shm.addr.cast::<ngx_slab_pool_t>();
        let length = main.shape.words()?;
        let block = NonNull::new(ngx_slab_alloc(pool, length * size_of::<AtomicU64>()))?;
        ptr::write_bytes(block.as_ptr().cast::<u64>(), 0, length);
        (*pool).data = block.as_ptr();
        (main, Board::format(words(zone)?, main.shape)?)
    };
    let now = clock::now_ms();
    for upstream in main.upstreams() {
        board.set_upstream_key(upstream.number, upstream.key());
        claim_all(&board, upstream, now);
    }
    if let Some(old) = old_board(zone) {
        board.carry_over(&old, now);
    }
    Some(())
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

/// The board of the cycle before, None at the first start.
fn old_board(new: &ngx_shm_zone_t) -> Option<Board<'static>> {
    // SAFETY: while nginx initialises zones `ngx_cycle` is the cycle before, whose list of zones and whose zones
    // are still there (at the first start the list is empty).
    unsafe {
        let mut part = ngx_cycle.as_ref().map(|cycle| &raw const cycle.shared_memory.part)?;
        while let Some(zones) = part.as_ref() {
            let first = zones.elts.cast::<ngx_shm_zone_t>();
            let old = (0..zones.nelts)
                .map(|i| &*first.add(i))
                .find(|old| conf::is_ours(old) && !ptr::eq(*old, new));
            if let Some(board) = old.and_then(board) {
                return Some(board);
            }
            part = zones.next;
        }
        None
    }
}

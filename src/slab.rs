//! How long a zone must be for its slab pool to give the board one block.

use ngx::ffi::{ngx_slab_page_t, ngx_slab_pool_t, ngx_slab_stat_t};
use std::sync::atomic::AtomicU64;

/// nginx's smallest chunk as a power of two, and what every block of a pool is aligned to at least.
const LEAST_SHIFT: u32 = 3;

/// A zone whose pool has a block of `bytes`, where nginx's pages are so long (a power of two).
pub const fn zone_for(bytes: usize, page: usize) -> usize {
    let pages = bytes.div_ceil(page) + 1;
    // The header (with lists and statistics of the slab sizes) takes less than a page, and so does alignment.
    (pages + 2) * page + (pages + 2) * size_of::<ngx_slab_page_t>() + size_of::<ngx_slab_pool_t>()
}

/// The pages that a zone has to give, as `ngx_slab_init` counts them.
const fn pages_of(zone: usize, page: usize) -> usize {
    let sizes = (page.trailing_zeros() - LEAST_SHIFT) as usize;
    let header =
        size_of::<ngx_slab_pool_t>() + sizes * (size_of::<ngx_slab_page_t>() + size_of::<ngx_slab_stat_t>());
    let counted = (zone - header) / (page + size_of::<ngx_slab_page_t>());
    let start = (header + counted * size_of::<ngx_slab_page_t>()).next_multiple_of(page);
    let there = (zone - start) / page;
    if counted < there { counted } else { there }
}

/// Whether the block fits, and the words after it that are no whole page more.
const fn fits(bytes: usize, page: usize) -> bool {
    let pages = pages_of(zone_for(bytes, page), page);
    pages > 0 && pages >= bytes.div_ceil(page)
}

// A test of this file would not link without nginx, so the compiler looks: a word is aligned wherever the pool may put the
// block, and boards of one word to 32 GB fit, at each page size of the processors that nginx runs on, with numbers of words
// that fill pages and that miss that by one.
const _: () = {
    const WORD: usize = size_of::<AtomicU64>();
    assert!(WORD == 8 && align_of::<AtomicU64>() <= 1 << LEAST_SHIFT, "a word may not be aligned");
    let mut page = 4096;
    while page <= 65536 {
        let mut pages = 0;
        while pages < (32 << 30) / page {
            let whole = pages * page;
            assert!(fits(whole + WORD, page) && fits(whole + page - WORD, page), "the board may not fit");
            assert!(fits(whole + page, page), "the board may not fit");
            pages += pages / 16 + 1;
        }
        page *= 4;
    }
};

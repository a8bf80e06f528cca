//! The products of keys with few queries.
//!
//! Keys that are needed soon are asked for a line at a time, between multiply-adds. Those of all keys at hand at once would take all that
//! the first-level cache keeps for lines on their way, and what is near would wait for what is far: from memory, work on
//! a line at a time and a request for one had 16 GB/s on an Intel Xeon where sixteen requests and the work on as many lines had 10.

use super::BEFORE;
use super::together::together;
use crate::element::Load;
use crate::kernel::Strided;
use crate::kernel::ahead::LINE;
use crate::kernel::attention::block::Block;
use crate::kernel::each;
use crate::simd::{MAX_LANES, Simd};

/// Scores of `keys` keys, of which `line` is the first line's, against `R` rows of queries: as many keys at a time as a register
/// has lanes for.
#[inline(always)]
pub(super) unsafe fn scores<S: Simd, E: Load, const R: usize>(
    block: &Block<'_, S>,
    k: Strided<E>,
    keys: usize,
    line: usize,
) {
    let (s, at_once) = (block.s, S::LANES / R);
    for start in (0..keys).step_by(at_once) {
        // SAFETY: the keys exist, and there is room for a register from any of their lines on.
        unsafe {
            let mut rows = [k.ptr; MAX_LANES];
            for (key, row) in rows.iter_mut().enumerate().take(at_once) {
                // Where fewer are left, the last one again and again.
                *row = k.at((start + key).min(keys - 1), 0).ptr;
            }
            let sums = products::<S, E, R>(block, &rows, k.at(BEFORE + start, 0));
            s.store(together(block, line + start, R), s.sum_rows(sums.as_ptr().cast()));
        }
    }
}

/// The products of rows of keys with `R` queries, a register each whose lanes are still to be added up: those of a key side by side.
/// Asks for as many keys from `next` on.
#[expect(
    clippy::needless_range_loop,
    reason = "with an iterator over the rows, a tenth slower: it is not unrolled as early"
)]
#[inline(always)]
unsafe fn products<S: Simd, E: Load, const R: usize>(
    block: &Block<'_, S>,
    rows: &[*const E; MAX_LANES],
    next: Strided<E>,
) -> [S::F32; MAX_LANES] {
    let (s, d) = (block.s, block.head.heads.d);
    // Registers to a line of the cache: as many keys take turns to ask for one.
    let turns = (LINE / (S::LANES * size_of::<E>())).max(1);
    let mut sums = [s.splat(0.0); MAX_LANES];
    // SAFETY: the keys and the rows of queries have `d` elements, the latter up to whole registers.
    unsafe {
        for at in (0..d - d % S::LANES).step_by(S::LANES) {
            let q = queries::<S, R>(block, at);
            for key in 0..S::LANES / R {
                if key % turns == 0 {
                    s.prefetch::<0>(next.at(key + at / S::LANES % turns, at).ptr.cast());
                }
                multiply_add(s, &mut sums, key, E::load(s, rows[key].add(at)), q);
            }
        }
        if !d.is_multiple_of(S::LANES) {
            let at = d - d % S::LANES;
            let q = queries::<S, R>(block, at);
            for key in 0..S::LANES / R {
                multiply_add(s, &mut sums, key, E::load_first(s, rows[key].add(at), d % S::LANES), q);
            }
        }
    }
    sums
}

/// A register of each query, from column `at` on.
#[inline(always)]
unsafe fn queries<S: Simd, const R: usize>(block: &Block<'_, S>, at: usize) -> [S::F32; R] {
    let stride = block.head.heads.d.next_multiple_of(S::LANES);
    // SAFETY: the queries are rows of whole registers.
    unsafe { each!(block.s.splat(0.0); R, r => block.s.load(block.buffers.queries.add(r * stride + at))) }
}

/// A register of a key times those of the queries.
#[inline(always)]
fn multiply_add<S: Simd, const R: usize>(s: S, sums: &mut [S::F32; MAX_LANES], key: usize, x: S::F32, q: [S::F32; R]) {
    for (sum, q) in sums.iter_mut().skip(key * R).zip(q) {
        *sum = s.fma(q, x, *sum);
    }
}

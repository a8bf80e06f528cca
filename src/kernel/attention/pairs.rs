//! Values in pairs of keys, an even one and the next, as they are multiplied two at a time: made once for a block of keys, for all blocks
//! of queries that take it in turn.
//!
//! They stand in `fetched` from the block's first key on, line by line where registers multiply them, and dimension by dimension where
//! tiles do.

use core::mem::MaybeUninit;
use core::ops::Range;

use half::bf16;

use super::block::Block;
use super::head::Operand;
use super::place::Segment;
use crate::kernel::Strided;
use crate::kernel::map::{load, registers, store};
use crate::kernel::pack::Block as Square;
use crate::scratch::some;
use crate::simd::{Bf16Dot, MAX_LANES, Simd};

/// A row of values that is not there.
const ZEROS: [bf16; MAX_LANES] = [bf16::ZERO; MAX_LANES];

/// The rows of an operand that is bf16.
#[inline(always)]
pub(super) fn rows(operand: Operand) -> Strided<bf16> {
    match operand {
        Operand::Bf16(rows) => rows,
        Operand::F32(_) | Operand::F16(_) => {
            debug_assert!(false, "chosen only where all operands are bf16");
            Strided { ptr: core::ptr::null(), row: 0, col: 0 }
        }
    }
}

/// 1 if the segment begins with the second of a pair of keys.
#[inline(always)]
pub(super) fn before(segment: &Segment) -> usize {
    segment.keys.start % 2
}

/// The keys from `first` on, an even one, that are in `keys`, counted from the first of them: `None` for one that is not.
#[inline(always)]
pub(super) fn pair_within(keys: &Range<usize>, first: usize) -> [Option<usize>; 2] {
    [first, first + 1].map(|key| if keys.contains(&key) { Some(key - keys.start) } else { None })
}

/// Floats that the values of a block of keys take, in pairs: whole registers of them in a row.
pub(super) const fn values_len(dv: usize, keys: usize, lanes: usize) -> Option<usize> {
    some!(keys.div_ceil(2).checked_next_multiple_of(lanes)).checked_mul(dv)
}

/// The first key of the block that a key is in, or the one before it if that is odd: the first of the pairs that stand in `fetched`.
#[inline(always)]
fn first_of_block<S: Bf16Dot>(block: &Block<'_, S>, key: usize) -> usize {
    let first = key - block.place_in_block(key);
    first - first % 2
}

/// Pairs from a row of values to the next, where they stand for tiles.
#[inline(always)]
fn row_for_tiles<S: Bf16Dot>(block: &Block<'_, S>) -> usize {
    block.keys.div_ceil(2).next_multiple_of(S::LANES)
}

/// Makes pairs of the values of these keys of a block, a register of pairs of keys by one of dimensions at a time.
///
/// # Safety
/// See `Queries`; the operands are bf16.
#[inline(always)]
pub(super) unsafe fn take<S: Bf16Dot>(block: &Block<'_, S>, keys: &Range<usize>) {
    let (s, dv, row) = (block.s, block.head.heads.dv, row_for_tiles(block));
    let first = first_of_block(block, keys.start);
    let end = (keys.end - first).div_ceil(2);
    let mut square = MaybeUninit::<Square>::uninit();
    let square = square.as_mut_ptr().cast::<f32>();
    // Whole registers of pairs, or what tiles have written behind them would be another row's.
    let start = (keys.start - first) / 2 / S::LANES * S::LANES;
    for pair in (start..end).step_by(S::LANES) {
        for (at, count) in registers::<S>(dv) {
            // SAFETY: the values exist, and there is room for whole registers of pairs, or a line for each that has a key.
            unsafe {
                zip(block, keys, first + 2 * pair, [at, count], square);
                if block.level.has_tiles() {
                    turn(s, square, count, (block.buffers.fetched.add(at * row + pair), row));
                } else {
                    for i in 0..(end - pair).min(S::LANES) {
                        let line = block.buffers.fetched.add((pair + i) * dv + at);
                        store(s, line, count, s.load(square.add(i * S::LANES)));
                    }
                }
            }
        }
    }
}

/// A register of pairs from `key` on, each with `count` columns of their values from `at` on; 0 for keys that are not there.
#[inline(always)]
unsafe fn zip<S: Bf16Dot>(
    block: &Block<'_, S>,
    keys: &Range<usize>,
    key: usize,
    [at, count]: [usize; 2],
    to: *mut f32,
) {
    let s = block.s;
    let left = keys.end.saturating_sub(key);
    // Pairs of which both keys are there, the usual case: they are not looked at one by one.
    let whole = if key >= keys.start && count == S::LANES { (left / 2).min(S::LANES) } else { 0 };
    // SAFETY: the values exist, and there is room for a square.
    unsafe {
        let v = rows(block.head.v).at(block.head.ring.row(keys.start) + key.saturating_sub(keys.start), at);
        for i in 0..whole {
            s.store(to.add(i * S::LANES), s.load_zipped(v.at(2 * i, 0).ptr, v.at(2 * i + 1, 0).ptr));
        }
        let end = left.div_ceil(2).min(S::LANES);
        for i in whole..end {
            s.store(to.add(i * S::LANES), pair_of_values(block, keys, key + 2 * i, [at, count]));
        }
        for i in end..S::LANES {
            s.store(to.add(i * S::LANES), s.splat(0.0));
        }
    }
}

/// Turns a square: `count` of its columns become lines, a stride apart.
#[inline(always)]
pub(super) unsafe fn turn<S: Simd>(s: S, square: *const f32, count: usize, (to, stride): (*mut f32, usize)) {
    let mut lines = MaybeUninit::<Square>::uninit();
    let lines = lines.as_mut_ptr().cast::<f32>();
    let is_whole = count == S::LANES;
    let (all, apart) = if is_whole { (to, stride) } else { (lines, S::LANES) };
    // SAFETY: there is room for all lines in `lines`, and for `count` of them where they belong.
    unsafe {
        s.transpose(square, S::LANES, all, apart);
        for i in 0..if is_whole { 0 } else { count } {
            s.store(to.add(i * stride), s.load(lines.add(i * S::LANES)));
        }
    }
}

/// Pairs of the values of two keys, `key` and the next, `count` columns from `at` on; 0 for one that is not in `keys`.
#[inline(always)]
unsafe fn pair_of_values<S: Bf16Dot>(
    block: &Block<'_, S>,
    keys: &Range<usize>,
    key: usize,
    [at, count]: [usize; 2],
) -> S::F32 {
    let s = block.s;
    let v = rows(block.head.v).at(block.head.ring.row(keys.start), at);
    let mut values = [ZEROS.as_ptr(); 2];
    for (value, key) in values.iter_mut().zip(pair_within(keys, key)) {
        if let Some(key) = key {
            *value = v.at(key, 0).ptr;
        }
    }
    let [first, second] = values;
    // SAFETY: as many of both are readable.
    unsafe {
        if count == S::LANES {
            s.load_zipped(first, second)
        } else {
            s.pair(load(s, first, count), load(s, second, count))
        }
    }
}

/// The values that have been taken, a row for each dimension, from the segment's first pair on.
#[inline(always)]
pub(super) fn values<S: Bf16Dot>(block: &Block<'_, S>, segment: &Segment) -> Strided<bf16> {
    let ptr = block.buffers.fetched.cast_const().cast();
    let all = if block.level.has_tiles() {
        Strided { ptr, row: 2 * row_for_tiles(block), col: 1 }
    } else {
        Strided { ptr, row: 2, col: block.head.heads.dv }
    };
    all.at(0, segment.keys.start - before(segment) - first_of_block(block, segment.keys.start))
}

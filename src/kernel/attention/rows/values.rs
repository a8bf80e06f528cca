//! The products of few queries' exponentials with values.

use core::mem::MaybeUninit;

use super::BEFORE;
use super::together::together;
use crate::element::{Element, Load};
use crate::kernel::Strided;
use crate::kernel::ahead::LINE;
use crate::kernel::attention::block::Block;
use crate::kernel::each;
use crate::kernel::map::{load, registers};
use crate::kernel::tile::FEW_TILES;
use crate::simd::{MAX_LANES, Simd};

/// Values that are added up before they go to the output: few enough that they are read as they lie, row after row, though the
/// registers hold the sums of some columns only.
const ADDED: usize = 16;

/// Registers of sums that are kept at a time, on levels with 16 registers; twice as many where there are 32 of 16 lanes.
pub(super) const SUMS: usize = 8;

/// Values and the first one's line, some at a time: how many.
#[inline(always)]
fn by_some<E: Copy>(v: Strided<E>, keys: usize, line: usize) -> impl Iterator<Item = (Strided<E>, usize, usize)> {
    (0..keys).step_by(ADDED).map(move |first| (v.at(first, 0), (keys - first).min(ADDED), line + first))
}

/// Values times their exponentials, of which `line` is the first value's line, added to `R` rows of the output, `C` registers of columns
/// after others.
#[inline(always)]
pub(super) unsafe fn accumulate<S: Simd, E: Load, const R: usize, const C: usize>(
    block: &Block<'_, S>,
    v: Strided<E>,
    keys: usize,
    line: usize,
) {
    for (v, keys, line) in by_some(v, keys, line) {
        // SAFETY: the same contract.
        unsafe { accumulate_some::<S, E, R, C>(block, v, keys, line) }
    }
}

/// At most [`ADDED`] of them.
#[inline(always)]
unsafe fn accumulate_some<S: Simd, E: Load, const R: usize, const C: usize>(
    block: &Block<'_, S>,
    v: Strided<E>,
    keys: usize,
    line: usize,
) {
    let dv = block.head.heads.dv;
    let mut at = 0;
    let mut rest = MaybeUninit::<[E; ADDED * MAX_LANES]>::uninit();
    let rest = rest.as_mut_ptr().cast::<E>();
    // SAFETY: the values exist, and the output up to whole registers; `rest` has room for a register of each value.
    unsafe {
        while S::LANES == 16 && !FEW_TILES && at + 2 * C * S::LANES <= dv {
            accumulate_columns::<S, E, R, C, 2>(block, v.at(0, at), keys, line, at);
            at += 2 * C * S::LANES;
        }
        while C > 1 && at + C * S::LANES <= dv {
            accumulate_columns::<S, E, R, C, 1>(block, v.at(0, at), keys, line, at);
            at += C * S::LANES;
        }
        while at < dv {
            let mut columns = v.at(0, at);
            if at + S::LANES > dv {
                take_rest(columns, [keys, dv - at], S::LANES, rest);
                columns = Strided { ptr: rest, row: S::LANES, col: 1 };
            }
            accumulate_columns::<S, E, R, 1, 1>(block, columns, keys, line, at);
            at += S::LANES;
        }
    }
}

/// `N` times `C` registers of columns, which are those of the output from `at` on.
#[inline(always)]
unsafe fn accumulate_columns<S: Simd, E: Load, const R: usize, const C: usize, const N: usize>(
    block: &Block<'_, S>,
    v: Strided<E>,
    keys: usize,
    line: usize,
    at: usize,
) {
    let s = block.s;
    let stride = block.head.heads.dv.next_multiple_of(S::LANES);
    // SAFETY: the values exist, their exponentials, and the output up to whole registers.
    unsafe {
        // A sum of its own: one chain over all keys would round more.
        let mut sums = [[[s.splat(0.0); C]; N]; R];
        for key in 0..keys {
            let value = v.at(key, 0).ptr;
            ask_for(s, v.at(key + BEFORE, 0).ptr, N * C * S::LANES);
            let p = together(block, line + key, R);
            for n in 0..N {
                let x = each!(s.splat(0.0); C, c => E::load(s, value.add((n * C + c) * S::LANES)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let p = s.splat(*p.add(r));
                    sums[n] = each!(p; C, c => s.fma(x[c], p, sums[n][c]));
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (n, sums) in sums.into_iter().enumerate() {
                for (c, sum) in sums.into_iter().enumerate() {
                    let output = block.buffers.output.add(at + r * stride + (n * C + c) * S::LANES);
                    s.store(output, s.add(s.load(output), sum));
                }
            }
        }
    }
}

/// Asks for the cache lines of `count` elements.
#[inline(always)]
fn ask_for<S: Simd, E>(s: S, p: *const E, count: usize) {
    for at in (0..count * size_of::<E>()).step_by(LINE) {
        s.prefetch::<0>(p.cast::<u8>().wrapping_add(at));
    }
}

/// As the product, without what is masked: a weight of 0 times a value of NaN would not be 0. The lines still have the scores.
#[inline(always)]
pub(super) unsafe fn accumulate_masked<S: Simd, E: Load>(
    block: &Block<'_, S>,
    v: Strided<E>,
    keys: usize,
    line: usize,
    queries: usize,
) {
    let (s, dv) = (block.s, block.head.heads.dv);
    for (v, keys, line) in by_some(v, keys, line) {
        for row in 0..block.pairs.len() {
            for (at, count) in registers::<S>(dv) {
                let mut sum = s.splat(0.0);
                // SAFETY: the values exist, their scores and exponentials, and the output.
                unsafe {
                    for key in 0..keys {
                        let score = *block.at(block.buffers.scores, line + key, 0).add(row);
                        if score >= f32::MIN || score.is_nan() {
                            let p = *together(block, line + key, queries).add(row);
                            sum = s.fma(load(s, v.at(key, at).ptr, count), s.splat(p), sum);
                        }
                    }
                    let output = block.buffers.output.add(row * dv.next_multiple_of(S::LANES) + at);
                    s.store(output, s.add(s.load(output), sum));
                }
            }
        }
    }
}

/// Rows of so many elements (`size`: rows, columns) as rows of `lanes`, with zeros behind them. A function of its own, as it has nothing
/// of an instruction set.
///
/// # Safety
/// `from` is readable over `size`, `to` writable over as many rows of `lanes`.
#[inline(never)]
unsafe fn take_rest<E: Element>(from: Strided<E>, [rows, columns]: [usize; 2], lanes: usize, to: *mut E) {
    for row in 0..rows {
        for column in 0..lanes {
            // SAFETY: the same contract.
            unsafe {
                let x = if column < columns { *from.at(row, column).ptr } else { E::ZERO };
                to.add(row * lanes + column).write(x);
            }
        }
    }
}

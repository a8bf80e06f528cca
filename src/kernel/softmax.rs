//! Softmax of rows in place: the maximum, the exponentials relative to it and their sum, then a factor.
//!
//! An element costs one exponential. What surrounds it is arranged around the exponentials, which leave the load ports and a
//! part of the adders free: while those of one block are taken, the maximum of the next is found on the way, which also brings
//! it into the first-level cache.
//!
//! A long row goes block by block. The exponentials of a block are relative to the largest value up to its end (the online
//! recurrence of Milakov & Gimelshein 2018, arXiv 1805.02867, a block at a time); the last pass multiplies each block by
//! `e^(that value - the row's maximum) / sum`. So memory sees two passes over the row, not three.

use core::ops::Range;

use crate::engine::{Engine, div_rem};
use crate::kernel::map::{load, registers, store};
use crate::kernel::{Shared, each};
use crate::simd::math::{self, ExpNonpositive};
use crate::simd::{Level, Op, Simd};
use crate::view::MatMut;

/// Elements a task takes at least: fewer cost more to hand out than to do.
const GRAIN: usize = 1 << 15;

/// The shortest block but for a row's last. 16 KiB: a block and the next fit a first-level cache together.
const BLOCK: usize = 1 << 12;
/// The most blocks of a row; longer rows have longer blocks.
const BLOCKS: usize = 256;

/// Softmax of every row in place, split among the engine's threads. -inf has the weight 0; a row of nothing but -inf becomes
/// zeros; a NaN or +inf makes the whole row NaN.
pub(crate) fn softmax(engine: &Engine<'_>, mut x: MatMut<'_>) {
    let (rows, cols, stride) = (x.rows(), x.cols(), x.stride());
    if cols == 0 {
        return;
    }
    let shared = Shared(x.as_mut_ptr());
    engine.split(rows, GRAIN.div_ceil(cols), |_, rows| {
        engine.level().dispatch(Softmax { x: shared.get(), stride, cols, rows, sums: core::ptr::null_mut() });
    });
}

/// Softmax of rows of `cols` elements, one after the other, at most [`BLOCK`] each, on this thread. `sums` are the maximum of each row and
/// the sum of its exponentials relative to it.
pub(crate) fn of_rows(level: Level, x: &mut [f32], cols: usize, sums: &mut [[f32; 2]]) {
    debug_assert!(cols <= BLOCK, "long rows have no one maximum");
    let rows = 0..div_rem(x.len(), cols).0.min(sums.len());
    level.dispatch(Softmax { x: x.as_mut_ptr(), stride: cols, cols, rows, sums: sums.as_mut_ptr() });
}

/// Some rows of a softmax: what one task computes. `x` is valid over them, and no other task touches them; `sums` is null or as long.
struct Softmax {
    x: *mut f32,
    stride: usize,
    cols: usize,
    rows: Range<usize>,
    /// Of rows of one block.
    sums: *mut [f32; 2],
}

impl Op for Softmax {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.cols <= BLOCK {
            return self.short_rows(s);
        }
        for i in self.rows.clone() {
            // SAFETY: no other slice of the row is in use.
            long_row(s, unsafe { self.row(i) });
        }
    }
}

impl Softmax {
    /// Row `i`; past the last, nothing.
    ///
    /// # Safety
    /// No writable slice of the row may be in use together with another.
    #[inline(always)]
    unsafe fn row<'a>(&self, i: usize) -> &'a mut [f32] {
        if i >= self.rows.end {
            return &mut [];
        }
        // SAFETY: the row is valid and this task's own, see the type; the caller has no other slice of it.
        unsafe { core::slice::from_raw_parts_mut(self.x.add(i * self.stride), self.cols) }
    }

    /// Rows of one block. A row is scaled only after the exponentials of the next: its sum and the quotient take time.
    #[inline(always)]
    fn short_rows<S: Simd>(&self, s: S) {
        // SAFETY: the only slice in use.
        let mut max = block_max(s, unsafe { self.row(self.rows.start) });
        let (mut previous, mut factor): (&mut [f32], f32) = (&mut [], 0.0);
        for i in self.rows.clone() {
            // SAFETY: slices in use at a time are of the rows i - 1, i and i + 1.
            let (row, next) = unsafe { (self.row(i), self.row(i + 1)) };
            let (sum, next_max) = exponentials(s, row, finite_or_zero(max), next);
            if !self.sums.is_null() {
                // SAFETY: there is one for each row.
                unsafe { self.sums.add(i).write([max, sum]) };
            }
            scale(s, previous, factor);
            (previous, factor, max) = (row, reciprocal(sum), next_max);
        }
        scale(s, previous, factor);
    }
}

/// A row of several blocks.
#[inline(always)]
fn long_row<S: Simd>(s: S, row: &mut [f32]) {
    let len = row.len().div_ceil(BLOCKS).max(BLOCK);
    // The largest value up to the end of each block, of the blocks so far, and of the block.
    let mut tops = [f32::NEG_INFINITY; BLOCKS];
    let mut max = f32::NEG_INFINITY;
    let mut block_top = block_max(s, &row[..len.min(row.len())]);
    let mut sum = 0.0;
    let mut rest = &mut *row;
    for top in &mut tops {
        let (block, after) = rest.split_at_mut(len.min(rest.len()));
        if max < block_top {
            // `max`, not its safe form: where nothing was seen yet it is -inf, and the factor 0.
            sum *= exp_one(s, max - block_top);
            max = block_top;
        }
        *top = max;
        let (of_block, next_top) = exponentials(s, block, finite_or_zero(max), &after[..len.min(after.len())]);
        (sum, block_top, rest) = (sum + of_block, next_top, after);
        if rest.is_empty() {
            break;
        }
    }
    let inverse = reciprocal(sum);
    for (block, &top) in row.chunks_mut(len).zip(&tops) {
        let factor = if top < max { exp_one(s, top - max) * inverse } else { inverse };
        scale(s, block, factor);
    }
}

/// `1 / sum`; 0 for the sum of a row without any weight, whose exponentials are 0 and stay so.
fn reciprocal(sum: f32) -> f32 {
    if sum == 0.0 { 0.0 } else { 1.0 / sum }
}

/// The maximum that is safe to subtract: 0 instead of -inf, so that `-inf - max` is -inf and not NaN.
#[inline(always)]
pub(crate) fn finite_max<S: Simd>(s: S, max: S::F32) -> S::F32 {
    s.select(s.lt(max, s.splat(f32::MIN)), s.splat(0.0), max)
}

/// As [`finite_max`], of one value.
fn finite_or_zero(max: f32) -> f32 {
    if max < f32::MIN { 0.0 } else { max }
}

/// `e^x` of one value that is not positive.
#[inline(always)]
fn exp_one<S: Simd>(s: S, x: f32) -> f32 {
    s.reduce_max(s.apply::<ExpNonpositive>(s.splat(x)))
}

/// Chains of operations side by side: enough to hide the latency of one.
const CHAINS: usize = 4;

/// The largest element, NaNs left out; -inf if there is none.
#[inline(always)]
fn block_max<S: Simd>(s: S, block: &[f32]) -> f32 {
    let mut tops = [s.splat(f32::NEG_INFINITY); CHAINS];
    max_rest(s, block, &mut tops);
    reduce_max(s, tops)
}

#[inline(always)]
fn max_rest<S: Simd>(s: S, x: &[f32], tops: &mut [S::F32; CHAINS]) {
    let mut groups = x.chunks_exact(CHAINS * S::LANES);
    for group in &mut groups {
        // SAFETY: the group has CHAINS registers.
        unsafe { max_group::<S, CHAINS>(s, group.as_ptr(), tops) };
    }
    let rest = groups.remainder();
    for (at, n) in registers::<S>(rest.len()) {
        // SAFETY: `at + n` is at most the length.
        tops[0] = s.max(unsafe { load_or_nothing(s, rest.as_ptr().add(at), n) }, tops[0]);
    }
}

/// # Safety
/// `p` is valid for N registers.
#[inline(always)]
unsafe fn max_group<S: Simd, const N: usize>(s: S, p: *const f32, tops: &mut [S::F32; CHAINS]) {
    for i in 0..N {
        // A NaN loses: `max` returns its second operand. It is not forgotten, the sum will have it.
        // SAFETY: the same contract.
        tops[i % CHAINS] = s.max(unsafe { s.load(p.add(i * S::LANES)) }, tops[i % CHAINS]);
    }
}

#[inline(always)]
fn reduce_max<S: Simd>(s: S, [a, b, c, d]: [S::F32; CHAINS]) -> f32 {
    s.reduce_max(s.max(s.max(a, b), s.max(c, d)))
}

#[inline(always)]
fn reduce_add<S: Simd>(s: S, [a, b, c, d]: [S::F32; CHAINS]) -> f32 {
    s.reduce_add(s.add(s.add(a, b), s.add(c, d)))
}

/// `x = e^(x - max)` for a block. Returns the sum, and the maximum of the block to come (see [`block_max`]).
#[inline(always)]
fn exponentials<S: Simd>(s: S, block: &mut [f32], max: f32, next: &[f32]) -> (f32, f32) {
    // As many exponentials side by side as 32 registers hold, or 16.
    if S::LANES == 16 {
        exponentials_by::<S, 8>(s, block, max, next)
    } else {
        exponentials_by::<S, 4>(s, block, max, next)
    }
}

#[inline(always)]
fn exponentials_by<S: Simd, const N: usize>(s: S, block: &mut [f32], max: f32, next: &[f32]) -> (f32, f32) {
    let width = N * S::LANES;
    let (groups, rest) = block.split_at_mut(block.len() / width * width);
    let mut sums = [s.splat(0.0); CHAINS];
    if next.len() < groups.len() {
        // Before the last block of a row, and at the end: nothing, or little, is ahead.
        for group in groups.chunks_exact_mut(width) {
            // SAFETY: the group has N registers.
            unsafe { exp_group::<S, N>(s, group.as_mut_ptr(), s.splat(max), &mut sums) };
        }
        exp_rest(s, rest, max, &mut sums[0]);
        return (reduce_add(s, sums), block_max(s, next));
    }
    let mut tops = [s.splat(f32::NEG_INFINITY); CHAINS];
    let (ahead, ahead_rest) = next.split_at(groups.len());
    for (group, ahead) in groups.chunks_exact_mut(width).zip(ahead.chunks_exact(width)) {
        // SAFETY: both groups have N registers.
        unsafe {
            max_group::<S, N>(s, ahead.as_ptr(), &mut tops);
            exp_group::<S, N>(s, group.as_mut_ptr(), s.splat(max), &mut sums);
        }
    }
    exp_rest(s, rest, max, &mut sums[0]);
    max_rest(s, ahead_rest, &mut tops);
    (reduce_add(s, sums), reduce_max(s, tops))
}

/// `x = e^(x - max)` for N registers, added to the sums.
///
/// # Safety
/// `p` is valid for N registers.
#[inline(always)]
unsafe fn exp_group<S: Simd, const N: usize>(s: S, p: *mut f32, max: S::F32, sums: &mut [S::F32; CHAINS]) {
    // SAFETY: the same contract.
    let x = each!(max; N, i => s.sub(unsafe { s.load(p.cast_const().add(i * S::LANES)) }, max));
    let y = if S::SMALL { each!(max; N, i => s.apply::<ExpNonpositive>(x[i])) } else { math::exp_nonpositive(s, x) };
    for (i, y) in y.into_iter().enumerate() {
        // SAFETY: the same contract.
        unsafe { s.store(p.add(i * S::LANES), y) };
        sums[i % CHAINS] = s.add(sums[i % CHAINS], y);
    }
}

/// What does not fill a group.
#[inline(always)]
fn exp_rest<S: Simd>(s: S, rest: &mut [f32], max: f32, sum: &mut S::F32) {
    let p = rest.as_mut_ptr();
    for (at, n) in registers::<S>(rest.len()) {
        // SAFETY: `at + n` is at most the length.
        unsafe {
            let x = load_or_nothing(s, p.cast_const().add(at), n);
            let y = s.apply::<ExpNonpositive>(s.sub(x, s.splat(max)));
            store(s, p.add(at), n, y);
            *sum = s.add(*sum, y);
        }
    }
}

/// The first `n` elements, then -inf, which has no weight.
///
/// # Safety
/// `p` is readable for `n <= LANES` elements.
#[inline(always)]
unsafe fn load_or_nothing<S: Simd>(s: S, p: *const f32, n: usize) -> S::F32 {
    // SAFETY: the same contract.
    let x = unsafe { load(s, p, n) };
    s.select(s.lt(s.iota(), s.splat(n as f32)), x, s.splat(f32::NEG_INFINITY))
}

/// `x *= factor`, in registers that lie at multiples of their size: a store across two cache lines costs two.
#[inline(always)]
fn scale<S: Simd>(s: S, block: &mut [f32], factor: f32) {
    let factor = s.splat(factor);
    let head = (block.as_ptr().addr() / size_of::<f32>()).wrapping_neg() % S::LANES;
    let (head, block) = block.split_at_mut(head.min(block.len()));
    scale_registers(s, head, factor);
    let mut groups = block.chunks_exact_mut(CHAINS * S::LANES);
    for group in &mut groups {
        let p = group.as_mut_ptr();
        for i in 0..CHAINS {
            // SAFETY: the group has CHAINS registers.
            unsafe { s.store(p.add(i * S::LANES), s.mul(s.load(p.cast_const().add(i * S::LANES)), factor)) }
        }
    }
    scale_registers(s, groups.into_remainder(), factor);
}

#[inline(always)]
fn scale_registers<S: Simd>(s: S, x: &mut [f32], factor: S::F32) {
    let p = x.as_mut_ptr();
    for (at, n) in registers::<S>(x.len()) {
        // SAFETY: `at + n` is at most the length.
        unsafe { store(s, p.add(at), n, s.mul(load(s, p.cast_const().add(at), n), factor)) }
    }
}

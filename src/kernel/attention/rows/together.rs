//! Scores of few queries side by side, without the lanes that have none: `R` of a key, then those of the next. So a register of
//! exponentials is a full one. Where the options look at scores, they are lines as elsewhere.

use core::ops::Range;

use crate::kernel::attention::block::Block;
use crate::kernel::attention::queries::{MAX, SUM};
use crate::kernel::each;
use crate::kernel::map::{load, registers, store};
use crate::kernel::softmax::finite_max;
use crate::simd::math::{self, Exp2Bounded};
use crate::simd::{MAX_LANES, Simd};

/// Registers whose maxima are found side by side.
const CHAINS: usize = 4;

/// The scores of line `line` and those behind them, behind the lines and the largest scores: a line has room for as many registers as
/// the level's tile, and uses one.
#[inline(always)]
pub(super) fn together<S: Simd>(block: &Block<'_, S>, line: usize, queries: usize) -> *mut f32 {
    const { assert!(S::SMALL || S::NV >= 2) };
    block.at(block.buffers.scores, block.keys + 1, 0).wrapping_add(line * queries)
}

/// Scores as lines.
#[inline(always)]
pub(super) unsafe fn to_lines<S: Simd>(block: &Block<'_, S>, keys: usize, line: usize, queries: usize) {
    // SAFETY: the scores have been written, and the lines are there.
    unsafe {
        for line in line..line + keys {
            block.store(block.buffers.scores, line, 0, block.s.load_first(together(block, line, queries), queries));
        }
    }
}

/// Lines as scores side by side.
#[inline(always)]
pub(super) unsafe fn from_lines<S: Simd>(block: &Block<'_, S>, keys: usize, line: usize, queries: usize) {
    // SAFETY: the lines have been written.
    unsafe {
        for line in line..line + keys {
            let from = block.at(block.buffers.scores, line, 0).cast_const();
            from.copy_to_nonoverlapping(together(block, line, queries), queries);
        }
    }
}

/// The largest score of each of so many queries.
#[inline(always)]
pub(super) unsafe fn top<S: Simd>(block: &Block<'_, S>, keys: usize, line: usize, queries: usize) {
    let (s, len) = (block.s, keys * queries);
    let scores = together(block, line, queries).cast_const();
    let mut tops = [s.splat(f32::NEG_INFINITY); CHAINS];
    let whole = len - len % (CHAINS * S::LANES);
    // SAFETY: the scores have been written.
    unsafe {
        for at in (0..whole).step_by(CHAINS * S::LANES) {
            tops = each!(tops[0]; CHAINS, i => s.max(tops[i], s.load(scores.add(at + i * S::LANES))));
        }
        for (at, count) in registers::<S>(len - whole) {
            let is_one = s.lt(s.iota(), s.splat(count as f32));
            let x = load(s, scores.add(whole + at), count);
            tops[0] = s.max(tops[0], s.select(is_one, x, s.splat(f32::NEG_INFINITY)));
        }
        let mut all = [0.0_f32; MAX_LANES];
        s.store(all.as_mut_ptr(), s.max(s.max(tops[0], tops[1]), s.max(tops[2], tops[3])));
        let mut top = block.load(block.tops(), 0, 0);
        for at in (0..S::LANES).step_by(queries) {
            top = s.max(top, s.load_first(all.as_ptr().add(at), queries));
        }
        block.store(block.tops(), 0, 0, top);
    }
}

/// A sum for each query and each of `LANES` keys.
type Sums = [f32; SUMS];
const SUMS: usize = MAX_LANES * super::most_pairs(MAX_LANES);

/// The exponentials of scores, less each query's maximum, in place of them, and the sums: of every key in `LANES` first, however many
/// queries there are, so that the bits of one do not depend on it.
#[inline(always)]
pub(super) unsafe fn exponentials<S: Simd, const R: usize>(block: &Block<'_, S>, keys: usize, line: usize) {
    let s = block.s;
    let (scores, whole) = (together(block, line, R), keys - keys % S::LANES);
    let mut sums = [s.splat(0.0); R];
    let mut all = [0.0; SUMS];
    // SAFETY: the scores have been written, and the state.
    unsafe {
        let max = maxima(block, R);
        for key in (0..whole).step_by(S::LANES) {
            let scores = scores.add(key * R);
            let x = each!(max; R, g => s.sub(s.load(scores.cast_const().add(g * S::LANES)), max));
            for (g, p) in math::exp2_bounded(s, x).into_iter().enumerate() {
                sums[g] = s.add(sums[g], p);
                s.store(scores.add(g * S::LANES), p);
            }
        }
        for (g, sum) in sums.into_iter().enumerate() {
            s.store(all.as_mut_ptr().add(g * S::LANES), sum);
        }
        exponentials_of(block, (whole..keys, line, R), max, &mut all);
        add_sums(block, keys, R, &all);
    }
}

/// The same for any number of queries, register by register.
#[inline(always)]
pub(super) unsafe fn exponentials_one_by_one<S: Simd>(block: &Block<'_, S>, keys: usize, line: usize, queries: usize) {
    let mut all = [0.0; SUMS];
    // SAFETY: the same contract.
    unsafe {
        exponentials_of(block, (0..keys, line, queries), maxima(block, queries), &mut all);
        add_sums(block, keys, queries, &all);
    }
}

/// Those of some keys, the first of which is one that begins `LANES` of them, from a line and of so many queries.
#[inline(always)]
unsafe fn exponentials_of<S: Simd>(
    block: &Block<'_, S>,
    (keys, line, queries): (Range<usize>, usize, usize),
    max: S::F32,
    sums: &mut Sums,
) {
    let s = block.s;
    let scores = together(block, line, queries);
    // SAFETY: the scores have been written.
    unsafe {
        for start in keys.clone().step_by(S::LANES) {
            for (at, count) in registers::<S>((keys.end - start).min(S::LANES) * queries) {
                let (scores, sum) = (scores.add(start * queries + at), sums.as_mut_ptr().add(at));
                let p = s.apply::<Exp2Bounded>(s.sub(load(s, scores, count), max));
                store(s, scores, count, p);
                let is_one = s.lt(s.iota(), s.splat(count as f32));
                s.store(sum, s.add(s.load(sum), s.select(is_one, p, s.splat(0.0))));
            }
        }
    }
}

#[inline(always)]
unsafe fn add_sums<S: Simd>(block: &Block<'_, S>, keys: usize, queries: usize, sums: &Sums) {
    let s = block.s;
    // SAFETY: the state has been written.
    unsafe {
        let mut sum = block.load(block.buffers.state, SUM, 0);
        for key in 0..keys.min(S::LANES) {
            sum = s.add(sum, s.load_first(sums.as_ptr().add(key * queries), queries));
        }
        block.store(block.buffers.state, SUM, 0, sum);
    }
}

/// The maximum of each of so many queries, a divisor of `LANES`, again and again.
#[inline(always)]
unsafe fn maxima<S: Simd>(block: &Block<'_, S>, queries: usize) -> S::F32 {
    let s = block.s;
    let mut all = [0.0_f32; 2 * MAX_LANES];
    // SAFETY: the state has been written; there is room for a register from any lane on.
    unsafe {
        let max = finite_max(s, block.load(block.buffers.state, MAX, 0));
        for at in (0..S::LANES).step_by(queries) {
            s.store(all.as_mut_ptr().add(at), max);
        }
        s.load(all.as_ptr())
    }
}

//! Scores of few queries side by side, without the lanes that have none: `R` of a key, then those of the next. So a register of
//! exponentials is a full one. Where the options look at scores, they are lines as elsewhere.

use crate::kernel::attention::block::Block;
use crate::kernel::attention::queries::{MAX, SUM};
use crate::kernel::each;
use crate::kernel::map::{load, registers, store};
use crate::kernel::softmax::finite_max;
use crate::kernel::tile::FEW_TILES;
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

/// The exponentials of scores, less each query's maximum, in place of them, and the sums: of every key in `LANES` first, however many
/// queries there are, so that the bits of one do not depend on it.
#[inline(always)]
pub(super) unsafe fn exponentials<S: Simd, const R: usize>(block: &Block<'_, S>, keys: usize, line: usize) {
    let s = block.s;
    let scores = together(block, line, R);
    let whole = if FEW_TILES { 0 } else { keys - keys % S::LANES };
    let mut sums = [s.splat(0.0); R];
    let mut all = [0.0_f32; MAX_LANES * super::most_pairs(MAX_LANES)];
    // SAFETY: the scores have been written, and the state; there is a sum for each query and each of `LANES` keys.
    unsafe {
        let max = repeated::<S, R>(s, finite_max(s, block.load(block.buffers.state, MAX, 0)));
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
        for start in (whole..keys).step_by(S::LANES) {
            for (at, count) in registers::<S>((keys - start).min(S::LANES) * R) {
                let (scores, sum) = (scores.add(start * R + at), all.as_mut_ptr().add(at));
                let p = s.apply::<Exp2Bounded>(s.sub(load(s, scores, count), max));
                store(s, scores, count, p);
                let is_one = s.lt(s.iota(), s.splat(count as f32));
                s.store(sum, s.add(s.load(sum), s.select(is_one, p, s.splat(0.0))));
            }
        }
        let mut sum = block.load(block.buffers.state, SUM, 0);
        for key in 0..keys.min(S::LANES) {
            sum = s.add(sum, s.load_first(all.as_ptr().add(key * R), R));
        }
        block.store(block.buffers.state, SUM, 0, sum);
    }
}

/// The first `R` lanes again and again.
#[inline(always)]
fn repeated<S: Simd, const R: usize>(s: S, x: S::F32) -> S::F32 {
    let (mut once, mut all) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
    // SAFETY: both have room for a register.
    unsafe {
        s.store(once.as_mut_ptr(), x);
        for (i, x) in all.iter_mut().enumerate() {
            *x = once[i % R];
        }
        s.load(all.as_ptr())
    }
}

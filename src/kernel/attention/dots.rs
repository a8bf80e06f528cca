//! The products of attention where queries, keys and values are bf16 and the CPU multiplies those in pairs: two steps in one
//! instruction.
//!
//! Keys are read in place, two numbers of a row at a time, and the queries are turned into a panel of such pairs. Values are
//! multiplied two keys at a time, an even one and the next, whichever keys a query sees (`pairs.rs`), by as many lines of weights
//! rounded to bf16. The factor of the logits is not a number that bf16 has: its power of two goes into the
//! queries, where it is exact, and what is left of it into the exponentials' argument.

use core::mem::MaybeUninit;
use core::ops::Range;

use half::bf16;

use super::block::{Block, CHUNK, Products};
use super::lanes::{clear_output, rescale, tiles, turn_output};
use super::online::STEP;
use super::pairs::{before, pair_within, rows, take, turn, values};
use super::place::Segment;
use super::queries::{MAX, SUM};
use crate::kernel::block::Block as Tiles;
use crate::kernel::pack::Block as Square;
use crate::kernel::softmax::finite_max;
use crate::kernel::tile::Dot;
use crate::kernel::tiles::{STEPS, multiply as multiply_tiles};
use crate::kernel::{Strided, each};
use crate::simd::math::{self, Exp2Bounded};
use crate::simd::{Bf16Dot, Level, MAX_LANES};

/// Products of bf16 pairs, sums in f32.
pub(crate) struct Dots;

impl<S: Bf16Dot> Products<S> for Dots {
    /// That tiles sum up the same keys together whichever a segment has, it ends at a multiple of as many.
    #[inline(always)]
    fn chunk(block: &Block<'_, S>) -> usize {
        if block.level.has_tiles() { STEPS } else { CHUNK }
    }

    #[inline(always)]
    unsafe fn start(block: &Block<'_, S>) {
        // SAFETY: see `Queries`, here and in all that follows.
        unsafe {
            turn_queries(block);
            if block.begins.is_none() {
                clear_output(block);
            }
        }
    }

    #[inline(always)]
    unsafe fn scores(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let size = [segment.keys.len(), block.head.heads.d];
        let to = block.at(block.buffers.scores, line, segment.registers.start);
        // SAFETY: the keys exist, and the panel has a line for each pair of their numbers.
        unsafe {
            let k = rows(block.head.k).at(block.head.ring.row(segment.keys.start), 0);
            let ahead = block.ahead(block.head.k, segment.keys.end, size, size);
            multiply(block.s, block.level, tiles(block, segment, size, (k, ahead), (block.buffers.queries, to), false));
            if is_late(block) {
                return;
            }
            let rest = block.s.splat(split(block.factor()).1);
            for j in segment.registers.clone() {
                for i in line..line + segment.keys.len() {
                    block.store(block.buffers.scores, i, j, block.s.mul(block.load(block.buffers.scores, i, j), rest));
                }
            }
        }
    }

    #[inline(always)]
    fn rest(block: &Block<'_, S>) -> Option<f32> {
        Some(if is_late(block) { split(block.factor()).1 } else { 1.0 })
    }

    #[inline(always)]
    unsafe fn weigh(block: &Block<'_, S>, segment: &Segment, line: usize) {
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe { pair_weights(block, segment, line, j) }
        }
    }

    #[inline(always)]
    unsafe fn take_values(block: &Block<'_, S>, keys: &Range<usize>) {
        // SAFETY: the values exist.
        unsafe { take(block, keys) }
    }

    #[inline(always)]
    unsafe fn accumulate(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let (dv, v) = (block.head.heads.dv, values(block, segment));
        let to = block.at(block.buffers.output, 0, segment.registers.start);
        let mut add = !block.begins_with(segment);
        for steps in &steps(block, segment) {
            if steps.is_empty() {
                continue;
            }
            let p = block.at(block.buffers.scores, line + steps.start / 2, 0);
            let size = [dv, steps.len()];
            let ahead = block.ahead(block.head.v, segment.keys.end, [segment.keys.len(), dv], size);
            multiply(block.s, block.level, tiles(block, segment, size, (v.at(0, steps.start), ahead), (p, to), add));
            add = true;
        }
    }

    /// The same terms in the same order: a weight of 0 times a value that is not finite would not be 0, times one that is, it is.
    #[inline(always)]
    unsafe fn accumulate_masked(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let v = values(block, segment);
        for column in 0..block.head.heads.dv {
            for j in segment.registers.clone() {
                // SAFETY: the values have been taken, and the segment's lines have been written.
                unsafe {
                    let mut sum = block.load(block.buffers.output, column, j);
                    for steps in &steps(block, segment) {
                        for first in steps.clone().step_by(STEPS) {
                            let pairs = first / 2..steps.end.min(first + STEPS).div_ceil(2);
                            sum = terms_seen(block, segment, line, (v.at(column, 0), j), pairs, sum);
                        }
                    }
                    block.store(block.buffers.output, column, j, sum);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn rescale(block: &Block<'_, S>, j: usize, factor: S::F32) {
        // SAFETY: see `Queries`.
        unsafe { rescale(block, j, factor) }
    }

    #[inline(always)]
    unsafe fn finish(block: &Block<'_, S>, inverse: &[S::F32]) {
        // SAFETY: see `Queries`.
        unsafe { turn_output(block, inverse) }
    }
}

/// A power of two with the sign, and a number from 1 up to 2; or 1 and all of it if it has no such power.
#[inline(always)]
fn split(factor: f32) -> (f32, f32) {
    let power = if factor.is_normal() { f32::from_bits(factor.to_bits() & 0xFF80_0000) } else { 1.0 };
    (power, factor / power)
}

/// Whether scores are multiplied by the rest of the factor as exponentials are taken of them, at no cost: if it is a positive number,
/// and nothing that is added to logits has to be in their unit.
#[inline(always)]
fn is_late<S: Bf16Dot>(block: &Block<'_, S>) -> bool {
    let terms = &block.head.terms;
    block.factor().is_normal() && terms.softcap.is_none() && terms.alibi.is_none() && block.head.bias.is_none()
}

/// Turns the queries, times the power of two of the factor, into a panel of pairs; lanes without a query are zero.
#[inline(always)]
unsafe fn turn_queries<S: Bf16Dot>(block: &Block<'_, S>) {
    let (s, d) = (block.s, block.head.heads.d);
    let power = s.splat(split(block.factor()).0);
    let mut square = MaybeUninit::<Square>::uninit();
    let square = square.as_mut_ptr().cast::<f32>();
    for j in 0..block.sight.registers() {
        let lanes = (block.pairs.len() - j * S::LANES).min(S::LANES);
        for p in (0..d).step_by(2 * S::LANES) {
            let columns = (d - p).min(2 * S::LANES);
            // SAFETY: the queries exist, and the panel has a line for each pair of their numbers.
            unsafe {
                for lane in 0..lanes {
                    let (query, head) = block.pair(j * S::LANES + lane);
                    let pairs = load_pairs(s, rows(block.head.q).at(query, head * d + p).ptr, columns);
                    let (first, second) = (s.first_of_pairs(pairs), s.second_of_pairs(pairs));
                    let scaled = s.pair(s.mul(first, power), s.mul(second, power));
                    s.store(square.add(lane * S::LANES), scaled);
                }
                for lane in lanes..S::LANES {
                    s.store(square.add(lane * S::LANES), s.splat(0.0));
                }
                let to = block.at(block.buffers.queries, p / 2, j);
                turn(s, square.cast_const(), columns.div_ceil(2), (to, block.width));
            }
        }
    }
}

/// `count` numbers, at most two registers' lanes, as pairs; behind them zeros.
#[inline(always)]
unsafe fn load_pairs<S: Bf16Dot>(s: S, from: *const bf16, count: usize) -> S::F32 {
    let mut some = [bf16::ZERO; 2 * MAX_LANES];
    // SAFETY: as many are readable.
    unsafe {
        if count == 2 * S::LANES {
            return s.load_pairs(from);
        }
        core::ptr::copy_nonoverlapping(from, some.as_mut_ptr(), count);
        s.load_pairs(some.as_ptr())
    }
}

/// The two lines of weights of a pair of keys, 0 for one that is not in the segment.
#[inline(always)]
unsafe fn weights<S: Bf16Dot>(
    block: &Block<'_, S>,
    segment: &Segment,
    line: usize,
    pair: usize,
    j: usize,
) -> [S::F32; 2] {
    let mut weights = [block.s.splat(0.0); 2];
    for (weight, key) in
        weights.iter_mut().zip(pair_within(&segment.keys, segment.keys.start - before(segment) + 2 * pair))
    {
        if let Some(key) = key {
            // SAFETY: the segment's lines have been written.
            *weight = unsafe { block.load(block.buffers.scores, line + key, j) };
        }
    }
    weights
}

/// `x` where the weight `p` is not masked, elsewhere 0.
#[inline(always)]
fn seen<S: Bf16Dot>(block: &Block<'_, S>, p: S::F32, x: S::F32) -> S::F32 {
    block.s.select(block.is_masked(p), block.s.splat(0.0), x)
}

/// `sum` and the terms of some pairs of a row of values and register `j` of weights, at most [`STEPS`] keys, without those that are
/// masked.
#[inline(always)]
unsafe fn terms_seen<S: Bf16Dot>(
    block: &Block<'_, S>,
    segment: &Segment,
    line: usize,
    (row, j): (Strided<bf16>, usize),
    pairs: Range<usize>,
    sum: S::F32,
) -> S::F32 {
    let (s, zero) = (block.s, block.s.splat(0.0));
    // Of tiles, the sums of even and of odd terms.
    let mut sums = if block.level.has_tiles() { [zero; 2] } else { [sum; 2] };
    for pair in pairs {
        // SAFETY: the segment's lines and the row's pairs have been written.
        unsafe {
            let [p, q] = weights(block, segment, line, pair, j);
            let v = s.splat_pair(row.at(0, 2 * pair).ptr);
            let [first, second] = [seen(block, p, s.first_of_pairs(v)), seen(block, q, s.second_of_pairs(v))];
            let [p, q] = [seen(block, p, p), seen(block, q, q)];
            if block.level.has_tiles() {
                sums[0] = s.dot(s.pair(first, zero), s.pair(p, zero), sums[0]);
                sums[1] = s.dot(s.pair(second, zero), s.pair(q, zero), sums[1]);
            } else {
                sums[0] = s.dot(s.pair(first, second), s.pair(p, q), sums[0]);
            }
        }
    }
    if block.level.has_tiles() { add_as_tiles(s, sum, add_as_tiles(s, sums[0], sums[1])) } else { sums[0] }
}

/// A sum as tiles make it, to which numbers below the normal ones are zeros.
#[inline(always)]
fn add_as_tiles<S: Bf16Dot>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let flushed = |x: S::F32| {
        let zero = s.mul(x, s.splat(0.0));
        let size = s.max(x, s.sub(s.splat(0.0), x));
        s.select(s.lt(size, s.splat(f32::MIN_POSITIVE)), zero, x)
    };
    flushed(s.add(flushed(a), flushed(b)))
}

/// Makes pairs of weights of a register's scores, in place: never more lines than there were.
#[inline(always)]
unsafe fn pair_weights<S: Bf16Dot>(block: &Block<'_, S>, segment: &Segment, line: usize, j: usize) {
    let (s, lines, state) = (block.s, segment.keys.len(), block.buffers.state);
    let scores = block.at(block.buffers.scores, line, j);
    let rest = s.splat(Dots::rest(block).unwrap_or(1.0));
    let before = before(segment);
    // Steps, of which the first is before the segment if that begins with the second of a pair.
    let (mut from, mut to) = (0, 0);
    // SAFETY: the segment's lines have been written; none is overwritten that is yet to be read.
    unsafe {
        let max = finite_max(s, block.load(state, MAX, j));
        let mut sum = block.load(state, SUM, j);
        while from < before + lines {
            if from >= before && from + STEP <= before + lines {
                let first = scores.add((from - before) * block.width);
                let x = each!(max; STEP, t => s.sub(s.mul(s.load(first.add(t * block.width)), rest), max));
                let p = math::exp2_bounded(s, x);
                for p in p {
                    sum = s.add(sum, p);
                }
                for (t, p) in p.chunks_exact(2).enumerate() {
                    s.store(scores.add((to + t) * block.width), s.pair(p[0], p[1]));
                }
                (from, to) = (from + STEP, to + STEP / 2);
                continue;
            }
            let mut p = [s.splat(0.0); 2];
            for (t, p) in p.iter_mut().enumerate() {
                if from + t >= before && from + t < before + lines {
                    let score = s.load(scores.add((from + t - before) * block.width));
                    *p = s.apply::<Exp2Bounded>(s.sub(s.mul(score, rest), max));
                    sum = s.add(sum, *p);
                }
            }
            s.store(scores.add(to * block.width), s.pair(p[0], p[1]));
            (from, to) = (from + 2, to + 1);
        }
        block.store(state, SUM, j, sum);
        for pair in to..filled(block, segment).div_ceil(2) {
            s.store(scores.add(pair * block.width), s.splat(0.0));
        }
    }
}

/// The steps of a segment's pairs, and those that tiles are filled with behind the last key of all, where values are zeros: a tile of fewer
/// steps is another shape, and values are copied for it. Not where a block is no multiple of tiles, nor where the lines of weights would be
/// more than the segment's own.
#[inline(always)]
fn filled<S: Bf16Dot>(block: &Block<'_, S>, segment: &Segment) -> usize {
    let (steps, start) = (before(segment) + segment.keys.len(), segment.keys.start - before(segment));
    let all = (start + steps).next_multiple_of(STEPS) - start;
    let is_last = block.level.has_tiles() && segment.keys.end == block.head.n_k;
    let fits = block.keys.is_multiple_of(STEPS) && all / 2 <= segment.keys.len();
    if is_last && fits { all } else { steps }
}

/// The steps of a segment's pairs, those before the first [`STEPS`] that begins in it apart, where tiles multiply them.
#[inline(always)]
fn steps<S: Bf16Dot>(block: &Block<'_, S>, segment: &Segment) -> [Range<usize>; 2] {
    let steps = filled(block, segment);
    let after = (segment.keys.start - before(segment)) % STEPS;
    let first = if block.level.has_tiles() && after > 0 { (STEPS - after).min(steps) } else { 0 };
    [0..first, first..steps]
}

/// Not inlined: what the products take is in memory.
#[inline(never)]
fn multiply<S: Bf16Dot>(s: S, level: Level, product: Tiles<Dot>) {
    if level.has_tiles() {
        multiply_tiles(level, product);
    } else {
        s.call_dot(product);
    }
}

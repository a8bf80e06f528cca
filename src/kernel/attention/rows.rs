//! The products of attention for so few queries that lanes would stay empty: a query's and an output's coordinates are in the
//! lanes, and keys and values are read as they lie, whatever their type. This is what decoding does, where reading them is all
//! the time there is.

use core::ops::Range;

use super::block::{Block, Products};
use super::head::for_each_operand;
use super::place::Segment;
use super::queries::{MAX, SUM};
use crate::element::Load;
use crate::kernel::map::{self, load, registers};
use crate::kernel::softmax::finite_max;
use crate::kernel::tile::FEW_TILES;
use crate::kernel::{Strided, each};
use crate::scratch::some;
use crate::simd::{MAX_LANES, Simd, math};

/// Registers of sums that are kept at a time, on levels with 16 registers as well.
const SUMS: usize = 8;

/// Keys whose scores are computed together, so that a register of queries is loaded once for all of them. Every level's lanes
/// are a multiple of as many keys as there are pairs.
const TOGETHER: usize = 2;

/// Values that are added up before they go to the output: few enough that they are read as they lie, row after row, though the
/// registers hold the sums of some columns only.
const ADDED: usize = 16;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Places of the next block whose keys are asked for in turn: one stream alone does not always have all of the memory's bandwidth
/// (Zen 4). Of values a few columns of [`ADDED`] rows are asked for, then the next few: more places gain nothing there.
const PLACES: usize = 8;

/// Products row by row.
pub(crate) struct Rows;

/// Whether the level ever takes this way: where it does not, there is to be no code for it.
#[inline(always)]
pub(crate) const fn exist<S: Simd>() -> bool {
    !S::SMALL
}

/// The most pairs of a query and a head for which rows are faster than lanes: those of half a register.
pub(crate) const fn most_pairs(lanes: usize) -> usize {
    lanes / 2
}

/// Floats of the queries and of the output: rows of whole registers.
pub(crate) const fn rows_len(d: usize, lanes: usize) -> Option<usize> {
    some!(d.checked_next_multiple_of(lanes)).checked_mul(most_pairs(lanes))
}

/// Calls `$body` with the constants `$R` bound to 1, 2, 4 or 8, at least `$rows` but no more than the level's pairs need, and `$C` to
/// the registers of columns for which that many rows leave room among [`SUMS`].
macro_rules! with_pairs {
    (@ $R:ident = $rows:literal, $C:ident => $body:expr) => {{
        const $R: usize = $rows;
        const $C: usize = SUMS / $R;
        $body
    }};
    ($S:ty, $rows:expr, $R:ident, $C:ident => $body:expr) => {
        match $rows {
            0..=1 => with_pairs!(@ $R = 1, $C => $body),
            // The rows behind the last pair's are zeros.
            2.. if FEW_TILES && most_pairs(<$S>::LANES) >= 8 => with_pairs!(@ $R = 8, $C => $body),
            2.. if FEW_TILES && most_pairs(<$S>::LANES) >= 4 => with_pairs!(@ $R = 4, $C => $body),
            3..=4 if most_pairs(<$S>::LANES) >= 4 => with_pairs!(@ $R = 4, $C => $body),
            5.. if most_pairs(<$S>::LANES) >= 8 => with_pairs!(@ $R = 8, $C => $body),
            _ => with_pairs!(@ $R = 2, $C => $body),
        }
    };
}

impl<S: Simd> Products<S> for Rows {
    #[inline(always)]
    unsafe fn start(block: &Block<'_, S>) {
        let (s, d) = (block.s, block.head.heads.d);
        let stride = d.next_multiple_of(S::LANES);
        // SAFETY: see `Queries`, here and in all that follows.
        unsafe {
            for row in 0..most_pairs(S::LANES) {
                let to = block.buffers.queries.add(row * stride);
                for (at, count) in registers::<S>(d) {
                    let x = if row < block.pairs.len() {
                        let (query, head) = block.pair(row);
                        for_each_operand!(block.head.q, q => load(s, q.at(query, head * d + at).ptr, count))
                    } else {
                        s.splat(0.0)
                    };
                    s.store(to.add(at), s.mul(x, s.splat(block.factor())));
                }
            }
            let len = most_pairs(S::LANES) * block.head.heads.dv.next_multiple_of(S::LANES);
            for at in (0..len).step_by(S::LANES) {
                s.store(block.buffers.output.add(at), s.splat(0.0));
            }
        }
    }

    #[inline(always)]
    unsafe fn scores(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let row = block.head.ring.row(segment.keys.start);
        // SAFETY: the keys exist.
        unsafe {
            for_each_operand!(block.head.k.at(row, 0), k => {
                with_pairs!(S, block.pairs.len(), R, _C => scores::<S, _, R>(block, k, segment.keys.len(), line));
            });
        }
    }

    #[inline(always)]
    unsafe fn accumulate(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let (row, keys) = (block.head.ring.row(segment.keys.start), segment.keys.len());
        // SAFETY: the values exist.
        unsafe {
            for_each_operand!(block.head.v.at(row, 0), v => {
                for first in (0..keys).step_by(ADDED) {
                    let some = first..keys.min(first + ADDED);
                    with_pairs!(S, block.pairs.len(), R, C => accumulate::<S, _, R, C>(block, v, some, line));
                }
            });
        }
    }

    #[inline(always)]
    unsafe fn accumulate_masked(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let (row, keys) = (block.head.ring.row(segment.keys.start), segment.keys.len());
        // SAFETY: the values exist.
        unsafe {
            for_each_operand!(block.head.v.at(row, 0), v => {
                for first in (0..keys).step_by(ADDED) {
                    accumulate_masked(block, v, first..keys.min(first + ADDED), line);
                }
            });
        }
    }

    #[inline(always)]
    unsafe fn rescale(block: &Block<'_, S>, _: usize, factor: S::F32) {
        let s = block.s;
        let stride = block.head.heads.dv.next_multiple_of(S::LANES);
        let mut factors = [1.0; MAX_LANES];
        // SAFETY: a row of whole registers for each pair.
        unsafe {
            s.store(factors.as_mut_ptr(), factor);
            for (row, &factor) in factors.iter().enumerate().take(block.pairs.len()) {
                for at in (0..stride).step_by(S::LANES) {
                    let p = block.buffers.output.add(row * stride + at);
                    s.store(p, s.mul(s.load(p), s.splat(factor)));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish(block: &Block<'_, S>, inverse: &[S::F32]) {
        let (s, dv) = (block.s, block.head.heads.dv);
        let mut factors = [0.0; MAX_LANES];
        // SAFETY: a row of whole registers for each pair; the rows of the result are this task's.
        unsafe {
            s.store(factors.as_mut_ptr(), inverse[0]);
            for (row, &factor) in factors.iter().enumerate().take(block.pairs.len()) {
                let (query, head) = block.pair(row);
                let from = block.buffers.output.add(row * dv.next_multiple_of(S::LANES)).cast_const();
                let to = block.head.out.add(query * block.head.out_stride + head * dv);
                for (at, count) in registers::<S>(dv) {
                    map::store(s, to.add(at), count, s.mul(s.load(from.add(at)), s.splat(factor)));
                }
            }
        }
    }
}

/// Scores of `keys` keys against `R` rows of queries.
#[inline(always)]
unsafe fn scores<S: Simd, E: Load, const R: usize>(block: &Block<'_, S>, k: Strided<E>, keys: usize, line: usize) {
    let (s, d) = (block.s, block.head.heads.d);
    let at_once = S::LANES / R;
    let mut partial = [0.0_f32; MAX_LANES * MAX_LANES];
    let mut sums = [0.0_f32; MAX_LANES];
    for start in (0..keys).step_by(at_once) {
        let count = (keys - start).min(at_once);
        // SAFETY: the keys exist, and their lines.
        unsafe {
            for key in (0..count).step_by(TOGETHER) {
                for i in start + key..start + key + TOGETHER {
                    let next = i % PLACES * (block.keys / PLACES) + i / PLACES;
                    prefetch(s, k.at(block.keys + next, 0).ptr, d);
                }
                let mut k = k.at(start + key, 0);
                if key + 1 == count {
                    // The last key once more, instead of one that does not exist.
                    k.row = 0;
                }
                partial_scores::<S, E, R>(block, k, partial.as_mut_ptr().add(key * R * S::LANES));
            }
            s.store(sums.as_mut_ptr(), s.sum_rows(partial.as_ptr()));
            for key in 0..count {
                let x = s.load_first(sums.as_ptr().add(key * R), R);
                block.store(block.buffers.scores, line + start + key, 0, x);
            }
        }
    }
}

/// The products of [`TOGETHER`] keys with `R` queries, a register each whose lanes are still to be added up.
#[inline(always)]
unsafe fn partial_scores<S: Simd, E: Load, const R: usize>(block: &Block<'_, S>, k: Strided<E>, to: *mut f32) {
    let (s, d) = (block.s, block.head.heads.d);
    let stride = d.next_multiple_of(S::LANES);
    let mut sums = [[s.splat(0.0); R]; TOGETHER];
    // SAFETY: the keys and the rows of queries have `d` elements, the latter up to whole registers.
    unsafe {
        for at in (0..d - d % S::LANES).step_by(S::LANES) {
            let x = each!(s.splat(0.0); TOGETHER, key => E::load(s, k.at(key, at).ptr));
            multiply_add(block, &mut sums, x, stride, at);
        }
        if !d.is_multiple_of(S::LANES) {
            let at = d - d % S::LANES;
            let x = each!(s.splat(0.0); TOGETHER, key => E::load_first(s, k.at(key, at).ptr, d % S::LANES));
            multiply_add(block, &mut sums, x, stride, at);
        }
        for (key, sums) in sums.into_iter().enumerate() {
            for (r, sum) in sums.into_iter().enumerate() {
                s.store(to.add((key * R + r) * S::LANES), sum);
            }
        }
    }
}

/// Registers of some keys times those of `R` queries from column `at` on.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const R: usize>(
    block: &Block<'_, S>,
    sums: &mut [[S::F32; R]; TOGETHER],
    x: [S::F32; TOGETHER],
    stride: usize,
    at: usize,
) {
    let s = block.s;
    // SAFETY: the queries are rows of whole registers.
    let q = unsafe { each!(s.splat(0.0); R, r => s.load(block.buffers.queries.add(r * stride + at))) };
    for (sums, &x) in sums.iter_mut().zip(&x) {
        *sums = each!(x; R, r => s.fma(q[r], x, sums[r]));
    }
}

/// Asks for the cache lines of `count` elements.
#[inline(always)]
fn prefetch<S: Simd, E>(s: S, p: *const E, count: usize) {
    for at in (0..count * size_of::<E>()).step_by(LINE) {
        s.prefetch::<0>(p.cast::<u8>().wrapping_add(at));
    }
}

/// Some columns of `R` rows of the output after others, each plus the exponentials times the values.
#[inline(always)]
unsafe fn accumulate<S: Simd, E: Load, const R: usize, const C: usize>(
    block: &Block<'_, S>,
    v: Strided<E>,
    keys: Range<usize>,
    line: usize,
) {
    let dv = block.head.heads.dv;
    let mut at = 0;
    // SAFETY: the values exist, and the output up to whole registers.
    unsafe {
        while C > 1 && at + C * S::LANES <= dv {
            accumulate_columns::<S, E, R, C>(block, v, keys.clone(), line, at);
            at += C * S::LANES;
        }
        while at < dv {
            accumulate_columns::<S, E, R, 1>(block, v, keys.clone(), line, at);
            at += S::LANES;
        }
    }
}

/// `C` registers of columns from `at` on; only a single one may be short.
#[inline(always)]
unsafe fn accumulate_columns<S: Simd, E: Load, const R: usize, const C: usize>(
    block: &Block<'_, S>,
    v: Strided<E>,
    keys: Range<usize>,
    line: usize,
    at: usize,
) {
    let (s, dv) = (block.s, block.head.heads.dv);
    let stride = dv.next_multiple_of(S::LANES);
    let count = if C == 1 { (dv - at).min(S::LANES) } else { S::LANES };
    // SAFETY: the values exist, their lines of exponentials, and the output up to whole registers.
    unsafe {
        // A sum of its own: one chain over all keys would round more.
        let mut sums = [[s.splat(0.0); C]; R];
        for key in keys {
            let value = v.at(key, at).ptr;
            prefetch(s, v.at(key + block.keys, at).ptr, C * S::LANES);
            let x = each!(s.splat(0.0); C, c => load(s, value.add(c * S::LANES), count));
            let p = block.at(block.buffers.scores, line + key, 0);
            for (r, sums) in sums.iter_mut().enumerate() {
                let p = s.splat(*p.add(r));
                *sums = each!(p; C, c => s.fma(x[c], p, sums[c]));
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (c, sum) in sums.into_iter().enumerate() {
                let output = block.buffers.output.add(at + r * stride + c * S::LANES);
                s.store(output, s.add(s.load(output), sum));
            }
        }
    }
}

/// As the product, without what is masked: a weight of 0 times a value of NaN would not be 0.
#[inline(always)]
unsafe fn accumulate_masked<S: Simd, E: Load>(block: &Block<'_, S>, v: Strided<E>, keys: Range<usize>, line: usize) {
    let (s, dv) = (block.s, block.head.heads.dv);
    for row in 0..block.pairs.len() {
        for (at, count) in registers::<S>(dv) {
            let mut sum = s.splat(0.0);
            // SAFETY: the values exist, their lines of exponentials, and the output.
            unsafe {
                for key in keys.clone() {
                    let p = *block.at(block.buffers.scores, line + key, 0).add(row);
                    if p >= 0.0 || p.is_nan() {
                        sum = s.fma(load(s, v.at(key, at).ptr, count), s.splat(p), sum);
                    }
                }
                let output = block.buffers.output.add(row * dv.next_multiple_of(S::LANES) + at);
                s.store(output, s.add(s.load(output), sum));
            }
        }
    }
}

/// What a block leaves when it has seen some of its keys.
#[derive(Clone, Copy)]
pub(crate) struct Partial {
    /// The output, not yet divided, as long as [`rows_len`] says.
    pub output: *mut f32,
    /// A register of maxima and one of sums.
    pub state: *mut f32,
}

impl Partial {
    /// Floats of one, for values of `dv` dimensions.
    pub const fn len(dv: usize, lanes: usize) -> Option<usize> {
        some!(rows_len(dv, lanes)).checked_add(2 * lanes)
    }

    /// In memory as long as [`len`](Self::len) says.
    pub fn at(memory: *mut f32, lanes: usize) -> Self {
        Self { output: memory.wrapping_add(2 * lanes), state: memory }
    }
}

impl<S: Simd> Block<'_, S> {
    #[inline(always)]
    fn as_partial(&self) -> Partial {
        const { assert!(MAX == 0 && SUM == 1) };
        Partial { output: self.buffers.output, state: self.buffers.state }
    }

    /// Part `i` of the keys, from nothing.
    #[inline(always)]
    pub unsafe fn part(&self, i: usize, keys: Range<usize>) {
        // SAFETY: see `Queries`.
        unsafe {
            self.start::<Rows>(i == 0);
            self.walk::<Rows>(keys);
        }
    }

    /// Makes `partial` what this block has seen.
    #[inline(always)]
    pub unsafe fn save(&self, partial: Partial) {
        // SAFETY: both are as long as `Partial::len` says.
        unsafe { copy(self.s, self.head.heads.dv, self.as_partial(), partial) }
    }

    /// As if this block had seen what `partial` has.
    #[inline(always)]
    pub unsafe fn restore(&self, partial: Partial) {
        // SAFETY: both are as long as `Partial::len` says.
        unsafe { copy(self.s, self.head.heads.dv, partial, self.as_partial()) }
    }

    /// What this block and another have seen, in this one.
    #[inline(always)]
    pub unsafe fn merge(&self, other: Partial) {
        let (s, stride) = (self.s, self.head.heads.dv.next_multiple_of(S::LANES));
        let this = self.as_partial();
        // SAFETY: both are as long as `Partial::len` says.
        unsafe {
            let (max, sum) = (s.load(this.state), s.load(this.state.add(S::LANES)));
            let (other_max, other_sum) = (s.load(other.state), s.load(other.state.add(S::LANES)));
            let new = s.max(max, other_max);
            let finite = finite_max(s, new);
            let [factor, other_factor] = math::exp2_bounded(s, [s.sub(max, finite), s.sub(other_max, finite)]);
            s.store(this.state, new);
            s.store(this.state.add(S::LANES), s.fma(sum, factor, s.mul(other_sum, other_factor)));
            let mut factors = [[0.0_f32; MAX_LANES]; 2];
            s.store(factors[0].as_mut_ptr(), factor);
            s.store(factors[1].as_mut_ptr(), other_factor);
            for (row, (&factor, &other_factor)) in factors[0].iter().zip(&factors[1]).enumerate().take(self.pairs.len())
            {
                let [factor, other_factor] = [s.splat(factor), s.splat(other_factor)];
                for at in (row * stride..(row + 1) * stride).step_by(S::LANES) {
                    let x = s.mul(s.load(other.output.add(at)), other_factor);
                    s.store(this.output.add(at), s.fma(s.load(this.output.add(at)), factor, x));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn copy<S: Simd>(s: S, dv: usize, from: Partial, to: Partial) {
    let rows = most_pairs(S::LANES) * dv.next_multiple_of(S::LANES);
    // SAFETY: both are as long as `Partial::len` says.
    unsafe {
        for at in (0..rows).step_by(S::LANES) {
            s.store(to.output.add(at), s.load(from.output.add(at)));
        }
        for at in [0, S::LANES] {
            s.store(to.state.add(at), s.load(from.state.add(at)));
        }
    }
}

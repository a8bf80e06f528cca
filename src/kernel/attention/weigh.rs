//! The weights of a block of queries: `exp(logit - lse)`, one block of keys after the other.
//!
//! Attention over values of no dimension leaves each query's maximum and sum in the state, unless the caller has their logarithm.
//! Then the scores of each block of keys become weights, a line for each key, which are turned into rows or added up.

use core::ops::Range;

use super::block::{Block, CHUNK, Products};
use super::lanes::Lanes;
use super::online::{STEP, reciprocal};
use super::place::Segment;
use super::queries::{MAX, Queries, SUM};
use super::rows::{self, Rows};
use crate::kernel::map::{self, load};
use crate::kernel::pack::transpose_block;
use crate::kernel::softmax::finite_max;
use crate::kernel::{Strided, each};
use crate::simd::{MAX_LANES, Op, Simd, math};

/// The largest exponent for [`math::exp2_bounded`]: there is a larger one only if the caller's sum is not that of these scores.
const MOST: f32 = 16.0;

/// Takes the queries, and sums of which the caller has the logarithms: a row for each query, a column for each head.
pub(crate) struct Given<'a> {
    pub queries: Queries<'a>,
    pub few: bool,
    pub lse: Strided,
}

impl Op for Given<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let block = Block::new(s, self.queries);
        // SAFETY: see `Queries`; there is a logarithm for each query and head.
        unsafe {
            if rows::exist::<S>() && self.few {
                block.start::<Rows>(false)
            } else {
                block.start::<Lanes>(false)
            }
            block.take_sums(self.lse);
        }
    }
}

/// The weights of some keys, once the queries are taken and their sums known.
pub(crate) struct Weigh<'a> {
    pub queries: Queries<'a>,
    pub few: bool,
    pub keys: Range<usize>,
    pub to: To,
}

/// What becomes of weights.
#[derive(Clone, Copy)]
pub(crate) enum To {
    /// Rows that far apart, one for each lane, from the first of the keys on, which are those of one block.
    Rows(*mut f32, usize),
    /// Added up over the queries, to an element for each key of all.
    Sums(*mut f32),
}

impl Op for Weigh<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let block = Block::new(s, self.queries);
        for keys in block.head.blocks(self.keys, block.keys) {
            // SAFETY: see `Queries`; no other task writes there.
            unsafe {
                if rows::exist::<S>() && self.few {
                    block.weigh::<Rows>(&keys)
                } else {
                    block.weigh::<Lanes>(&keys)
                }
                match self.to {
                    To::Rows(to, len) => block.turn(keys.len(), to, len),
                    To::Sums(to) => block.add_up(keys.len(), to.add(keys.start)),
                }
            }
        }
    }
}

impl<S: Simd> Block<'_, S> {
    /// Maxima and sums from the logarithms of the latter.
    ///
    /// # Safety
    /// See [`Queries`], here and below.
    unsafe fn take_sums(&self, lse: Strided) {
        for lane in 0..self.pairs.len() {
            let (query, head) = self.pair(lane);
            // SAFETY: there is a logarithm for each query and head, and the state has these lines.
            unsafe {
                let [max, sum] = max_and_sum(*lse.at(query, head).ptr);
                self.buffers.state.add(MAX * self.width + lane).write(max);
                self.buffers.state.add(SUM * self.width + lane).write(sum);
            }
        }
    }

    /// Makes the lines of some keys of a block weights: exactly 0 where a key is masked.
    #[inline(always)]
    unsafe fn weigh<P: Products<S>>(&self, keys: &Range<usize>) {
        let whole = Segment { keys: keys.clone(), registers: 0..self.sight.registers(), whole: true };
        // SAFETY: the keys exist, and a line for each.
        unsafe {
            if self.head.mask.is_some() || self.sight.segments(keys.clone(), CHUNK).next() != Some(whole) {
                // What no one sees is not computed.
                for at in (0..keys.len() * self.width).step_by(S::LANES) {
                    self.s.store(self.buffers.scores.add(at), self.s.splat(0.0));
                }
            }
            for segment in self.sight.segments(keys.clone(), CHUNK) {
                let line = segment.keys.start - keys.start;
                if !self.is_hidden(&segment) {
                    P::scores(self, &segment, line);
                    P::to_lines(self, &segment, line);
                    self.adjust(&segment, line);
                    self.divide(&segment, line);
                }
            }
        }
    }

    /// Scores to weights.
    #[inline(always)]
    unsafe fn divide(&self, segment: &Segment, line: usize) {
        let lines = segment.keys.len();
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe {
                for i in (0..lines - lines % STEP).step_by(STEP) {
                    self.divide_lines::<STEP>(line + i, j);
                }
                for i in lines - lines % STEP..lines {
                    self.divide_lines::<1>(line + i, j);
                }
            }
        }
    }

    /// Register `j` of `N` lines.
    #[inline(always)]
    unsafe fn divide_lines<const N: usize>(&self, line: usize, j: usize) {
        let s = self.s;
        // SAFETY: the lines have been written, and the state.
        unsafe {
            let max = finite_max(s, self.load(self.buffers.state, MAX, j));
            let inverse = reciprocal(s, self.load(self.buffers.state, SUM, j));
            let x = each!(max; N, t => self.load(self.buffers.scores, line + t, j));
            // The order matters, here and below: `min` returns its second operand when either is NaN.
            let p = math::exp2_bounded(s, each!(max; N, t => s.min(s.splat(MOST), s.sub(x[t], max))));
            for (t, p) in p.into_iter().enumerate() {
                let p = s.min(s.splat(1.0), s.mul(p, inverse));
                let p = s.select(s.lt(x[t], s.splat(f32::MIN)), s.splat(0.0), p);
                self.store(self.buffers.scores, line + t, j, p);
            }
        }
    }

    /// The lines of `count` keys as rows of `to`, one for each lane.
    #[inline(always)]
    unsafe fn turn(&self, count: usize, to: *mut f32, len: usize) {
        for j in 0..self.sight.registers() {
            for i in (0..count).step_by(S::LANES) {
                let size = [(count - i).min(S::LANES), S::LANES];
                let from = self.at(self.buffers.scores, i, j).cast_const();
                // SAFETY: the lines exist, and the rows over whole registers.
                unsafe { transpose_block(self.s, from, self.width, size, to.add(j * S::LANES * len + i), len) }
            }
        }
    }

    /// Adds the lanes of each of `count` lines to an element of `out`.
    #[inline(always)]
    unsafe fn add_up(&self, count: usize, out: *mut f32) {
        let s = self.s;
        let last = self.sight.registers() - 1;
        let is_pair = s.lt(s.iota(), s.splat((self.pairs.len() - last * S::LANES) as f32));
        let mut sums = [0.0_f32; MAX_LANES * MAX_LANES];
        for start in (0..count).step_by(S::LANES) {
            let lines = (count - start).min(S::LANES);
            // SAFETY: the lines have been written, and there is an element for each.
            unsafe {
                for i in 0..lines {
                    let x = self.load(self.buffers.scores, start + i, last);
                    let mut sum = s.select(is_pair, x, s.splat(0.0));
                    for j in 0..last {
                        sum = s.add(sum, self.load(self.buffers.scores, start + i, j));
                    }
                    s.store(sums.as_mut_ptr().add(i * S::LANES), sum);
                }
                let to = out.add(start);
                map::store(s, to, lines, s.add(load(s, to.cast_const(), lines), s.sum_rows(sums.as_ptr())));
            }
        }
    }
}

/// A maximum in powers of two and a sum of exponentials relative to it whose logarithm is `lse`. The maximum is that logarithm
/// itself, in the other base; what its rounding loses is in the sum.
fn max_and_sum(lse: f32) -> [f32; 2] {
    if lse == f32::NEG_INFINITY {
        return [lse, 0.0];
    }
    let exact = f64::from(lse) * core::f64::consts::LOG2_E;
    let max = exact as f32;
    [max, libm::exp2f((exact - f64::from(max)) as f32)]
}

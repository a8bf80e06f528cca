//! The online softmax of a block: maxima and sums of what has been seen so far, down the columns of scores.
//!
//! The running output is rescaled only when a maximum has risen by more than [`LAZY`] (FlashAttention-4's idea): until then the
//! exponentials are relative to the older maximum, which is exact as long as they do not overflow. That is decided lane by lane, so a
//! query's bits do not depend on those beside it.

use super::block::{Block, Products};
use super::place::Segment;
use super::queries::{MAX, SUM};
use crate::kernel::each;
use crate::kernel::softmax::finite_max;
use crate::simd::Simd;
use crate::simd::math::{self, Exp2Bounded};

/// Lines whose exponentials are computed in step with each other.
pub(super) const STEP: usize = 4;

/// A maximum that rises by less (in powers of two) does not rescale: exponentials stay below 2^8, far from overflow.
const LAZY: f32 = 8.0;

/// Below this power of two a factor is subnormal, and has few bits, while what it multiplies may be 2^8 times the values: it is
/// applied in two steps, each by its root.
const LEAST_NORMAL: f32 = -126.0;

/// Below this one it is 0, and 0 it stays.
const LEAST: f32 = -150.0;

impl<S: Simd> Block<'_, S> {
    /// The largest scores of the segment.
    #[inline(always)]
    pub unsafe fn top(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let lines = segment.keys.len();
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe {
                let scores = self.at(self.buffers.scores, line, j).cast_const();
                let mut top = s.splat(f32::NEG_INFINITY);
                let whole = if S::SMALL { 0 } else { lines - lines % STEP };
                if whole > 0 {
                    let mut tops = [top; STEP];
                    for i in (0..whole).step_by(STEP) {
                        tops = each!(top; STEP, t => s.max(tops[t], s.load(scores.add((i + t) * self.width))));
                    }
                    top = s.max(s.max(tops[0], tops[1]), s.max(tops[2], tops[3]));
                }
                for i in whole..lines {
                    top = s.max(top, s.load(scores.add(i * self.width)));
                }
                self.store(self.tops(), 0, j, s.max(self.load(self.tops(), 0, j), top));
            }
        }
    }

    /// Makes the maxima of register `j` those of the new block, if they have risen enough.
    #[inline(always)]
    pub unsafe fn raise<P: Products<S>>(&self, j: usize) {
        let s = self.s;
        let state = self.buffers.state;
        // SAFETY: the state has these lines.
        unsafe {
            let (old, mut top) = (self.load(state, MAX, j), self.load(self.tops(), 0, j));
            if let Some(rest) = P::rest(self) {
                top = s.mul(top, s.splat(rest));
            }
            let risen = s.lt(s.add(old, s.splat(LAZY)), top);
            if !s.any(risen) {
                return;
            }
            // The lanes that have not are rescaled by 1.
            let new = s.select(risen, top, old);
            self.store(state, MAX, j, new);
            if !S::SMALL && !s.any(s.lt(s.splat(f32::NEG_INFINITY), old)) {
                // Nothing was seen yet: the output and the sums are zero. Small code multiplies them.
                return;
            }
            // `old`, not its finite form: where nothing was seen yet it is -inf, and the factor 0.
            let change = s.sub(old, finite_max(s, new));
            let is_subnormal = s.lt(change, s.splat(LEAST_NORMAL));
            let root = s.select(is_subnormal, s.mul(change, s.splat(0.5)), change);
            let mut factor = s.apply::<Exp2Bounded>(s.select(s.lt(change, s.splat(LEAST)), change, root));
            for _ in 0..if s.any(is_subnormal) { 2 } else { 1 } {
                self.store(state, SUM, j, s.mul(self.load(state, SUM, j), factor));
                P::rescale(self, j, factor);
                factor = s.select(is_subnormal, factor, s.splat(1.0));
            }
        }
    }

    /// P^T = exp2(S^T - m), and the sums of it.
    #[inline(always)]
    pub unsafe fn exponentials(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let lines = segment.keys.len();
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe {
                let max = finite_max(s, self.load(self.buffers.state, MAX, j));
                let mut sum = self.load(self.buffers.state, SUM, j);
                let scores = self.at(self.buffers.scores, line, j);
                let whole = if S::SMALL { 0 } else { lines - lines % STEP };
                for i in (0..whole).step_by(STEP) {
                    let x = each!(max; STEP, t => s.load(scores.add((i + t) * self.width)));
                    let p = math::exp2_bounded(s, each!(max; STEP, t => s.sub(x[t], max)));
                    for (t, p) in p.into_iter().enumerate() {
                        sum = s.add(sum, p);
                        s.store(scores.add((i + t) * self.width), p);
                    }
                }
                for i in whole..lines {
                    let at = scores.add(i * self.width);
                    let p = s.apply::<Exp2Bounded>(s.sub(s.load(at), max));
                    sum = s.add(sum, p);
                    s.store(at, p);
                }
                self.store(self.buffers.state, SUM, j, sum);
            }
        }
    }
}

/// A sink times log2(e): what is finite stays finite.
pub(super) fn sink_in_powers_of_two(sink: f32) -> f32 {
    let scaled = sink * core::f32::consts::LOG2_E;
    if sink.is_finite() { scaled.clamp(f32::MIN, f32::MAX) } else { scaled }
}

/// What a sink adds to the sum, relative to itself: nothing if it is masked, and NaN if it is no logit at all.
pub(super) fn weight_of_sink(sink: f32) -> f32 {
    match sink {
        f32::NEG_INFINITY => 0.0,
        sink if sink < f32::INFINITY => 1.0,
        _ => f32::NAN,
    }
}

/// `1 / sum`, 0 for a query that saw nothing. NaN stays.
#[inline(always)]
pub(super) fn reciprocal<S: Simd>(s: S, sum: S::F32) -> S::F32 {
    let inverse = s.div(s.splat(1.0), sum);
    s.select(s.lt(s.splat(f32::MAX), inverse), s.splat(0.0), inverse)
}

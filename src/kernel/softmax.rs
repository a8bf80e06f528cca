//! Softmax of one row by the online recurrence of Milakov & Gimelshein (2018, arXiv 1805.02867): one pass keeps, in every
//! lane, the largest value so far and the sum of the exponentials relative to it; a second pass writes the result.

use crate::kernel::each;
use crate::kernel::map::{load, registers, store};
use crate::simd::{Op, Simd, math};

/// Softmax of a row in place. -inf has the weight 0; a row of nothing but -inf becomes zeros; a NaN or +inf makes the whole
/// row NaN.
pub(crate) struct Softmax<'a> {
    pub row: &'a mut [f32],
}

impl Op for Softmax<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (max, sum) = max_and_sum(s, self.row);
        if sum == 0.0 {
            return self.row.fill(0.0);
        }
        let p = self.row.as_mut_ptr();
        let (max, inverse) = (s.splat(max), s.splat(1.0 / sum));
        for (at, n) in registers::<S>(self.row.len()) {
            // SAFETY: `at + n` is at most the row's length.
            unsafe {
                let x = load(s, p.cast_const().add(at), n);
                store(s, p.add(at), n, s.mul(math::exp(s, s.sub(x, max)), inverse));
            }
        }
    }
}

/// The maximum that is safe to subtract: 0 instead of -inf, so that `-inf - max` is -inf and not NaN.
#[inline(always)]
pub(crate) fn finite_max<S: Simd>(s: S, max: S::F32) -> S::F32 {
    s.select(s.lt(max, s.splat(f32::MIN)), s.splat(0.0), max)
}

fn finite_or_zero(max: f32) -> f32 {
    if max < f32::MIN { 0.0 } else { max }
}

/// Registers taken together: one rescaling of the sum serves them all.
const GROUP: usize = 4;

/// The maximum to subtract and the sum of the exponentials relative to it.
#[inline(always)]
fn max_and_sum<S: Simd>(s: S, row: &[f32]) -> (f32, f32) {
    let mut max = s.splat(f32::NEG_INFINITY);
    let mut sum = s.splat(0.0);
    let mut groups = row.chunks_exact(S::LANES * GROUP);
    for group in &mut groups {
        // SAFETY: the chunk has GROUP registers.
        let x = each!(max; GROUP, i => unsafe { s.load(group.as_ptr().add(i * S::LANES)) });
        (max, sum) = online(s, max, sum, x);
    }
    let rest = groups.remainder();
    for (at, n) in registers::<S>(rest.len()) {
        // SAFETY: `at + n` is at most the length.
        let x = unsafe { load(s, rest.as_ptr().add(at), n) };
        let lane = s.iota();
        // Lanes past the end must not count: the loads filled them with zeros.
        let x = s.select(s.lt(lane, s.splat(n as f32)), x, s.splat(f32::NEG_INFINITY));
        (max, sum) = online(s, max, sum, [x]);
    }
    let total = finite_or_zero(s.reduce_max(max));
    let scaled = s.mul(sum, math::exp(s, s.sub(max, s.splat(total))));
    (total, s.reduce_add(scaled))
}

/// One step of the recurrence for the lanes of `N` registers.
#[inline(always)]
fn online<S: Simd, const N: usize>(s: S, max: S::F32, sum: S::F32, x: [S::F32; N]) -> (S::F32, S::F32) {
    // A NaN in `x` may or may not pass through `max`; it always stays in the sum.
    let mut new = max;
    for x in x {
        new = s.max(new, x);
    }
    let base = finite_max(s, new);
    let mut sum = sum;
    if s.any(s.lt(max, new)) {
        // `max`, not its safe form: where nothing was seen yet it is -inf, and the factor 0.
        sum = s.mul(sum, math::exp(s, s.sub(max, base)));
    }
    for x in x {
        sum = s.add(sum, math::exp(s, s.sub(x, base)));
    }
    (new, sum)
}

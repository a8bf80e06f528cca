//! Layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450) of one row.
//!
//! Two passes, the mean first and then the squares of the deviations from it, so that nothing cancels.

use crate::kernel::map::{load, registers, store};
use crate::simd::{Op, Simd};

/// `out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias`; all slices as long as `x`.
pub(crate) struct LayerNorm<'a> {
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub eps: f32,
    pub out: &'a mut [f32],
}

impl Op for LayerNorm<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.x.len().min(self.weight.len()).min(self.bias.len()).min(self.out.len());
        let x = &self.x[..len];
        let count = len as f32;
        let mean = sum::<S, false>(s, x, 0.0) / count;
        let variance = sum::<S, true>(s, x, mean) / count;
        let center = s.splat(mean);
        let inverse = s.splat(1.0 / libm::sqrtf(variance + self.eps));
        let (x, weight, bias, out) = (x.as_ptr(), self.weight.as_ptr(), self.bias.as_ptr(), self.out.as_mut_ptr());
        for (at, n) in registers::<S>(len) {
            // SAFETY: `at + n` is at most the length of all four.
            unsafe {
                let centered = s.sub(load(s, x.add(at), n), center);
                let scaled = s.mul(s.mul(centered, inverse), load(s, weight.add(at), n));
                store(s, out.add(at), n, s.add(scaled, load(s, bias.add(at), n)));
            }
        }
    }
}

/// Chains of additions side by side: enough to hide the latency of one.
const CHAINS: usize = 4;

/// The sum of `x`, or of the squares of its deviations from `center`.
#[inline(always)]
fn sum<S: Simd, const SQUARES: bool>(s: S, x: &[f32], center: f32) -> f32 {
    let center = s.splat(center);
    let mut sums = [s.splat(0.0); CHAINS];
    let mut chunks = x.chunks_exact(S::LANES * CHAINS);
    for chunk in &mut chunks {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the chunk has CHAINS registers.
            let x = unsafe { s.load(chunk.as_ptr().add(i * S::LANES)) };
            *sum = s.add(*sum, if SQUARES { squared(s, s.sub(x, center)) } else { x });
        }
    }
    let rest = chunks.remainder();
    for (at, n) in registers::<S>(rest.len()) {
        // SAFETY: `at + n` is at most the length.
        let x = unsafe { load(s, rest.as_ptr().add(at), n) };
        // Lanes past the end hold 0, whose deviation must not count.
        let x = if SQUARES { squared(s, first(s, n, s.sub(x, center))) } else { x };
        sums[0] = s.add(sums[0], x);
    }
    s.reduce_add(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

#[inline(always)]
fn squared<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul(x, x)
}

/// The first `n` lanes, then zeros.
#[inline(always)]
fn first<S: Simd>(s: S, n: usize, x: S::F32) -> S::F32 {
    s.select(s.lt(s.iota(), s.splat(n as f32)), x, s.splat(0.0))
}

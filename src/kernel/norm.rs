//! Layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450), row by row.
//!
//! Two passes, the mean first and then the squares of the deviations from it, so that nothing cancels.

use core::ops::Range;

use crate::engine::Engine;
use crate::kernel::map::{load, registers, store};
use crate::kernel::{Shared, Strided};
use crate::simd::{Op, Simd};
use crate::view::{MatMut, MatRef};

/// Rows a task takes at least: fewer cost more to hand out than to do.
const GRAIN: usize = 32;

/// Scale and shift of a layer norm, and what is added to the variance.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub eps: f32,
}

/// `out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias` for every row, split among the engine's threads. Arguments that
/// do not fit each other are a mistake of the caller in this crate: nothing is done.
pub(crate) fn layer_norm(engine: &Engine<'_>, x: MatRef<'_>, affine: Affine<'_>, mut out: MatMut<'_>) {
    let fits = (x.rows(), x.cols()) == (out.rows(), out.cols())
        && (affine.weight.len(), affine.bias.len()) == (x.cols(), x.cols());
    debug_assert!(fits, "ops check the sizes");
    if !fits || x.cols() == 0 {
        return;
    }
    let out_stride = out.stride();
    let shared = Shared((Strided::from_rows(&x), out.as_mut_ptr()));
    engine.split(x.rows(), GRAIN, |_, rows| {
        let (x, out) = shared.get();
        engine.level().dispatch(LayerNorm { x, affine, out, out_stride, rows });
    });
}

/// Some rows of a layer norm: what one task computes. `x` and `out` are valid over them, no other task writes them, and they
/// have as many columns as `weight` and `bias`.
struct LayerNorm<'a> {
    x: Strided,
    affine: Affine<'a>,
    out: *mut f32,
    out_stride: usize,
    rows: Range<usize>,
}

impl Op for LayerNorm<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in self.rows.clone() {
            // SAFETY: row `i` of both is valid, see the type.
            unsafe {
                let x = core::slice::from_raw_parts(self.x.at(i, 0).ptr, self.affine.weight.len());
                self.row(s, x, self.out.add(i * self.out_stride));
            }
        }
    }
}

impl LayerNorm<'_> {
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, s: S, x: &[f32], out: *mut f32) {
        let Affine { weight, bias, eps } = self.affine;
        let count = x.len() as f32;
        let mean = s.apart(Sum { x, center: 0.0, squares: false }) / count;
        let variance = s.apart(Sum { x, center: mean, squares: true }) / count;
        let center = s.splat(mean);
        let inverse = s.splat(1.0 / libm::sqrtf(variance + eps));
        let (weight, bias) = (weight.as_ptr(), bias.as_ptr());
        for (at, n) in registers::<S>(x.len()) {
            // SAFETY: `at + n` is at most the length of all four.
            unsafe {
                let centered = s.sub(load(s, x.as_ptr().add(at), n), center);
                let scaled = s.mul(s.mul(centered, inverse), load(s, weight.add(at), n));
                store(s, out.add(at), n, s.add(scaled, load(s, bias.add(at), n)));
            }
        }
    }
}

/// Scales a row to the Euclidean norm 1, in f32 throughout: for CPUs that have no other floats. A row of zeros stays.
pub(crate) struct Normalize<'a> {
    pub row: &'a mut [f32],
}

impl Op for Normalize<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let largest = self.row.iter().fold(0.0, |most: f32, x| if x.abs() > most { x.abs() } else { most });
        if largest == 0.0 && self.row.iter().all(|&x| x == 0.0) {
            return;
        }
        // A power of two by which the largest number is near 1, so that no square overflows or vanishes.
        let exponent = 254_u32.saturating_sub(largest.to_bits() >> 23).max(1);
        let near_one = f32::from_bits(exponent << 23);
        self.row.iter_mut().for_each(|x| *x *= near_one);
        let factor = 1.0 / libm::sqrtf(s.apart(Sum { x: self.row, center: 0.0, squares: true }));
        self.row.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Chains of additions side by side: enough to hide the latency of one.
const CHAINS: usize = 4;

/// The sum of `x`, or of the squares of its deviations from `center`.
struct Sum<'a> {
    x: &'a [f32],
    center: f32,
    squares: bool,
}

impl Op for Sum<'_> {
    type Out = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { x, center, squares } = self;
        match squares {
            squares if S::SMALL => sum(s, x, center, squares),
            true => sum(s, x, center, true),
            false => sum(s, x, center, false),
        }
    }
}

#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32], center: f32, squares: bool) -> f32 {
    let center = s.splat(center);
    let mut sums = [s.splat(0.0); CHAINS];
    let mut chunks = x.chunks_exact(S::LANES * CHAINS);
    for chunk in &mut chunks {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the chunk has CHAINS registers.
            let x = unsafe { s.load(chunk.as_ptr().add(i * S::LANES)) };
            *sum = s.add(*sum, if squares { squared(s, s.sub(x, center)) } else { x });
        }
    }
    let rest = chunks.remainder();
    for (at, n) in registers::<S>(rest.len()) {
        // SAFETY: `at + n` is at most the length.
        let x = unsafe { load(s, rest.as_ptr().add(at), n) };
        // Lanes past the end hold 0, whose deviation must not count.
        let x = if squares { squared(s, first(s, n, s.sub(x, center))) } else { x };
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

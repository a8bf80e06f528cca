//! Element-wise functions and the small operations on rows: activations, gather, mean, normalisation.

use core::marker::PhantomData;

use crate::element::Load;
use crate::kernel::Activation;
use crate::simd::{Function, Op, Simd, math};
use crate::view::{Matrix, for_each_type};

/// `sqrt(2 / pi)`
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// The cubic coefficient of the tanh form of GELU (Hendrycks & Gimpel 2016).
const GELU_CUBIC: f32 = 0.044_715;

impl Activation {
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Self::None => x,
            Self::Gelu => s.apply::<Gelu>(x),
            Self::GeluTanh => s.apply::<GeluTanh>(x),
            // The order matters: `max` returns its second operand when either is NaN.
            Self::Relu => s.max(s.splat(0.0), x),
        }
    }
}

/// `x/2 * (1 + erf(x / sqrt 2))`. The error is at most `|x|/2` times (the error of erf + 2^-24), plus half an ulp.
struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn of<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let erf = math::erf(s, s.mul(x, s.splat(core::f32::consts::FRAC_1_SQRT_2)));
        let half = s.mul(x, s.splat(0.5));
        s.fma(half, erf, half)
    }
}

struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn of<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let inner = s.mul(s.fma(s.mul(x, x), s.splat(GELU_CUBIC), s.splat(1.0)), x);
        let tanh = s.apply::<math::Tanh>(s.mul(inner, s.splat(SQRT_2_OVER_PI)));
        let half = s.mul(x, s.splat(0.5));
        s.fma(half, tanh, half)
    }
}

/// The registers of a row of `len` floats: offset and count of each; the last may be short.
///
/// An iterator and not a function that takes a closure: a closure that is not inlined loses the instruction set.
pub(crate) fn registers<S: Simd>(len: usize) -> Registers<S> {
    Registers { at: 0, len, simd: PhantomData }
}

pub(crate) struct Registers<S> {
    at: usize,
    len: usize,
    simd: PhantomData<S>,
}

impl<S: Simd> Iterator for Registers<S> {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (at, count) = (self.at, (self.len - self.at).min(S::LANES));
        self.at += count;
        (count > 0).then_some((at, count))
    }
}

/// Loads `count` elements: all lanes, or the first and zeros.
///
/// # Safety
/// `p` is readable for `count <= LANES` elements.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd, E: Load>(s: S, p: *const E, count: usize) -> S::F32 {
    // SAFETY: the same contract.
    unsafe { if count == S::LANES { E::load(s, p) } else { E::load_first(s, p, count) } }
}

/// Stores the first `count` lanes.
///
/// # Safety
/// `p` is writable for `count <= LANES` elements.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(s: S, p: *mut f32, count: usize, x: S::F32) {
    // SAFETY: the same contract.
    unsafe { if count == S::LANES { s.store(p, x) } else { s.store_first(p, count, x) } }
}

/// `x = f(x)` over a row.
pub(crate) struct Activate<'a> {
    pub activation: Activation,
    pub row: &'a mut [f32],
}

impl Op for Activate<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = self.row.as_mut_ptr();
        for (at, n) in registers::<S>(self.row.len()) {
            // SAFETY: `at + n` is at most the row's length.
            unsafe { store(s, p.add(at), n, self.activation.apply(s, load(s, p.cast_const().add(at), n))) }
        }
    }
}

/// Some of a row, widened: `out = row`, or `out += row`.
pub(crate) struct Widen<'a> {
    pub matrix: &'a Matrix<'a>,
    pub row: usize,
    /// The first column.
    pub from: usize,
    pub add: bool,
    /// As long as what is wanted of the row.
    pub out: &'a mut [f32],
}

impl Op for Widen<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (matrix, row, from) = (self.matrix, self.row, self.from);
        for_each_type!(matrix, view => self.typed(s, view.row(row).get(from..).unwrap_or_default()));
    }
}

impl Widen<'_> {
    #[inline(always)]
    fn typed<S: Simd, E: Load>(&mut self, s: S, row: &[E]) {
        let len = row.len().min(self.out.len());
        let (row, out) = (row.as_ptr(), self.out.as_mut_ptr());
        if S::SMALL {
            for i in 0..len {
                // SAFETY: `i` is less than the length of both.
                unsafe {
                    let sum = if self.add { *out.add(i) } else { 0.0 };
                    *out.add(i) = sum + (*row.add(i)).widen(s);
                }
            }
            return;
        }
        for (at, n) in registers::<S>(len) {
            // SAFETY: `at + n` is at most the length of both.
            unsafe {
                let x = load(s, row.add(at), n);
                let x = if self.add { s.add(load(s, out.cast_const().add(at), n), x) } else { x };
                store(s, out.add(at), n, x);
            }
        }
    }
}

/// `row *= factor`
pub(crate) struct Scale<'a> {
    pub factor: f32,
    pub row: &'a mut [f32],
}

impl Op for Scale<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = self.row.as_mut_ptr();
        let factor = s.splat(self.factor);
        for (at, n) in registers::<S>(self.row.len()) {
            // SAFETY: `at + n` is at most the row's length.
            unsafe { store(s, p.add(at), n, s.mul(load(s, p.cast_const().add(at), n), factor)) }
        }
    }
}

//! Elementary functions on registers: `exp` and `exp2` as far as softmax needs them, `erf`, `tanh`.
//!
//! The coefficients are this crate's own: minimax fits of the error relative to the function (Lawson's iteration in
//! double precision, on Chebyshev points), rounded to f32 one coefficient at a time with the others fitted again after
//! each, so that the stated error of a fit is that of the rounded coefficients.
//!
//! Largest error over every f32 that a function is for, in units in the last place (ULP) of the f32 nearest to the exact result;
//! `tests/math.rs` asserts and measures it:
//!
//! | | AVX2, NEON | AVX-512 | scalar, WebAssembly: `fma` rounds twice |
//! |---|---|---|---|
//! | `exp_nonpositive` | 0.90 | 1.00 | 1.17 |
//! | `exp2_bounded` | 0.88 | 1.00 | 1.08 |
//! | `erf` | 5.4 | 5.4 | 7.2 |
//! | `tanh` | 5.4 | 5.4 | 6.3 |
//!
//! The results of `erf` and `tanh` are at most 1, where a ULP is 2^-24: their absolute errors are below 3.3e-7, and below
//! 4.3e-7 on scalar. They come from the roundings of the two polynomials, not from the fit.

use super::{Function, Simd, each};

/// Horner's scheme: `c[0] + x * (c[1] + x * (c[2] + ...))`.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, c: &[f32; N]) -> S::F32 {
    let mut sum = s.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// `x` limited to -limit..=limit. A NaN stays: `max` and `min` give their second argument then.
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F32, limit: f32) -> S::F32 {
    s.max(s.splat(-limit), s.min(s.splat(limit), x))
}

/// The powers are 0 at this distance below 0, and [`Simd::scale2`] within its limits.
const EXP_LIMIT: f32 = 128.0;
const EXP2_LIMIT: f32 = 160.0;

/// `x`, not less than what [`Simd::scale2`] takes, if it does not take all. A NaN stays.
#[inline(always)]
fn at_least<S: Simd, const N: usize>(s: S, least: f32, x: [S::F32; N]) -> [S::F32; N] {
    if S::SCALES_ALL_BELOW { x } else { each!(x[0]; N, i => s.max(s.splat(least), x[i])) }
}

/// The upper 15 bits of `ln 2`.
const LN2_UPPER: f32 = f32::from_bits(0x3f31_7200);
/// `ln 2` less the above.
const LN2_LOWER: f32 = 1.428_606_8e-6;

/// Coefficients of a power, for a level with one power of two at hand and for one with 16.
struct Coefficients {
    of_one: [f32; 7],
    /// From that of degree 1 on.
    of_16: [f32; 3],
}

/// `e^r`. For `|r| <= 0.34668`, a little over `ln(2) / 2`, relative error 0.053 * 2^-24, and one degree less is 1.8 * 2^-24; for
/// `|r| <= 0.021668`, a little over `ln(2) / 32`, 0.027 * 2^-24.
const EXP_COEFFICIENTS: Coefficients = Coefficients {
    of_one: [
        1.0,
        1.0,
        f32::from_bits(0x3eff_fffe),
        f32::from_bits(0x3e2a_aa49),
        f32::from_bits(0x3d2a_ac56),
        f32::from_bits(0x3c09_1cbb),
        f32::from_bits(0x3ab5_282a),
    ],
    of_16: [1.0, f32::from_bits(0x3f00_010f), f32::from_bits(0x3e2a_aacc)],
};

/// The power that the coefficients are for, of remainders `r`, times `2^n`; `t` is `n + TO_POWER`.
///
/// Of a level with 16 powers of two at hand, one of them is the fractional part's, and `r` so small that three degrees do.
#[inline(always)]
fn times_power<S: Simd, const N: usize>(
    s: S,
    c: &Coefficients,
    r: [S::F32; N],
    [n, t]: [[S::F32; N]; 2],
) -> [S::F32; N] {
    let y = if S::POWERS == 16 {
        let p = each!(r[0]; N, i => s.power(t[i]));
        let sum = each!(r[0]; N, i => s.fma(r[i], s.splat(c.of_16[2]), s.splat(c.of_16[1])));
        let sum = each!(r[0]; N, i => s.fma(sum[i], r[i], s.splat(c.of_16[0])));
        let r = each!(r[0]; N, i => s.mul(r[i], p[i]));
        each!(r[0]; N, i => s.fma(sum[i], r[i], p[i]))
    } else {
        let mut sum = [s.splat(c.of_one[c.of_one.len() - 1]); N];
        for &c in c.of_one[..c.of_one.len() - 1].iter().rev() {
            sum = each!(r[0]; N, i => s.fma(sum[i], r[i], s.splat(c)));
        }
        sum
    };
    each!(r[0]; N, i => s.scale2(y[i], n[i], t[i]))
}

/// `e^x` of several registers whose elements are not positive: 0 for -inf, NaN for NaN, subnormal results included.
///
/// With `n` the integer, or the sixteenth, nearest to `x / ln 2` and `r = x - n ln 2`, it is `e^r * 2^n`. `ln 2` is split in two
/// (Cody and Waite, Software Manual for the Elementary Functions, 1980): the upper part has 15 bits, so that an integer times it is
/// exact even without a fused multiply-add.
///
/// Each step is taken for all registers before the next. One register after the other is the same work, but a CPU that looks
/// ahead fills its schedulers with the dependent steps of a few of them, and waits: a fifth more time on Zen 5.
#[inline(always)]
pub(crate) fn exp_nonpositive<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [S::F32; N] {
    let x = at_least(s, -EXP_LIMIT, x);
    let t = each!(x[0]; N, i => s.fma(x[i], s.splat(core::f32::consts::LOG2_E), s.splat(S::TO_POWER)));
    let n = each!(x[0]; N, i => s.sub(t[i], s.splat(S::TO_POWER)));
    let r = each!(x[0]; N, i => s.fma(n[i], s.splat(-LN2_UPPER), x[i]));
    let r = each!(x[0]; N, i => s.fma(n[i], s.splat(-LN2_LOWER), r[i]));
    times_power(s, &EXP_COEFFICIENTS, r, [n, t])
}

/// [`exp_nonpositive`] of one register, as a function of its own.
pub(crate) struct ExpNonpositive;

impl Function for ExpNonpositive {
    #[inline(always)]
    fn of<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let [y] = exp_nonpositive(s, [x]);
        y
    }
}

/// `2^r`: for `|r| <= 1/2`, relative error 0.051 * 2^-24; for `|r| <= 1/32`, 0.027 * 2^-24.
const EXP2_COEFFICIENTS: Coefficients = Coefficients {
    of_one: [
        1.0,
        f32::from_bits(0x3f31_7218),
        f32::from_bits(0x3e75_fdee),
        f32::from_bits(0x3d63_57be),
        f32::from_bits(0x3c1d_96f0),
        f32::from_bits(0x3aaf_8417),
        f32::from_bits(0x3920_b5af),
    ],
    of_16: [f32::from_bits(0x3f31_7218), f32::from_bits(0x3e75_fffa), f32::from_bits(0x3d63_566c)],
};

/// `2^x` of several registers whose elements are at most 16: 0 for -inf, NaN for NaN, subnormal results included.
///
/// With `n` the integer, or the sixteenth, nearest to `x`, it is `2^(x - n) * 2^n`; the difference is exact. Each step is taken for
/// all registers before the next, as in [`exp_nonpositive`].
#[inline(always)]
pub(crate) fn exp2_bounded<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [S::F32; N] {
    let x = at_least(s, -EXP2_LIMIT, x);
    let t = each!(x[0]; N, i => s.add(x[i], s.splat(S::TO_POWER)));
    let n = each!(x[0]; N, i => s.sub(t[i], s.splat(S::TO_POWER)));
    let r = each!(x[0]; N, i => s.sub(x[i], n[i]));
    times_power(s, &EXP2_COEFFICIENTS, r, [n, t])
}

/// [`exp2_bounded`] of one register, as a function of its own.
pub(crate) struct Exp2Bounded;

impl Function for Exp2Bounded {
    #[inline(always)]
    fn of<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let [y] = exp2_bounded(s, [x]);
        y
    }
}

/// `erf(x)`, the error function; exactly -1 and 1 from `|x| = 3.845` on, NaN for NaN.
///
/// `x P(x^2) / Q(x^2)`. Near the limit it may exceed 1 by a rounding error or two.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// Here the quotient is 1 with and without fused multiply-adds, and the function within 2^-24 of it.
    const LIMIT: f32 = 3.845;
    /// Fitted on `|x| <= 3.84`; relative error 0.26 * 2^-24. Of 40 common factors of both polynomials, the one that
    /// rounds best.
    const P: [f32; 6] = [
        f32::from_bits(0x3fde_db68),
        f32::from_bits(0x3e93_b5b4),
        f32::from_bits(0x3da5_7d27),
        f32::from_bits(0x3bb7_e365),
        f32::from_bits(0x39e6_d50f),
        f32::from_bits(0x365b_c5cc),
    ];
    const Q: [f32; 6] = [
        f32::from_bits(0x3fc5_807e),
        f32::from_bits(0x3f45_1ebb),
        f32::from_bits(0x3e32_2883),
        f32::from_bits(0x3cb9_f3c9),
        f32::from_bits(0x3ae6_08c8),
        f32::from_bits(0x387b_7d75),
    ];
    odd_rational(s, clamp(s, x, LIMIT), &P, &Q)
}

/// `tanh(x)`, the hyperbolic tangent; exactly -1 and 1 from `|x| = 9.01` on, NaN for NaN.
///
/// `x P(x^2) / Q(x^2)`. Near the limit it may exceed 1 by a rounding error or two.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// Here the quotient is 1 with and without fused multiply-adds, and the function within 2^-25 of it.
    const LIMIT: f32 = 9.01;
    /// Fitted on `|x| <= 9.02`; relative error 0.39 * 2^-24.
    const P: [f32; 5] = [
        1.0,
        f32::from_bits(0x3e09_09e9),
        f32::from_bits(0x3b65_3618),
        f32::from_bits(0x37ad_1f0b),
        f32::from_bits(0x3266_071d),
    ];
    const Q: [f32; 5] = [
        1.0,
        f32::from_bits(0x3eef_2f9b),
        f32::from_bits(0x3cd4_0b81),
        f32::from_bits(0x39ac_6b26),
        f32::from_bits(0x3551_28dd),
    ];
    odd_rational(s, clamp(s, x, LIMIT), &P, &Q)
}

/// [`tanh`] as a function of its own.
pub(crate) struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn of<S: Simd>(s: S, x: S::F32) -> S::F32 {
        tanh(s, x)
    }
}

/// Added to a square changes no polynomial: the coefficients of a degree are at most half of those of the degree before.
const NEGLIGIBLE: f32 = 1e-24;

/// `x P(x^2) / Q(x^2)`.
#[inline(always)]
fn odd_rational<S: Simd, const N: usize>(s: S, x: S::F32, p: &[f32; N], q: &[f32; N]) -> S::F32 {
    // Otherwise small squares would be subnormal, and so would their products: operations that take some CPUs a hundred cycles more.
    let square = s.fma(x, x, s.splat(NEGLIGIBLE));
    s.div(s.mul(x, polynomial(s, square, p)), polynomial(s, square, q))
}

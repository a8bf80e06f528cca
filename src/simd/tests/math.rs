//! The elementary functions against double precision.

use super::super::{MAX_LANES, each, math};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    /// Of what is not positive.
    Exp,
    /// Of what is at most 16.
    Exp2,
    Erf,
    Tanh,
}
use Function::{Erf, Exp, Exp2, Tanh};

const FUNCTIONS: [Function; 4] = [Exp, Exp2, Erf, Tanh];

impl Function {
    fn is_for(self, x: f32) -> bool {
        match self {
            Exp => x.is_nan() || x <= 0.0,
            Exp2 => x.is_nan() || x <= 16.0,
            Erf | Tanh => true,
        }
    }

    const fn is_odd(self) -> bool {
        matches!(self, Erf | Tanh)
    }

    /// Good to far more digits than are compared.
    fn exact(self, x: f64) -> f64 {
        match self {
            Exp => x.exp(),
            Exp2 => x.exp2(),
            Erf => libm::erf(x),
            Tanh => x.tanh(),
        }
    }

    /// [`exact`](Self::exact) of neighbours. Most floats are so small or so large that a few terms do, with a relative error of
    /// 2e-13, and a library function would cost most of the time of a test over all of them.
    fn exact_all(self, x: &[f32]) -> Vec<f64> {
        let (small, large) = match self {
            Exp | Exp2 => (1e-4, 1e3),
            Erf | Tanh => (1e-3, 20.0),
        };
        // Without a way out, so that it runs on whole registers.
        let are_below = |limit: f32| x.iter().fold(true, |all, x| all & (x.abs() < limit));
        let are_above = |limit: f32| x.iter().fold(true, |all, x| all & (x.abs() > limit));
        match self {
            Exp if are_below(small) => each(x, exp_of_small),
            Exp2 if are_below(small) => each(x, |x| exp_of_small(x * core::f64::consts::LN_2)),
            Erf if are_below(small) => each(x, |x| x * core::f64::consts::FRAC_2_SQRT_PI * (1.0 - x * x / 3.0)),
            Tanh if are_below(small) => each(x, |x| x * (1.0 - x * x / 3.0)),
            Exp | Exp2 if are_above(large) => each(x, |_| 0.0),
            Erf | Tanh if are_above(large) => each(x, |x| 1_f64.copysign(x)),
            _ => each(x, |x| self.exact(x)),
        }
    }

    /// The largest error allowed, in ULP; the measured maxima over every f32 stand in `math.rs`. Below 1 a ULP is 2^-24 at
    /// most, so this bounds the absolute error of `erf` and `tanh` too.
    const fn bound(self, fused: bool) -> f64 {
        match (self, fused) {
            // Half for the last rounding; the rest from the argument's reduction and from 1 + r q(r), where r <= 0.35, or from the power
            // of two at hand, which is rounded.
            (Exp | Exp2, true) => 1.0,
            // The products are rounded too.
            (Exp | Exp2, false) => 1.25,
            // Two polynomials, a product and a quotient: each polynomial loses up to a rounding a step.
            (Erf | Tanh, true) => 6.0,
            (Erf | Tanh, false) => 8.0,
        }
    }

    /// Where the function changes its behaviour: results overflow, become subnormal, vanish, saturate; limits of clamps.
    const fn thresholds(self) -> &'static [f32] {
        match self {
            Exp => &[-87.336_54, -103.278_93, -103.972_08, -128.0, -0.346_573_6, -1.0, -0.0],
            Exp2 => &[16.0, -126.0, -149.0, -150.0, -160.0, 0.5, -0.5, 1.5, 1.0, 0.0],
            Erf => &[3.845, -3.845, 3.919_206, 0.476_936_3, 1.0, 2.0, 0.0],
            Tanh => &[9.01, -9.01, 9.010_913, 0.549_306_1, 1.0, 2.0, 0.0],
        }
    }
}

fn exp_of_small(x: f64) -> f64 {
    1.0 + x * (1.0 + x / 2.0)
}

fn each(x: &[f32], f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|&x| f(f64::from(x))).collect()
}

/// A function on whole registers, of which `x` and `y` have as many: a multiple of [`IN_STEP`].
struct Apply<'a> {
    function: Function,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Op for Apply<'_> {
    /// Whether `fma` rounds once.
    type Out = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        match self.function {
            Exp => map(s, self.x, self.y, math::exp_nonpositive),
            Exp2 => map(s, self.x, self.y, math::exp2_bounded),
            Erf => map(s, self.x, self.y, erf),
            Tanh => map(s, self.x, self.y, tanh),
        }
        S::FUSED
    }
}

#[inline(always)]
fn erf<S: Simd>(s: S, x: [S::F32; IN_STEP]) -> [S::F32; IN_STEP] {
    each!(x[0]; IN_STEP, i => math::erf(s, x[i]))
}

#[inline(always)]
fn tanh<S: Simd>(s: S, x: [S::F32; IN_STEP]) -> [S::F32; IN_STEP] {
    each!(x[0]; IN_STEP, i => math::tanh(s, x[i]))
}

/// Registers at a time.
const IN_STEP: usize = 4;

#[inline(always)]
fn map<S: Simd>(s: S, x: &[f32], y: &mut [f32], f: impl Fn(S, [S::F32; IN_STEP]) -> [S::F32; IN_STEP]) {
    let len = IN_STEP * S::LANES;
    for (x, y) in x.chunks_exact(len).zip(y.chunks_exact_mut(len)) {
        // SAFETY: both have the length of so many registers.
        unsafe {
            let registers = f(s, each!(s.splat(0.0); IN_STEP, i => s.load(x.as_ptr().add(i * S::LANES))));
            each!((); IN_STEP, i => s.store(y.as_mut_ptr().add(i * S::LANES), registers[i]));
        }
    }
}

fn apply(level: Level, function: Function, x: &[f32]) -> Vec<f32> {
    let mut padded = x.to_vec();
    padded.resize(x.len().next_multiple_of(IN_STEP * MAX_LANES), f32::NAN);
    let mut y = vec![0.0; padded.len()];
    level.dispatch(Apply { function, x: &padded, y: &mut y });
    y.truncate(x.len());
    y
}

fn is_fused(level: Level) -> bool {
    level.dispatch(Apply { function: Exp, x: &[], y: &mut [] })
}

/// Infinity, seen from the finite numbers.
const TWO_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// The distance in units in the last place of the f32 nearest to `exact`; infinite if only one is NaN.
fn ulps(got: f32, exact: f64) -> f64 {
    if got.is_nan() || exact.is_nan() {
        return if got.is_nan() == exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let exact = exact.clamp(-TWO_128, TWO_128);
    let got = f64::from(got).clamp(-TWO_128, TWO_128);
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    let ulp = f64::from_bits(((exponent.clamp(-126, 127) - 23 + 1023) as u64) << 52);
    (got - exact).abs() / ulp
}

/// The largest error of a level, and where. Results that are rounded correctly do not count: half a unit says nothing of a
/// function, and to compare with them is most of the work of a test over every float.
#[derive(Clone, Copy)]
struct Worst {
    ulps: f64,
    at: f32,
}

impl Worst {
    const NONE: Self = Self { ulps: 0.5, at: f32::NAN };

    fn max(self, other: Self) -> Self {
        if other.ulps > self.ulps { other } else { self }
    }

    fn of(x: &[f32], got: &[f32], exact: &[f64], rounded: &[f32]) -> Self {
        if same_bits(got, rounded) {
            return Self::NONE;
        }
        let results = x.iter().zip(exact).zip(got.iter().zip(rounded));
        results
            .filter(|(_, (got, rounded))| got.to_bits() != rounded.to_bits())
            .fold(Self::NONE, |worst, ((&at, &exact), (&got, _))| worst.max(Self { ulps: ulps(got, exact), at }))
    }
}

/// Whether the results of the opposites are the opposites of `got`.
fn is_odd(level: Level, function: Function, x: &[f32], got: &[f32]) -> bool {
    let opposite = |x: &[f32]| -> Vec<f32> { x.iter().map(|x| -x).collect() };
    let mirrored = apply(level, function, &opposite(x));
    same_bits(&opposite(got), &mirrored) || got.iter().zip(&mirrored).all(|(&a, &b)| same(-a, b))
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    // Without a way out, so that it runs on whole registers.
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a.to_bits() ^ b.to_bits())) == 0
}

/// Floats that are measured at once.
const CHUNK: usize = 1 << 12;

/// Measures all levels on the floats with the given bits, chunk by chunk, as far as the function is for them, and asserts the bounds;
/// of an odd function also that it is odd.
fn check<I: Iterator<Item = u32>>(function: Function, chunks: impl Iterator<Item = I>) {
    let mut worst: Vec<(Level, Worst)> = Level::available().map(|level| (level, Worst::NONE)).collect();
    let mut x = Vec::with_capacity(CHUNK);
    for bits in chunks {
        x.clear();
        x.extend(bits.map(f32::from_bits));
        x.retain(|&x| function.is_for(x));
        if x.is_empty() {
            continue;
        }
        let exact = function.exact_all(&x);
        let rounded: Vec<f32> = exact.iter().map(|&exact| exact as f32).collect();
        // Most levels compute the same, and what is the same is measured once.
        let (mut before, mut here) = (Vec::new(), Worst::NONE);
        for (level, worst) in &mut worst {
            let got = apply(*level, function, &x);
            assert!(!function.is_odd() || is_odd(*level, function, &x, &got), "{function:?} on {level} is not odd");
            if !same_bits(&got, &before) {
                here = Worst::of(&x, &got, &exact, &rounded);
            }
            *worst = worst.max(here);
            before = got;
        }
    }
    for (level, Worst { ulps, at }) in &worst {
        std::println!("{function:?} {level}: {ulps:.3} ULP at {at:e}");
    }
    for (level, Worst { ulps, at }) in worst {
        assert!(ulps <= function.bound(is_fused(level)), "{function:?} {level}: {ulps} ULP at {at:e}");
    }
}

/// Every 997th float, and all in the neighbourhood of the thresholds.
#[test]
fn errors_on_a_sample() {
    for function in FUNCTIONS {
        let around = |&x: &f32| (0..4000).map(move |i| x.to_bits().wrapping_add(i).wrapping_sub(2000));
        check(function, function.thresholds().iter().map(around));
        check(function, (0..997).map(|i| (997 * i..=u32::MAX).step_by(997 * 997)));
    }
}

macro_rules! errors_on_every_float {
    ($($name:ident: $function:ident;)*) => {
        $(
            #[test]
            #[ignore = "every f32 on every level: about a minute in release mode"]
            fn $name() {
                let len = CHUNK as u32;
                // The negative floats come with the others.
                let last = if $function.is_odd() { u32::MAX >> 1 } else { u32::MAX };
                check($function, (0..=last).step_by(CHUNK).map(|from| from..=from + (len - 1)));
            }
        )*
    };
}

errors_on_every_float! {
    errors_on_every_float_exp: Exp;
    errors_on_every_float_exp2: Exp2;
    errors_on_every_float_erf: Erf;
    errors_on_every_float_tanh: Tanh;
}

#[test]
fn exact_values() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let one = f32::from_bits(1); // the smallest subnormal
    let exponential = [(0.0, 1.0), (-0.0, 1.0), (-inf, 0.0), (f32::MIN, 0.0), (nan, nan), (-nan, nan)];
    let sigmoid = [(0.0, 0.0), (-0.0, -0.0), (-inf, -1.0), (inf, 1.0), (f32::MIN, -1.0), (f32::MAX, 1.0), (nan, nan)];
    let tiny = [(one, one), (1.0e-20, 1.0e-20)];
    let powers = [(1.0, 2.0), (-126.0, f32::MIN_POSITIVE), (-149.0, one), (-151.0, 0.0), (16.0, 65536.0)];
    let cases: [(Function, &[(f32, f32)]); 6] =
        [(Exp, &exponential), (Exp2, &exponential), (Exp2, &powers), (Erf, &sigmoid), (Tanh, &sigmoid), (Tanh, &tiny)];
    for level in Level::available() {
        for (function, values) in cases {
            for &(x, expected) in values {
                let got = apply(level, function, &[x])[0];
                assert!(same(got, expected), "{function:?}({x:e}) on {level}: got {got:e}, expected {expected:e}");
            }
        }
    }
}

/// From the limit on the sigmoids are exactly 1: `x * (1 - erf(x))` must vanish for large `x`, however large.
#[test]
fn sigmoids_saturate() {
    for level in Level::available() {
        for (function, limit) in [(Erf, 3.845), (Tanh, 9.01_f32)] {
            let beyond: Vec<f32> =
                (limit.to_bits()..f32::INFINITY.to_bits()).step_by(99_991).map(f32::from_bits).collect();
            assert!(apply(level, function, &beyond).iter().all(|&y| y == 1.0), "{function:?} on {level}");
        }
    }
}

//! Every operation of the contract on every level of this CPU, against plain loops. Levels it lacks are named as not run.

extern crate std;

use std::io::Write;
use std::sync::Once;
use std::vec::Vec;
use std::{format, vec};

use half::{bf16, f16};

use super::{Level, Op, Simd};

mod dot;
mod level;
mod math;
mod memory;
mod tiles;

/// Runs a check on every level of this CPU, and says once which levels it lacks.
fn on_every_level(check: impl Op<Out = ()> + Copy) {
    static NAME_THE_OTHERS: Once = Once::new();
    NAME_THE_OTHERS.call_once(|| {
        // Past the `print` macros: shown even when all tests pass, so that nobody takes a level for tested that is not.
        for name in Level::NAMES.iter().filter(|name| Level::from_name(name).is_err()) {
            writeln!(std::io::stderr(), "SIMD level {name}: not run, this CPU does not have it").unwrap();
        }
    });
    for level in Level::available() {
        level.dispatch(check);
    }
}

/// A test whose body is run on every level, with the token in `$s` and its type in `$S`.
macro_rules! every_level {
    ($(#[$attribute:meta])* fn $name:ident<$S:ident>($s:ident) $body:block) => {
        #[test]
        $(#[$attribute])*
        fn $name() {
            #[derive(Clone, Copy)]
            struct Check;

            impl Op for Check {
                type Out = ();

                #[inline(always)]
                fn run<$S: Simd>(self, $s: $S) $body
            }

            on_every_level(Check);
        }
    };
}
use every_level;

/// Values at which arithmetic is special, and some at which it is not.
const SPECIAL: [f32; 22] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    f32::from_bits(1),           // the smallest subnormal
    f32::from_bits(0x8000_0001), // its negative
    f32::from_bits(0x007f_ffff), // the largest subnormal
    f32::from_bits(0x3f7f_ffff), // below 1
    f32::from_bits(0x3f80_0001), // above 1
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -3.7,
    1.0e-3,
    123_456.7,
];

/// Reproducible numbers (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    /// Any float, NaNs and infinities included.
    fn any(&mut self) -> f32 {
        f32::from_bits(self.bits())
    }

    /// In [-1, 1).
    fn unit(&mut self) -> f32 {
        self.bits().cast_signed() as f32 / 2_147_483_648.0
    }
}

/// All pairs of special values, then random ones; a multiple of 16 of them.
fn pairs() -> Vec<(f32, f32)> {
    let mut pairs: Vec<_> = SPECIAL.iter().flat_map(|&a| SPECIAL.iter().map(move |&b| (a, b))).collect();
    let mut random = Random::new();
    pairs.extend((0..2000).map(|_| (random.any(), random.any())));
    pairs.extend((0..2000).map(|_| (random.unit(), random.unit())));
    pairs.resize(pairs.len().next_multiple_of(16), (1.0, 2.0));
    pairs
}

#[track_caller]
fn set<S: Simd>(s: S, values: &[f32]) -> S::F32 {
    assert_eq!(values.len(), S::LANES);
    // SAFETY: the length is checked.
    unsafe { s.load(values.as_ptr()) }
}

fn get<S: Simd>(s: S, a: S::F32) -> Vec<f32> {
    let mut values = vec![0.0; S::LANES];
    // SAFETY: it has the length.
    unsafe { s.store(values.as_mut_ptr(), a) };
    values
}

/// The same bits, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[track_caller]
fn assert_same<S: Simd>(_: S, what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let lanes = S::LANES;
        assert!(same(got, expected), "{what}, {lanes} lanes, element {i}: got {got:e}, expected {expected:e}");
    }
}

/// Compares an operation on registers with one on numbers, lane by lane, on the given inputs.
#[inline(always)]
fn check2<S: Simd>(
    s: S,
    what: &str,
    inputs: &[(f32, f32)],
    on_registers: impl Fn(S::F32, S::F32) -> S::F32,
    on_numbers: impl Fn(f32, f32) -> f32,
) {
    for inputs in inputs.chunks_exact(S::LANES) {
        let (a, b): (Vec<f32>, Vec<f32>) = inputs.iter().copied().unzip();
        let expected: Vec<f32> = inputs.iter().map(|&(a, b)| on_numbers(a, b)).collect();
        let got = get(s, on_registers(set(s, &a), set(s, &b)));
        assert_same(s, &format!("{what} of {inputs:?}"), &got, &expected);
    }
}

every_level! {
    fn splat_and_iota<S>(s) {
        assert_same(s, "splat", &get(s, s.splat(-2.5)), &vec![-2.5; S::LANES]);
        assert_same(s, "iota", &get(s, s.iota()), &(0..S::LANES).map(|i| i as f32).collect::<Vec<_>>());
    }
}

every_level! {
    fn arithmetic<S>(s) {
        let pairs = pairs();
        check2(s, "add", &pairs, |a, b| s.add(a, b), |a, b| a + b);
        check2(s, "sub", &pairs, |a, b| s.sub(a, b), |a, b| a - b);
        check2(s, "mul", &pairs, |a, b| s.mul(a, b), |a, b| a * b);
        check2(s, "div", &pairs, |a, b| s.div(a, b), |a, b| a / b);
    }
}

every_level! {
    /// The order of the arguments matters for NaN, and for zeros of different sign.
    fn max_and_min<S>(s) {
        let pairs = pairs();
        check2(s, "max", &pairs, |a, b| s.max(a, b), |a, b| if a > b { a } else { b });
        check2(s, "min", &pairs, |a, b| s.min(a, b), |a, b| if a < b { a } else { b });
    }
}

every_level! {
    fn fma_rounds_as_often_as_it_says<S>(s) {
        if cfg!(target_feature = "relaxed-simd") {
            return; // The engine says how often.
        }
        let pairs = pairs();
        for c in SPECIAL {
            let on_numbers = |a: f32, b| if S::FUSED { a.mul_add(b, c) } else { a * b + c };
            check2(s, &format!("fma with {c:e}"), &pairs, |a, b| s.fma(a, b, s.splat(c)), on_numbers);
            let on_numbers = |b: f32, c_lane| if S::FUSED { c.mul_add(b, c_lane) } else { c * b + c_lane };
            check2(s, &format!("fma of {c:e}"), &pairs, |b, c_lane| s.fma(s.splat(c), b, c_lane), on_numbers);
        }
        // (1 + e)(1 - e) - 1 = -e^2: only one rounding keeps it.
        let (a, b, e) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON, f32::EPSILON);
        let expected = if S::FUSED { -e * e } else { 0.0 };
        assert_same(s, "fma", &get(s, s.fma(s.splat(a), s.splat(b), s.splat(-1.0))), &vec![expected; S::LANES]);
    }
}

/// `n`, with `n + TO_POWER`.
fn power_of<S: Simd>(s: S, n: S::F32) -> [S::F32; 2] {
    [n, s.add(n, s.splat(S::TO_POWER))]
}

every_level! {
    /// Which of two equally near ones is left open, and the sign of a zero.
    fn to_power_rounds_to_the_nearest<S>(s) {
        let mut random = Random::new();
        let ties = (-600..600).map(|i| i as f32 * 0.5 / S::POWERS as f32);
        let small = (0..2000).map(|_| random.unit() * 300.0);
        let edges = [-188.0, -187.5, 15.999_999, 0.499_999_97, -0.499_999_97, f32::from_bits(1), 0.0, -0.0];
        for x in ties.chain(small).chain(edges) {
            let n = get(s, s.sub(power_of(s, s.splat(x))[1], s.splat(S::TO_POWER)))[0];
            assert_eq!(n * S::POWERS as f32, (n * S::POWERS as f32).round(), "{x}: {n} is no multiple");
            assert!((f64::from(n) - f64::from(x)).abs() <= 0.5 / S::POWERS as f64, "{x}: {n}");
        }
    }
}

every_level! {
    fn powers_are_the_nearest_to_their_roots<S>(s) {
        for i in -188 * S::POWERS as i32..=16 * S::POWERS as i32 {
            let n = f64::from(i) / S::POWERS as f64;
            let [_, t] = power_of(s, s.splat(n as f32));
            assert_eq!(get(s, s.power(t)), vec![(n - n.floor()).exp2() as f32; S::LANES], "{n}");
        }
    }
}

every_level! {
    /// A double holds every product exactly, so that the conversion rounds once.
    fn scale2_rounds_once<S>(s) {
        let mut random = Random::new();
        let exact = |a: f32, n: f32| (f64::from(a) * f64::from(n).floor().exp2()) as f32;
        let scale2 = |a, n| {
            let [n, t] = power_of(s, n);
            s.scale2(a, n, t)
        };
        let check = |inputs: &[(f32, f32)]| check2(s, "scale2", inputs, scale2, exact);
        for n in -188 * S::POWERS as i32..=16 * S::POWERS as i32 {
            let n = n as f32 / S::POWERS as f32;
            let factors = [0.5, 0.500_000_06, 0.75, 0.999_999_94, 1.0, 1.000_000_1, 1.5, 1.999_999_9, 2.0];
            let random = (0..54).map(|_| 1.25 + 0.75 * random.unit());
            let of_this = factors.into_iter().chain(random).map(|a| (a, n));
            check(&of_this.chain([(f32::NAN, f32::NAN)]).collect::<Vec<_>>());
        }
        // Different exponents in the lanes.
        check(&(-188..=16).step_by(2).take(96).map(|n| (1.25, n as f32)).collect::<Vec<_>>());
    }
}

every_level! {
    /// Exponentials have no limit of their own there.
    fn scale2_of_all_below<S>(s) {
        if S::SCALES_ALL_BELOW {
            for n in [-189.0, -1e4, -4_194_305.0, -1e30, f32::MIN, f32::NEG_INFINITY] {
                let [n, t] = power_of(s, s.splat(n));
                for a in SPECIAL {
                    assert_eq!(get(s, s.scale2(s.splat(a), n, t)), vec![0.0; S::LANES], "{a} {:?}", get(s, n));
                }
            }
        }
    }
}

every_level! {
    fn comparison_and_select<S>(s) {
        let pairs = pairs();
        let lt = |a, b| s.select(s.lt(a, b), s.splat(7.0), s.splat(8.0));
        check2(s, "lt", &pairs, lt, |a, b| if a < b { 7.0 } else { 8.0 });
        let which = |a, b| s.select(s.lt(a, b), a, b);
        check2(s, "select", &pairs, which, |a, b| if a < b { a } else { b });
    }
}

every_level! {
    fn any_lane<S>(s) {
        assert!(!s.any(s.lt(s.splat(1.0), s.splat(1.0))));
        assert!(s.any(s.lt(s.splat(0.0), s.splat(1.0))));
        for i in 0..S::LANES {
            let mut values = vec![1.0; S::LANES];
            values[i] = 0.0;
            assert!(s.any(s.lt(set(s, &values), s.splat(1.0))), "{} lanes, lane {i}", S::LANES);
            values[i] = f32::NAN;
            assert!(!s.any(s.lt(set(s, &values), s.splat(1.0))), "{} lanes, lane {i}", S::LANES);
        }
    }
}

/// Lane i with i + n/2, and so on, as the contract says.
fn pairwise(values: &[f32], f: fn(f32, f32) -> f32) -> f32 {
    if let [one] = values {
        return *one;
    }
    let (lower, upper) = values.split_at(values.len() / 2);
    pairwise(&lower.iter().zip(upper).map(|(&a, &b)| f(a, b)).collect::<Vec<_>>(), f)
}

every_level! {
    fn reductions<S>(s) {
        let mut random = Random::new();
        for _ in 0..1000 {
            // Magnitudes far apart, so that another order of summation would round to another sum.
            let values: Vec<_> = (0..S::LANES).map(|_| random.unit() * ((random.bits() % 24) as f32).exp2()).collect();
            let sum = s.reduce_add(set(s, &values));
            assert_same(s, "reduce_add", &[sum], &[pairwise(&values, |a, b| a + b)]);
            let max = s.reduce_max(set(s, &values));
            assert_same(s, "reduce_max", &[max], &[pairwise(&values, f32::max)]);
        }
    }
}

every_level! {
    fn reductions_of_special_values<S>(s) {
        for i in 0..S::LANES {
            for special in SPECIAL {
                let mut values = vec![-1.0; S::LANES];
                values[i] = special;
                let sum = s.reduce_add(set(s, &values));
                assert_same(s, "reduce_add", &[sum], &[pairwise(&values, |a, b| a + b)]);
                if !special.is_nan() {
                    let max = s.reduce_max(set(s, &values));
                    assert_same(s, "reduce_max", &[max], &[special.max(-1.0)]);
                }
            }
        }
    }
}

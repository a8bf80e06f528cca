//! The dot product of bf16 pairs, where the CPU has it.

#![allow(dead_code, reason = "not every architecture has a level with it")]

use super::super::{Bf16Dot, DotOp};
use super::*;

/// A test whose body is run on every level that multiplies pairs, with the token in `$s` and its type in `$S`.
macro_rules! every_dot {
    ($(#[$attribute:meta])* fn $name:ident<$S:ident>($s:ident) $body:block) => {
        #[test]
        $(#[$attribute])*
        fn $name() {
            #[derive(Clone, Copy)]
            struct Check;

            impl $crate::simd::DotOp for Check {
                type Out = ();

                #[inline(always)]
                fn run<$S: $crate::simd::Bf16Dot>(self, $s: $S) $body
            }

            for level in Level::available() {
                assert_eq!(level.dispatch_dot(Check).is_some(), level.has_bf16_dot());
            }
        }
    };
}
pub(super) use every_dot;

fn halves(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&x| bf16::from_f32(x)).collect()
}

fn bits_of<S: Simd>(s: S, a: S::F32) -> Vec<u32> {
    get(s, a).into_iter().map(f32::to_bits).collect()
}

fn pair(first: bf16, second: bf16) -> u32 {
    u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16
}

#[test]
fn only_the_levels_named_for_it_have_the_dot_product() {
    struct Nothing;

    impl DotOp for Nothing {
        type Out = ();
        #[inline(always)]
        fn run<S: Bf16Dot>(self, _: S) {}
    }

    for level in Level::available() {
        assert_eq!(level.has_bf16_dot(), level.name().ends_with("bf16"));
        assert_eq!(level.dispatch_dot(Nothing).is_some(), level.has_bf16_dot());
    }
}

every_dot! {
    /// The bits, whatever they mean as numbers: the first half in the lower ones.
    fn pairs_are_loaded_as_they_are<S>(s) {
        let halves: Vec<bf16> = (0..=u16::MAX).map(|bits| bf16::from_bits(bits.wrapping_mul(40_503))).collect();
        for offset in [0, 1] {
            for halves in halves[offset..].chunks_exact(2 * S::LANES) {
                let expected: Vec<u32> = halves.chunks(2).map(|halves| pair(halves[0], halves[1])).collect();
                // SAFETY: a chunk has as many pairs as there are lanes.
                assert_eq!(bits_of(s, unsafe { s.load_pairs(halves.as_ptr()) }), expected);
                // SAFETY: a chunk has two halves.
                let splat = unsafe { s.splat_pair(halves.as_ptr()) };
                assert_eq!(bits_of(s, splat), vec![expected[0]; S::LANES]);
                let (first, second) = halves.split_at(S::LANES);
                let zipped: Vec<u32> = first.iter().zip(second).map(|(&a, &b)| pair(a, b)).collect();
                // SAFETY: both have as many halves as there are lanes.
                assert_eq!(bits_of(s, unsafe { s.load_zipped(first.as_ptr(), second.as_ptr()) }), zipped);
                assert_eq!(bits_of(s, s.splat_half(halves[0])), vec![pair(halves[0], bf16::ZERO); S::LANES]);
            }
        }
    }
}

every_dot! {
    /// As the crate `half` rounds; what is subnormal may become 0.
    fn pairs_are_rounded_to_nearest_even<S>(s) {
        let mut random = Random::new();
        for _ in 0..20_000 {
            let mut numbers = || (0..S::LANES).map(|_| f32::from_bits(random.bits())).collect::<Vec<_>>();
            let (first, second) = (numbers(), numbers());
            let pairs = s.pair(set(s, &first), set(s, &second));
            for (got, numbers) in [(s.first_of_pairs(pairs), &first), (s.second_of_pairs(pairs), &second)] {
                for (got, &x) in get(s, got).into_iter().zip(numbers) {
                    let expected = bf16::from_f32(x).to_f32();
                    let same = got.to_bits() == expected.to_bits() || got.is_nan() && x.is_nan();
                    let flushed = got == 0.0 && x.abs() <= f32::MIN_POSITIVE;
                    assert!(same || flushed, "{x:e} became {got:e}, not {expected:e}");
                }
            }
        }
        let halves: Vec<f32> = (0..=u16::MAX).map(|bits| bf16::from_bits(bits).to_f32()).collect();
        for halves in halves.chunks_exact(2 * S::LANES) {
            let (first, second) = halves.split_at(S::LANES);
            let pairs = s.pair(set(s, first), set(s, second));
            let rounded = [get(s, s.first_of_pairs(pairs)), get(s, s.second_of_pairs(pairs))].concat();
            for (got, &x) in rounded.into_iter().zip(halves) {
                let same = got.to_bits() == x.to_bits() || got.is_nan() && x.is_nan();
                assert!(same || got == 0.0 && x.is_subnormal(), "{x:e} became {got:e}");
            }
        }
    }
}

every_dot! {
    /// Integers of eight bits: every product and sum is exact.
    fn dot_of_integers_is_exact<S>(s) {
        let mut random = Random::new();
        let mut integers = |n: usize| (0..n).map(|_| (random.bits() % 511) as f32 - 255.0).collect::<Vec<_>>();
        for _ in 0..1000 {
            let (a, b, sum) = (integers(2 * S::LANES), integers(2 * S::LANES), integers(S::LANES));
            let expected: Vec<f32> =
                (0..S::LANES).map(|i| sum[i] + a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1]).collect();
            let (halves_a, halves_b) = (halves(&a), halves(&b));
            // SAFETY: both have as many pairs as there are lanes.
            let (pairs_a, pairs_b) = unsafe { (s.load_pairs(halves_a.as_ptr()), s.load_pairs(halves_b.as_ptr())) };
            assert_same(s, "dot", &get(s, s.dot(pairs_a, pairs_b, set(s, &sum))), &expected);

            // SAFETY: two halves are there.
            let splat = unsafe { s.splat_pair(halves_a.as_ptr()) };
            let expected: Vec<f32> = (0..S::LANES).map(|i| sum[i] + a[0] * b[2 * i] + a[1] * b[2 * i + 1]).collect();
            assert_same(s, "dot with splat_pair", &get(s, s.dot(splat, pairs_b, set(s, &sum))), &expected);
            assert_same(s, "dot_by splat_pair", &get(s, s.dot_by(splat, pairs_b, set(s, &sum))), &expected);
            // SAFETY: two halves are there.
            let pair = unsafe { s.pair_at(halves_a.as_ptr(), 0) };
            assert_same(s, "dot_by", &get(s, s.dot_by(pair, pairs_b, set(s, &sum))), &expected);
            // SAFETY: a register has at least four pairs.
            let pair = unsafe { s.pair_at(halves_a.as_ptr(), 3) };
            let expected: Vec<f32> = (0..S::LANES).map(|i| sum[i] + a[3] * b[2 * i] + a[4] * b[2 * i + 1]).collect();
            assert_same(s, "dot_by at an offset", &get(s, s.dot_by(pair, pairs_b, set(s, &sum))), &expected);

            let half = s.splat_half(halves_a[0]);
            let expected: Vec<f32> = (0..S::LANES).map(|i| sum[i] + a[0] * b[2 * i]).collect();
            assert_same(s, "dot with splat_half", &get(s, s.dot(half, pairs_b, set(s, &sum))), &expected);
        }
    }
}

every_dot! {
    /// A pair rounds twice at most; on AArch64 to odd, which is off by up to an EPSILON each time and not by half of one.
    fn dot_is_as_exact_as_two_roundings<S>(s) {
        let bound = f64::from(f32::EPSILON) * if cfg!(target_arch = "aarch64") { 2.0 } else { 1.0 };
        let mut random = Random::new();
        let mut units = |n: usize| (0..n).map(|_| bf16::from_f32(random.unit()).to_f32()).collect::<Vec<_>>();
        for _ in 0..1000 {
            let (a, b, sum) = (units(2 * S::LANES), units(2 * S::LANES), units(S::LANES));
            let (halves_a, halves_b) = (halves(&a), halves(&b));
            // SAFETY: both have as many pairs as there are lanes.
            let (pairs_a, pairs_b) = unsafe { (s.load_pairs(halves_a.as_ptr()), s.load_pairs(halves_b.as_ptr())) };
            for (i, got) in get(s, s.dot(pairs_a, pairs_b, set(s, &sum))).into_iter().enumerate() {
                let terms = [
                    f64::from(sum[i]),
                    f64::from(a[2 * i]) * f64::from(b[2 * i]),
                    f64::from(a[2 * i + 1]) * f64::from(b[2 * i + 1]),
                ];
                let (exact, magnitudes) = (terms.iter().sum::<f64>(), terms.iter().map(|x| x.abs()).sum::<f64>());
                let error = (f64::from(got) - exact).abs();
                assert!(error <= magnitudes * bound, "{got} is not {exact}");
            }
        }
    }
}

every_dot! {
    /// What is not finite goes through as in two multiply-adds; what is subnormal counts as 0, operand or result.
    fn dot_of_special_values<S>(s) {
        let (inf, nan, least) = (f32::INFINITY, f32::NAN, f32::MIN_POSITIVE);
        let subnormal = least / 2.0;
        for ([a0, a1], [b0, b1], sum, expected) in [
            ([inf, 0.0], [1.0, 0.0], 1.0, inf),
            ([0.0, inf], [0.0, -1.0], 1.0, -inf),
            ([inf, 0.0], [0.0, 0.0], 1.0, nan),
            ([inf, inf], [1.0, -1.0], 1.0, nan),
            ([1.0, 1.0], [1.0, 1.0], -inf, -inf),
            ([nan, 0.0], [0.0, 0.0], 1.0, nan),
            ([0.0, 0.0], [0.0, nan], 1.0, nan),
            ([0.0, 0.0], [0.0, 0.0], nan, nan),
            ([subnormal, 0.0], [1e30, 0.0], 0.0, 0.0),
            ([0.0, 1e30], [0.0, subnormal], 2.0, 2.0),
            ([inf, 0.0], [subnormal, 0.0], 1.0, nan),
            ([least, 0.0], [0.5, 0.0], 0.0, 0.0),
            ([least, 0.0], [1.0, 0.0], 0.0, least),
            ([0.0, 0.0], [0.0, 0.0], subnormal, 0.0),
        ] {
            let (a, b) = (halves(&[a0, a1]), halves(&[b0, b1]));
            // SAFETY: both have two halves.
            let got = unsafe { s.dot(s.splat_pair(a.as_ptr()), s.splat_pair(b.as_ptr()), s.splat(sum)) };
            assert_same(s, &format!("({a0}, {a1}) ({b0}, {b1}) + {sum}"), &get(s, got), &vec![expected; S::LANES]);
        }
    }
}

//! Random numbers by seed, and the kinds of values worth trying.

use proptest::prelude::*;
use selfattn::Element;

/// xorshift64* (Vigna 2016): a few lines, good enough to fill matrices, the same on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        // An odd multiplier spreads small seeds over all bits; the state must not be 0.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Uniform in [-1, 1), on a grid of 2^-23.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// What a matrix is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Uniform in [-1, 1).
    Unit,
    /// Uniform in sign and exponent, from 2^-55 to 2^55: sums cancel and absorb, and no product of two or sum of a few
    /// thousand of them overflows.
    Wide,
    /// Subnormals and their neighbours: products of two underflow.
    Tiny,
    /// Mostly zeros of both signs.
    Sparse,
    /// All of these mixed.
    Mixed,
}

impl Values {
    pub fn sample(self, rng: &mut Rng) -> f32 {
        let mantissa = (1.0 + rng.unit().abs()) * if rng.below(2) == 0 { 1.0 } else { -1.0 };
        match self {
            Self::Unit => rng.unit(),
            Self::Wide => mantissa * 2_f32.powi(rng.below(110) as i32 - 55),
            // In two steps: 2^-149 is no normal number.
            Self::Tiny => mantissa * 2_f32.powi(-100) * 2_f32.powi(-(rng.below(50) as i32)),
            Self::Sparse => mantissa * if rng.below(8) == 0 { 1.0 } else { 0.0 },
            Self::Mixed => [Self::Unit, Self::Unit, Self::Wide, Self::Tiny, Self::Sparse][rng.below(5)].sample(rng),
        }
    }

    /// A sample that the storage type can hold: what overflows it becomes its largest.
    pub fn sample_as<E: Element>(self, rng: &mut Rng) -> f32 {
        let x = self.sample(rng);
        if E::from_f32(x).to_f32().is_finite() { x } else { x.clamp(-65504.0, 65504.0) }
    }

    pub fn any() -> impl Strategy<Value = Self> {
        prop_oneof![3 => Just(Self::Unit), 1 => Just(Self::Wide), 1 => Just(Self::Tiny), 1 => Just(Self::Sparse), 1 => Just(Self::Mixed)]
    }
}

/// The values to try on a function of one number: everything, with the special ones often.
pub fn any_float() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -12.0_f32..12.0,
        2 => proptest::num::f32::ANY,
        1 => proptest::sample::select(vec![
            0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(1), f32::MAX, f32::MIN, f32::INFINITY,
            f32::NEG_INFINITY, f32::NAN, 1e30, -1e30, 88.8, -88.8, 103.9, -103.9,
        ]),
    ]
}

/// A dimension: small, or near a multiple of the width of some register or tile, or anything up to `max`.
pub fn dimension(max: usize) -> impl Strategy<Value = usize> {
    let near = (1_usize..5, proptest::sample::select(vec![4_usize, 6, 8, 16, 24, 48]), 0_usize..3)
        .prop_map(|(times, width, about)| times * width + about - 1);
    prop_oneof![2 => 0_usize..5, 3 => near, 2 => 0..=max].prop_map(move |n| n.min(max))
}

//! Storage types: how a number is kept in memory. Computation is always in f32.

use half::{bf16, f16};

use crate::simd::Simd;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// The element types of weight files that the engine computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The lower-case name: `f32`, `f16`, `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// A number as it is stored: `f32`, [`half::f16`] or [`half::bf16`]. Sealed.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Which one it is.
    const DTYPE: Dtype;
    /// Zero.
    const ZERO: Self;

    /// Widens exactly.
    fn to_f32(self) -> f32;
    /// Rounds to nearest even.
    fn from_f32(x: f32) -> Self;
}

/// Loads of an element into registers; apart from [`Element`] so that the SIMD trait stays out of the public API.
pub(crate) trait Load: Element {
    /// # Safety
    /// `p` is valid for reading `LANES` elements.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::F32;
    /// The first `n` elements, then zeros.
    /// # Safety
    /// `p` is valid for reading `n` elements; `n <= LANES`.
    unsafe fn load_first<S: Simd>(s: S, p: *const Self, n: usize) -> S::F32;
    /// One number, exactly.
    fn widen<S: Simd>(self, s: S) -> f32;
}

macro_rules! element {
    ($type:ty, $dtype:expr, $zero:expr, $to:expr, $from:expr, $load:ident, $load_first:ident, $widen:expr) => {
        impl Element for $type {
            const DTYPE: Dtype = $dtype;
            const ZERO: Self = $zero;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self)
            }

            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                $from(x)
            }
        }

        impl Load for $type {
            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::F32 {
                // SAFETY: the same contract.
                unsafe { s.$load(p) }
            }

            #[inline(always)]
            unsafe fn load_first<S: Simd>(s: S, p: *const Self, n: usize) -> S::F32 {
                // SAFETY: the same contract.
                unsafe { s.$load_first(p, n) }
            }

            #[inline(always)]
            fn widen<S: Simd>(self, s: S) -> f32 {
                $widen(s, self)
            }
        }
    };
}

element!(f32, Dtype::F32, 0.0, |x| x, |x| x, load, load_first, |_, x| x);
element!(f16, Dtype::F16, f16::ZERO, f16::to_f32, f16::from_f32, load_f16, load_f16_first, S::widen_f16);
element!(bf16, Dtype::Bf16, bf16::ZERO, bf16::to_f32, bf16::from_f32, load_bf16, load_bf16_first, |_, x: bf16| {
    f32::from_bits(u32::from(x.to_bits()) << 16)
});

/// The same bytes: 0 for false, 1 for true.
pub(crate) const fn bytes_of_bools(bools: &[bool]) -> &[u8] {
    // SAFETY: a bool is one byte, 0 or 1.
    unsafe { core::slice::from_raw_parts(bools.as_ptr().cast(), bools.len()) }
}

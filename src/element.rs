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
    /// Lines of a packed panel that stand interleaved, element by element. Two bf16 make one 32-bit word: a shift and a
    /// mask widen them, and the dot-product instructions take them as they are.
    const INTERLEAVED: usize;

    /// # Safety
    /// `p` is valid for reading `LANES` elements.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::F32;
    /// The first `n` elements, then zeros.
    /// # Safety
    /// `p` is valid for reading `n` elements; `n <= LANES`.
    unsafe fn load_first<S: Simd>(s: S, p: *const Self, n: usize) -> S::F32;
    /// Register `j` of line `which` of the [`Self::INTERLEAVED`] lines of a packed panel that stand from `lines` on.
    /// # Safety
    /// `lines` is valid for reading these lines, and register `j` lies within them.
    unsafe fn load_line<S: Simd>(s: S, lines: *const Self, which: usize, j: usize) -> S::F32;
}

/// Lines that stand one after the other.
macro_rules! lines_apart {
    () => {
        const INTERLEAVED: usize = 1;

        #[inline(always)]
        unsafe fn load_line<S: Simd>(s: S, lines: *const Self, _which: usize, j: usize) -> S::F32 {
            // SAFETY: the same contract.
            unsafe { Self::load(s, lines.add(j * S::LANES)) }
        }
    };
}

/// Pairs of lines, element by element.
macro_rules! lines_paired {
    () => {
        const INTERLEAVED: usize = 2;

        #[inline(always)]
        unsafe fn load_line<S: Simd>(s: S, lines: *const Self, which: usize, j: usize) -> S::F32 {
            // SAFETY: the register's `LANES` pairs lie within the two lines.
            unsafe {
                let pairs = lines.add(2 * j * S::LANES);
                if which == 0 { s.load_bf16_first_of_pairs(pairs) } else { s.load_bf16_second_of_pairs(pairs) }
            }
        }
    };
}

macro_rules! element {
    ($type:ty, $dtype:expr, $zero:expr, $to:expr, $from:expr, $load:ident, $load_first:ident, $lines:ident) => {
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

            $lines!();
        }
    };
}

element!(f32, Dtype::F32, 0.0, |x| x, |x| x, load, load_first, lines_apart);
element!(f16, Dtype::F16, f16::ZERO, f16::to_f32, f16::from_f32, load_f16, load_f16_first, lines_apart);
element!(bf16, Dtype::Bf16, bf16::ZERO, bf16::to_f32, bf16::from_f32, load_bf16, load_bf16_first, lines_paired);

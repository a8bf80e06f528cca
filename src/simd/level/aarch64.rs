//! The levels of AArch64: NEON is in every build, and FEAT_BF16 is asked for, where there is a standard library to ask.

use super::Shape;
use crate::simd::neon::Neon;
use crate::simd::{Bf16Dot, DotOp, Op, Scalar, Simd, TileOp};

/// The levels, each including those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Scalar = 1,
    Neon,
    NeonBf16,
}

impl Kind {
    pub const ALL: &[Self] = &[Self::Scalar, Self::Neon, Self::NeonBf16];
    /// In the same order.
    pub const NAMES: &[&str] = &["scalar", "neon", "neonbf16"];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::NeonBf16 => "neonbf16",
        }
    }

    /// Whether the CPU is asked what it has.
    pub const IS_ASKED: bool = true;

    /// The highest level of this CPU.
    pub fn probe() -> Self {
        if has_bf16() { Self::NeonBf16 } else { Self::Neon }
    }

    /// The fastest level of this CPU, whose highest is this one.
    pub const fn fastest(self) -> Self {
        self
    }

    pub const fn shape(self) -> Shape {
        match self {
            Self::Scalar => Shape::of::<Scalar>(),
            Self::Neon | Self::NeonBf16 => Shape::of::<Neon<false>>(),
        }
    }

    /// # Safety
    /// The CPU has this level.
    #[inline]
    pub unsafe fn dispatch<O: Op>(self, op: O) -> O::Out {
        match self {
            Self::Scalar => Scalar.call(op),
            // SAFETY: the build's target features have NEON.
            Self::Neon | Self::NeonBf16 => unsafe { Neon::<false>::new() }.call(op),
        }
    }

    pub const fn has_bf16_dot(self) -> bool {
        matches!(self, Self::NeonBf16)
    }

    /// # Safety
    /// The CPU has this level.
    #[inline]
    pub unsafe fn dispatch_dot<O: DotOp>(self, op: O) -> Option<O::Out> {
        // SAFETY: the caller's promise.
        self.has_bf16_dot().then(|| unsafe { Neon::<true>::new() }.call_dot(op))
    }

    pub const fn has_tiles(self) -> bool {
        false
    }

    /// # Safety
    /// As [`Self::dispatch`].
    #[inline]
    pub unsafe fn dispatch_tiles<O: TileOp>(self, op: O) -> Option<O::Out> {
        drop(op);
        None
    }
}

/// Whether the CPU has FEAT_BF16: the operating system knows, and the standard library asks it.
#[cfg(feature = "std")]
fn has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

/// Whether the build promises FEAT_BF16: the CPU answers only to the operating system.
#[cfg(not(feature = "std"))]
fn has_bf16() -> bool {
    cfg!(target_feature = "bf16")
}

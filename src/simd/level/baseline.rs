//! The levels where the build's target features say all that there is to know: nothing is detected.

use super::Shape;
use crate::simd::{DotOp, Op, Scalar, Simd, TileOp};

cfg_select! {
    all(target_arch = "wasm32", target_feature = "simd128") => {
        use crate::simd::wasm::Wasm128 as Vectors;
        const TOKEN: Vectors = Vectors::new();
        const NAMES: &[&str] = &["scalar", "wasm128"];
    }
    _ => {
        use Scalar as Vectors;
        const TOKEN: Vectors = Scalar;
        const NAMES: &[&str] = &["scalar"];
    }
}

const HAS_VECTORS: bool = NAMES.len() > 1;
const BEST: &str = NAMES[NAMES.len() - 1];

/// The levels: portable code, and the vectors of this build, if it has any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Scalar = 1,
    Vectors,
}

impl Kind {
    pub const ALL: &[Self] = if HAS_VECTORS { &[Self::Scalar, Self::Vectors] } else { &[Self::Scalar] };
    /// In the same order.
    pub const NAMES: &[&str] = NAMES;

    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vectors => BEST,
        }
    }

    /// Whether the CPU is asked what it has.
    pub const IS_ASKED: bool = false;

    /// The highest level of this CPU.
    pub const fn probe() -> Self {
        if HAS_VECTORS { Self::Vectors } else { Self::Scalar }
    }

    /// The fastest level of this CPU, whose highest is this one.
    pub const fn fastest(self) -> Self {
        self
    }

    pub const fn shape(self) -> Shape {
        match self {
            Self::Scalar => Shape::of::<Scalar>(),
            Self::Vectors => Shape::of::<Vectors>(),
        }
    }

    /// # Safety
    /// None here: what the build promises needs no proof. On other architectures the CPU must have this level.
    #[inline]
    pub unsafe fn dispatch<O: Op>(self, op: O) -> O::Out {
        match self {
            // Without vectors the other arm is all there is, and the code is there once.
            Self::Scalar if HAS_VECTORS => Scalar.call(op),
            _ => TOKEN.call(op),
        }
    }

    pub const fn has_bf16_dot(self) -> bool {
        false
    }

    /// # Safety
    /// As [`Self::dispatch`].
    #[inline]
    pub unsafe fn dispatch_dot<O: DotOp>(self, op: O) -> Option<O::Out> {
        drop(op);
        None
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

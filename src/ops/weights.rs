//! The right-hand side of a linear layer: weights as files have them, or packed for a SIMD level.

use half::{bf16, f16};

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};
use crate::kernel::pack::{pack, packed_len};
use crate::scratch::{Arena, add, with_slack};
use crate::simd::Level;
use crate::view::{MatRef, Matrix};

/// Weights of a linear layer, `n x k`: a row holds the weights of one output ("out x in", as files have them).
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// As they are. Each product packs them on the fly: no memory, some time.
    Plain(Matrix<'a>),
    /// Packed once for a level.
    Packed(Packed<'a>),
}

impl Weights<'_> {
    /// Outputs: rows of the weights.
    pub fn n(&self) -> usize {
        match self {
            Self::Plain(matrix) => matrix.rows(),
            Self::Packed(packed) => packed.n,
        }
    }

    /// Inputs: columns of the weights.
    pub fn k(&self) -> usize {
        match self {
            Self::Plain(matrix) => matrix.cols(),
            Self::Packed(packed) => packed.k,
        }
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Plain(matrix) => matrix.dtype(),
            Self::Packed(packed) => packed.dtype(),
        }
    }
}

impl Default for Weights<'_> {
    /// The weights of a layer without outputs.
    fn default() -> Self {
        Self::Plain(Matrix::default())
    }
}

impl<'a> From<Matrix<'a>> for Weights<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self::Plain(matrix)
    }
}

impl<'a> From<MatRef<'a>> for Weights<'a> {
    fn from(matrix: MatRef<'a>) -> Self {
        Self::Plain(Matrix::F32(matrix))
    }
}

impl<'a> From<Packed<'a>> for Weights<'a> {
    fn from(packed: Packed<'a>) -> Self {
        Self::Packed(packed)
    }
}

/// Weights in the order in which the matmul of one SIMD level reads them, in their own element type.
///
/// They carry their shape, type and level; running them at another level is [`Error::Packed`].
///
/// ```
/// use selfattn::{Level, MatRef, Matrix, Packed};
///
/// let weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 3 outputs of 2 inputs
/// let weights = Matrix::F32(MatRef::new(&weights, 3, 2)?);
/// let mut memory = [0; 1024];
/// assert!(Packed::bytes(Level::SCALAR, &weights)? <= memory.len());
/// let packed = Packed::new(Level::SCALAR, &weights, &mut memory)?;
/// assert_eq!((packed.n(), packed.k()), (3, 2));
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    pub(crate) panels: Panels<'a>,
    level: Level,
    n: usize,
    k: usize,
}

/// The packed elements, of any storage type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Panels<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl<'a> Packed<'a> {
    /// Bytes of memory that [`Packed::new`] needs for these weights, whatever the memory's alignment.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the padded size does not fit in `usize`.
    pub fn bytes(level: Level, weights: &Matrix<'_>) -> Result<usize> {
        Self::add_bytes(level, weights, 0).map(with_slack)
    }

    /// `sum` bytes and those of these weights, before the slack for alignment.
    pub(crate) fn add_bytes(level: Level, weights: &Matrix<'_>, sum: usize) -> Result<usize> {
        let len = Self::len(level, weights)?;
        match weights.dtype() {
            Dtype::F32 => add::<f32>(sum, len),
            Dtype::F16 => add::<f16>(sum, len),
            Dtype::Bf16 => add::<bf16>(sum, len),
        }
    }

    fn len(level: Level, weights: &Matrix<'_>) -> Result<usize> {
        packed_len(weights.rows(), weights.cols(), level.tile().1).ok_or(Error::Overflow { arg: "weights" })
    }

    /// Packs `weights` (`n x k`) for `level` into `memory`.
    ///
    /// # Errors
    /// [`Error::Scratch`] if `memory` is smaller than [`Packed::bytes`] says, [`Error::Overflow`] as there.
    pub fn new(level: Level, weights: &Matrix<'_>, memory: &'a mut [u8]) -> Result<Self> {
        let (needed, got) = (Self::bytes(level, weights)?, memory.len());
        if got < needed {
            return Err(Error::Scratch { needed, got });
        }
        Self::within(level, weights, &mut Arena::new(memory))?.ok_or(Error::Scratch { needed, got })
    }

    /// Packs into the next part of an arena; `None` when it is used up.
    pub(crate) fn within(level: Level, weights: &Matrix<'_>, arena: &mut Arena<'a>) -> Result<Option<Self>> {
        let len = Self::len(level, weights)?;
        let panels = match weights {
            Matrix::F32(view) => packed(view, level, arena.take(len)).map(Panels::F32),
            Matrix::F16(view) => packed(view, level, arena.take(len)).map(Panels::F16),
            Matrix::Bf16(view) => packed(view, level, arena.take(len)).map(Panels::Bf16),
        };
        Ok(panels.map(|panels| Self { panels, level, n: weights.rows(), k: weights.cols() }))
    }

    /// Outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The level they are packed for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        match self.panels {
            Panels::F32(_) => Dtype::F32,
            Panels::F16(_) => Dtype::F16,
            Panels::Bf16(_) => Dtype::Bf16,
        }
    }
}

fn packed<'a, E: Element>(view: &MatRef<'_, E>, level: Level, out: Option<&'a mut [E]>) -> Option<&'a [E]> {
    let out = out?;
    pack(view, level.tile().1, out);
    Some(out)
}

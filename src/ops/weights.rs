//! The right-hand side of a linear layer: weights as files have them, or packed for a SIMD level.

use half::{bf16, f16};

use crate::element::{Dtype, Load};
use crate::error::{Error, Result};
use crate::kernel::matmul::{ByPacked, by_packed};
use crate::kernel::pack::pack;
use crate::kernel::panels::packed_len;
use crate::kernel::rhs::{Order, Packed as Panels, Plain};
use crate::scratch::{Arena, add, with_slack};
use crate::simd::Level;
use crate::view::{MatRef, Matrix};

/// Weights of a linear layer: `n` outputs of `k` inputs.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// As files have them. Each product packs them on the fly: some scratch, some time.
    Plain(Plain<'a>),
    /// Packed once for a level.
    Packed(Packed<'a>),
}

impl Weights<'_> {
    /// Outputs.
    pub fn n(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.n(),
            Self::Packed(packed) => packed.n,
        }
    }

    /// Inputs.
    pub fn k(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.k(),
            Self::Packed(packed) => packed.k,
        }
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Plain(plain) => plain.dtype(),
            Self::Packed(packed) => packed.dtype(),
        }
    }
}

impl Default for Weights<'_> {
    /// The weights of a layer without outputs.
    fn default() -> Self {
        Self::Plain(Plain::default())
    }
}

impl<'a> From<Plain<'a>> for Weights<'a> {
    fn from(plain: Plain<'a>) -> Self {
        Self::Plain(plain)
    }
}

impl<'a> From<Matrix<'a>> for Weights<'a> {
    /// In the order [`Order::OutIn`].
    fn from(matrix: Matrix<'a>) -> Self {
        Self::Plain(matrix.into())
    }
}

impl<'a> From<MatRef<'a>> for Weights<'a> {
    /// In the order [`Order::OutIn`].
    fn from(matrix: MatRef<'a>) -> Self {
        Matrix::F32(matrix).into()
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
/// assert!(Packed::bytes(Level::SCALAR, weights)? <= memory.len());
/// let packed = Packed::new(Level::SCALAR, weights, &mut memory)?;
/// assert_eq!((packed.n(), packed.k()), (3, 2));
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    pub(crate) panels: Panels<'a>,
    pub(crate) product: ByPacked,
    level: Level,
    n: usize,
    k: usize,
}

impl<'a> Packed<'a> {
    /// Bytes of memory that [`Packed::new`] needs for these weights, whatever the memory's alignment.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the padded size does not fit in `usize`.
    pub fn bytes<'w>(level: Level, weights: impl Into<Plain<'w>>) -> Result<usize> {
        Self::add_bytes(level, &weights.into(), 0).map(with_slack)
    }

    /// `sum` bytes and those of these weights, before the slack for alignment.
    pub(crate) fn add_bytes(level: Level, weights: &Plain<'_>, sum: usize) -> Result<usize> {
        Self::add_bytes_of(level, weights.dtype(), [weights.n(), weights.k()], sum)
    }

    /// As `add_bytes`, of weights of this form.
    pub(crate) fn add_bytes_of(level: Level, dtype: Dtype, form: [usize; 2], sum: usize) -> Result<usize> {
        match dtype {
            Dtype::F32 => add::<f32>(sum, len::<f32>(level, form)?),
            Dtype::F16 => add::<f16>(sum, len::<f16>(level, form)?),
            Dtype::Bf16 => add::<bf16>(sum, len::<bf16>(level, form)?),
        }
    }

    /// Packs `weights` for `level` into `memory`.
    ///
    /// # Errors
    /// [`Error::Scratch`] if `memory` is smaller than [`Packed::bytes`] says, [`Error::Overflow`] as there.
    pub fn new<'w>(level: Level, weights: impl Into<Plain<'w>>, memory: &'a mut [u8]) -> Result<Self> {
        let weights = weights.into();
        let (needed, got) = (Self::bytes(level, weights)?, memory.len());
        if got < needed {
            return Err(Error::Scratch { needed, got });
        }
        Self::within(level, &weights, &mut Arena::new(memory))?.ok_or(Error::Scratch { needed, got })
    }

    /// Packs into the next part of an arena; `None` when it is used up.
    pub(crate) fn within(level: Level, weights: &Plain<'_>, arena: &mut Arena<'a>) -> Result<Option<Self>> {
        let (order, form) = (weights.order(), [weights.n(), weights.k()]);
        let panels = match weights.matrix() {
            Matrix::F32(view) => packed(level, view, order, arena.take(len::<f32>(level, form)?)).map(Panels::F32),
            Matrix::F16(view) => packed(level, view, order, arena.take(len::<f16>(level, form)?)).map(Panels::F16),
            Matrix::Bf16(view) => packed(level, view, order, arena.take(len::<bf16>(level, form)?)).map(Panels::Bf16),
        };
        Ok(panels.map(|panels| Self { panels, product: by_packed, level, n: weights.n(), k: weights.k() }))
    }

    /// What [`Packed::new`] has made for `level`, from its parts; `None` if it would have made more or less.
    #[cfg(feature = "capi")]
    pub(crate) fn from_panels(level: Level, panels: Panels<'a>, [n, k]: [usize; 2]) -> Option<Self> {
        panels.fits(level, n, k).then_some(Self { panels, product: by_packed, level, n, k })
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
        self.panels.dtype()
    }
}

fn len<E: Load>(level: Level, [n, k]: [usize; 2]) -> Result<usize> {
    packed_len::<E>(level, n, k).ok_or(Error::Overflow { arg: "weights" })
}

fn packed<'a, E: Load>(level: Level, view: &MatRef<'_, E>, order: Order, out: Option<&'a mut [E]>) -> Option<&'a [E]> {
    let out = out?;
    pack(level, view, order, out);
    Some(out)
}

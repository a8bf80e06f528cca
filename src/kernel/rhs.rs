//! The right-hand side of a product: weights as files have them, in either order, or in panels.

use half::{bf16, f16};

use crate::element::Dtype;
use crate::kernel::matmul::ByPacked;
use crate::kernel::panels::packed_len;
use crate::simd::Level;
use crate::view::Matrix;

/// Which dimension of a weight matrix is the outputs'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// `n x k`: a row holds the weights of one output, as in most files (PyTorch's `Linear`).
    #[default]
    OutIn,
    /// `k x n`: a column holds the weights of one output (GPT-2's `Conv1D`, TensorFlow, ONNX's `MatMul`).
    InOut,
}

/// Weights of a linear layer as files have them: `n` outputs of `k` inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain<'a> {
    matrix: Matrix<'a>,
    order: Order,
}

impl<'a> Plain<'a> {
    /// Weights in the given order.
    pub fn new(matrix: Matrix<'a>, order: Order) -> Self {
        Self { matrix, order }
    }

    /// The matrix as it stands in memory.
    pub fn matrix(&self) -> &Matrix<'a> {
        &self.matrix
    }

    /// Which dimension is which.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Outputs.
    pub fn n(&self) -> usize {
        match self.order {
            Order::OutIn => self.matrix.rows(),
            Order::InOut => self.matrix.cols(),
        }
    }

    /// Inputs.
    pub fn k(&self) -> usize {
        match self.order {
            Order::OutIn => self.matrix.cols(),
            Order::InOut => self.matrix.rows(),
        }
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        self.matrix.dtype()
    }
}

impl<'a> From<Matrix<'a>> for Plain<'a> {
    /// In the order [`Order::OutIn`].
    fn from(matrix: Matrix<'a>) -> Self {
        Self::new(matrix, Order::OutIn)
    }
}

impl<'a> From<&Matrix<'a>> for Plain<'a> {
    /// In the order [`Order::OutIn`].
    fn from(matrix: &Matrix<'a>) -> Self {
        (*matrix).into()
    }
}

/// Elements in panels, of any storage type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packed<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl Packed<'_> {
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
        }
    }

    /// Whether this is as much as `k x n` weights take.
    pub fn fits(&self, level: Level, n: usize, k: usize) -> bool {
        match self {
            Self::F32(panels) => packed_len::<f32>(level, n, k) == Some(panels.len()),
            Self::F16(panels) => packed_len::<f16>(level, n, k) == Some(panels.len()),
            Self::Bf16(panels) => packed_len::<bf16>(level, n, k) == Some(panels.len()),
        }
    }
}

/// What stands right of A.
#[derive(Clone, Copy)]
pub(crate) enum Rhs<'a> {
    Plain(Plain<'a>),
    /// And the product by them.
    Packed(Packed<'a>, ByPacked),
}

impl Rhs<'_> {
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Plain(plain) => plain.dtype(),
            Self::Packed(packed, _) => packed.dtype(),
        }
    }
}

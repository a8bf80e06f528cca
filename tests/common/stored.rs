//! Matrices whose storage type is a value and not a parameter: for tests over all combinations of types.

use half::{bf16, f16};
use selfattn::{Dtype, Matrix, Order, Plain};

use super::data::{Rng, Values};
use super::memory::{AsMatrix, Strided};
use super::oracle::Mat;

pub const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// All pairs of types: the left side's, the right side's.
pub fn type_pairs() -> impl Iterator<Item = [Dtype; 2]> {
    DTYPES.into_iter().flat_map(|a| DTYPES.map(|b| [a, b]))
}

#[derive(Clone, Debug)]
pub enum Stored {
    F32(Strided),
    F16(Strided<f16>),
    Bf16(Strided<bf16>),
}

impl Stored {
    /// As [`Strided::new`].
    pub fn new(
        dtype: Dtype,
        [rows, cols]: [usize; 2],
        gap: usize,
        offset: usize,
        fill: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(Strided::new(rows, cols, gap, offset, fill)),
            Dtype::F16 => Self::F16(Strided::new(rows, cols, gap, offset, fill)),
            Dtype::Bf16 => Self::Bf16(Strided::new(rows, cols, gap, offset, fill)),
        }
    }

    /// Of values that the type can hold.
    pub fn random(dtype: Dtype, size: [usize; 2], gap: usize, offset: usize, values: Values, rng: &mut Rng) -> Self {
        Self::new(dtype, size, gap, offset, |_, _| match dtype {
            Dtype::F32 => values.sample(rng),
            Dtype::F16 => values.sample_as::<f16>(rng),
            Dtype::Bf16 => values.sample_as::<bf16>(rng),
        })
    }

    /// Values in [-1, 1), without gaps.
    pub fn unit(dtype: Dtype, size: [usize; 2], seed: u64) -> Self {
        Self::random(dtype, size, 0, 0, Values::Unit, &mut Rng::new(seed))
    }

    /// These numbers, rounded to the type.
    pub fn of(dtype: Dtype, mat: &Mat) -> Self {
        Self::new(dtype, [mat.rows, mat.cols], 0, 0, |i, j| mat[(i, j)] as f32)
    }

    pub fn matrix(&self) -> Matrix<'_> {
        match self {
            Self::F32(strided) => strided.matrix(),
            Self::F16(strided) => strided.matrix(),
            Self::Bf16(strided) => strided.matrix(),
        }
    }

    pub fn dtype(&self) -> Dtype {
        self.matrix().dtype()
    }

    /// The values, exactly.
    pub fn mat(&self) -> Mat {
        match self {
            Self::F32(strided) => strided.mat(),
            Self::F16(strided) => strided.mat(),
            Self::Bf16(strided) => strided.mat(),
        }
    }

    /// The same numbers in f32.
    pub fn widened(&self) -> Self {
        Self::of(Dtype::F32, &self.mat())
    }

    /// The transpose, of the same type.
    pub fn turned(&self, gap: usize, offset: usize) -> Self {
        let mat = self.mat();
        Self::new(self.dtype(), [mat.cols, mat.rows], gap, offset, |i, j| mat[(j, i)] as f32)
    }

    pub fn set(&mut self, i: usize, j: usize, x: f32) {
        match self {
            Self::F32(strided) => strided.set(i, j, x),
            Self::F16(strided) => strided.set(i, j, x),
            Self::Bf16(strided) => strided.set(i, j, x),
        }
    }
}

/// The same weights in both orders.
#[derive(Clone, Debug)]
pub struct BothOrders {
    out_in: Stored,
    in_out: Stored,
}

impl BothOrders {
    /// Of weights of `n` rows and `k` columns; with `gap` between the rows of the transpose.
    pub fn new(out_in: Stored, gap: usize, offset: usize) -> Self {
        Self { in_out: out_in.turned(gap, offset), out_in }
    }

    pub fn plain(&self, order: Order) -> Plain<'_> {
        let matrix = match order {
            Order::OutIn => self.out_in.matrix(),
            Order::InOut => self.in_out.matrix(),
        };
        Plain::new(matrix, order)
    }

    pub fn dtype(&self) -> Dtype {
        self.out_in.dtype()
    }

    /// A row for each output.
    pub fn mat(&self) -> Mat {
        self.out_in.mat()
    }
}

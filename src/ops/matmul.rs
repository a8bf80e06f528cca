//! Matrix times weights, with an epilogue.

use crate::element::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::gemv::gemv;
use crate::kernel::matmul::{Size, Types, matmul, memory_lens};
use crate::kernel::output::Epilogue;
use crate::kernel::rhs::{Plain, Rhs};
use crate::ops::same;
use crate::ops::weights::Weights;
use crate::profile::{Operation, Work};
use crate::scratch;
use crate::simd::Level;
use crate::view::{MatMut, Matrix};

impl Engine<'_> {
    /// Bytes of scratch that [`Engine::matmul`] needs for `m` rows of type `a` and these weights: for each thread at most
    /// 1.2 MB to widen f16 or bf16 rows and 1.6 MB to pack plain weights or to widen packed ones, less for small sizes; 0 for
    /// f32 by packed weights of f32.
    ///
    /// # Errors
    /// [`Error::Overflow`] if that does not fit in `usize`.
    pub fn matmul_scratch(&self, m: usize, a: Dtype, weights: &Weights<'_>) -> Result<usize> {
        scratch::bytes(self.memory_lens(m, a, weights)?)
    }

    fn memory_lens(&self, m: usize, a: Dtype, weights: &Weights<'_>) -> Result<[usize; 2]> {
        let size = Size { m, k: weights.k(), n: weights.n() };
        self.product_lens(size, weights.types(a))
    }

    /// The lengths of the buffers for a product of this form.
    pub(crate) fn product_lens(&self, size: Size, types: Types) -> Result<[usize; 2]> {
        let lens = scratch::for_threads(memory_lens(self.level(), size, types), self.threads());
        lens.ok_or(Error::Overflow { arg: "scratch" })
    }

    /// `out = act(a weights + bias) + residual`, accumulated in f32.
    ///
    /// `a` is `m x k`, `weights` have `n` outputs of `k` inputs, `out` is `m x n`; each of `a` and `weights` may be f32, f16 or
    /// bf16. The bits of an element depend on its row of `a`, its weights, the level and the storage types, and on nothing else:
    /// neither on the rows beside it nor on how the weights stand. For `k = 0` the product is 0.
    ///
    /// If both are bf16, the levels `avx512bf16` and `neonbf16` multiply them by the CPU's dot product of pairs, about twice as fast, and
    /// `amxbf16` by its tiles: subnormal numbers count as 0 there, and the last bits differ from those of other levels.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Packed`] weights packed for another level,
    /// [`Error::Scratch`] too little scratch.
    pub fn matmul<'a>(
        &self,
        a: impl Into<Matrix<'a>>,
        weights: &Weights<'_>,
        epilogue: &Epilogue<'_>,
        out: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let a = a.into();
        let (m, k, n) = (a.rows(), a.cols(), weights.n());
        same("weights", k, weights.k())?;
        same("out", m, out.rows())?;
        same("out", n, out.cols())?;
        check_epilogue(epilogue, m, n)?;
        self.check_packed(weights)?;
        let memory = scratch::split(scratch, self.memory_lens(m, a.dtype(), weights)?)?;
        let b = match weights {
            Weights::Plain(plain) => Rhs::Plain(*plain),
            Weights::Packed(packed) => Rhs::Packed(packed.panels, packed.product),
        };
        let span = self.span(|| product_of([m, k, n], a.dtype(), weights, epilogue));
        matmul(span.engine(), a, b, epilogue, out, memory);
        Ok(())
    }

    /// Weights packed for another level are refused.
    pub(crate) fn check_packed(&self, weights: &Weights<'_>) -> Result<()> {
        match weights {
            Weights::Packed(packed) if packed.level() != self.level() => Err(Error::Packed { arg: "weights" }),
            _ => Ok(()),
        }
    }

    /// `y = W x`, accumulated in f32: `weights` have `n` outputs of `k` inputs, `x` is `k` long, `y` is `n` long.
    ///
    /// Faster than [`Engine::matmul`] of one row by plain weights, which packs them. The bits of an element of `y` depend on
    /// `x`, its weights and their order, the level and the storage type.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit.
    pub fn gemv<'a>(&self, weights: impl Into<Plain<'a>>, x: &[f32], y: &mut [f32]) -> Result<()> {
        let weights = weights.into();
        same("x", weights.k(), x.len())?;
        same("y", weights.n(), y.len())?;
        let span = self.span(|| gemv_of(&weights));
        gemv(span.engine(), &weights, x, y);
        Ok(())
    }
}

fn product_of(shape: [usize; 3], a: Dtype, weights: &Weights<'_>, epilogue: &Epilogue<'_>) -> Work {
    let operation = match weights {
        Weights::Plain(_) => Operation::Matmul,
        Weights::Packed(_) => Operation::MatmulPacked,
    };
    let residual = epilogue.residual.map_or(0, |residual| residual.rows().saturating_mul(residual.cols()));
    let floats = epilogue.bias.map_or(0, <[f32]>::len).saturating_add(residual);
    Work::matmul(operation, shape, [a, weights.dtype()], floats)
}

fn gemv_of(weights: &Plain<'_>) -> Work {
    Work::matmul(Operation::Gemv, [1, weights.k(), weights.n()], [Dtype::F32, weights.dtype()], 0)
}

impl Weights<'_> {
    /// Of a product with rows of type `a`.
    pub(crate) fn types(&self, a: Dtype) -> Types {
        Types { a, b: self.dtype(), plain: matches!(self, Self::Plain(_)) }
    }

    /// [`Engine::matmul_scratch`] at compile time: of `m` rows of f32 by plain weights of `n` outputs and `k` inputs, on one
    /// thread. Packed weights of f32 need none. `usize::MAX` if it does not fit in `usize`: no array is as long.
    ///
    /// ```
    /// use selfattn::{Level, Weights};
    ///
    /// static SCRATCH: [u8; Weights::scratch_len(64, 64, 64, Level::SCALAR)] = [0; _];
    /// ```
    pub const fn scratch_len(m: usize, n: usize, k: usize, level: Level) -> usize {
        let types = Types { a: Dtype::F32, b: Dtype::F32, plain: true };
        scratch::len_or_max(match memory_lens(level, Size { m, k, n }, types) {
            Some(lens) => scratch::checked_bytes(lens),
            None => None,
        })
    }
}

fn check_epilogue(epilogue: &Epilogue<'_>, m: usize, n: usize) -> Result<()> {
    if let Some(bias) = epilogue.bias {
        same("bias", n, bias.len())?;
    }
    if let Some(residual) = &epilogue.residual {
        same("residual", m, residual.rows())?;
        same("residual", n, residual.cols())?;
    }
    Ok(())
}

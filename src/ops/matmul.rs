//! Matrix times weights, with an epilogue.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::gemv::Gemv;
use crate::kernel::matmul::{Epilogue, Rhs, matmul, panel_len};
use crate::ops::same;
use crate::ops::weights::{Panels, Weights};
use crate::scratch;
use crate::view::{MatMut, MatRef, Matrix, for_each_type};

impl Engine<'_> {
    /// Bytes of scratch that [`Engine::matmul`] needs with these weights: 0 for packed ones.
    ///
    /// # Errors
    /// [`Error::Overflow`] if that does not fit in `usize`.
    pub fn matmul_scratch(&self, weights: &Weights<'_>) -> Result<usize> {
        scratch::bytes([self.panels_len(weights)?])
    }

    /// Floats for the panels that plain weights are packed into, one a thread.
    fn panels_len(&self, weights: &Weights<'_>) -> Result<usize> {
        match weights {
            Weights::Packed(_) => Ok(0),
            Weights::Plain(_) => panel_len(weights.k(), self.level().tile().1)
                .and_then(|len| len.checked_mul(self.threads()))
                .ok_or(Error::Overflow { arg: "scratch" }),
        }
    }

    /// `out = act(a weights^T + bias) + residual`, accumulated in f32.
    ///
    /// `a` is `m x k`, `weights` `n x k` ("out x in"), `out` `m x n`. The bits of an element depend on its row of `a`, its row
    /// of `weights`, the level and the storage type, and on nothing else. For `k = 0` the product is 0.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Packed`] weights packed for another level,
    /// [`Error::Scratch`] too little scratch.
    pub fn matmul(
        &self,
        a: MatRef<'_>,
        weights: &Weights<'_>,
        epilogue: &Epilogue<'_>,
        out: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let (m, k, n) = (a.rows(), a.cols(), weights.n());
        same("weights", k, weights.k())?;
        same("out", m, out.rows())?;
        same("out", n, out.cols())?;
        check_epilogue(epilogue, m, n)?;
        self.check_packed(weights)?;
        let [memory] = scratch::split(scratch, [self.panels_len(weights)?])?;
        match weights {
            Weights::Plain(matrix) => {
                for_each_type!(matrix, view => matmul(self, a, Rhs::Plain(*view), epilogue, out, memory));
            }
            Weights::Packed(packed) => match packed.panels {
                Panels::F32(panels) => matmul(self, a, Rhs::Packed(panels), epilogue, out, memory),
                Panels::F16(panels) => matmul(self, a, Rhs::Packed(panels), epilogue, out, memory),
                Panels::Bf16(panels) => matmul(self, a, Rhs::Packed(panels), epilogue, out, memory),
            },
        }
        Ok(())
    }

    /// Weights packed for another level are refused.
    pub(crate) fn check_packed(&self, weights: &Weights<'_>) -> Result<()> {
        match weights {
            Weights::Packed(packed) if packed.level() != self.level() => Err(Error::Packed { arg: "weights" }),
            _ => Ok(()),
        }
    }

    /// `y = W x`, accumulated in f32: `weights` is `n x k`, `x` is `k` long, `y` is `n` long.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit.
    pub fn gemv(&self, weights: &Matrix<'_>, x: &[f32], y: &mut [f32]) -> Result<()> {
        same("x", weights.cols(), x.len())?;
        same("y", weights.rows(), y.len())?;
        for_each_type!(weights, w => self.level().dispatch(Gemv { w: *w, x, y }));
        Ok(())
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

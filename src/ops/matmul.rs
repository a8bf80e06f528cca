//! Matrix times weights, with an epilogue.

use crate::element::Load;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::gemv::Gemv;
use crate::kernel::matmul::{KC, Matmul, Output, Panels, Size, Source};
use crate::kernel::{Activation, Shared, Strided};
use crate::ops::same;
use crate::ops::weights::{self, Weights};
use crate::scratch;
use crate::view::{MatMut, MatRef, Matrix, for_each_type};

/// Panels a task takes at least: less work than this costs more to hand out than to do.
const GRAIN: usize = 2;

/// What is done to a product before it is stored: `out = act(A B^T + bias) + residual`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to every row; `n` long.
    pub bias: Option<&'a [f32]>,
    /// Applied to every element.
    pub activation: Activation,
    /// Added last; as large as the output.
    pub residual: Option<MatRef<'a>>,
}

impl Engine<'_> {
    /// Bytes of scratch that [`Engine::matmul`] needs with these weights: 0 for packed ones.
    ///
    /// # Errors
    /// [`Error::Overflow`] if that does not fit in `usize`.
    pub fn matmul_scratch(&self, weights: &Weights<'_>) -> Result<usize> {
        scratch::bytes([self.panels_len(weights)?])
    }

    /// Floats for the panels that plain weights are packed into, one a task.
    fn panels_len(&self, weights: &Weights<'_>) -> Result<usize> {
        match weights {
            Weights::Packed(_) => Ok(0),
            Weights::Plain(_) => self
                .panel_len(weights)
                .and_then(|len| len.checked_mul(self.threads()))
                .ok_or(Error::Overflow { arg: "scratch" }),
        }
    }

    fn panel_len(&self, weights: &Weights<'_>) -> Option<usize> {
        weights.k().min(KC).checked_mul(self.level().tile().1)
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
        epilogue.check(m, n)?;
        self.check_packed(weights)?;
        let [panels] = scratch::split(scratch, [self.panels_len(weights)?])?;
        if m == 0 || n == 0 {
            return Ok(());
        }
        let size = Size { m, k, n };
        let (a, c) = (Strided::from_rows(&a), epilogue.output(out));
        match weights {
            Weights::Packed(packed) => match packed.panels {
                weights::Panels::F32(p) => self.run(Matmul { size, a, b: Source::Packed(p.as_ptr()), c }, panels),
                weights::Panels::F16(p) => self.run(Matmul { size, a, b: Source::Packed(p.as_ptr()), c }, panels),
                weights::Panels::Bf16(p) => self.run(Matmul { size, a, b: Source::Packed(p.as_ptr()), c }, panels),
            },
            Weights::Plain(matrix) => for_each_type!(matrix, view => {
                let b = Source::Plain { ptr: view.as_ptr(), stride: view.stride(), panel: core::ptr::null_mut() };
                self.run(Matmul { size, a, b, c }, panels)
            }),
        }
        Ok(())
    }

    pub(crate) fn check_packed(&self, weights: &Weights<'_>) -> Result<()> {
        match weights {
            Weights::Packed(packed) if packed.level() != self.level() => Err(Error::Packed { arg: "weights" }),
            _ => Ok(()),
        }
    }

    /// Runs the product, panels split among threads; each packs plain weights into its own part of `panels`.
    fn run<E: Load>(&self, product: Matmul<E>, panels: &mut [f32]) {
        let width = self.level().tile().1;
        let panel_len = product.size.k.min(KC) * width;
        // SAFETY (of sharing): tasks take disjoint panels, so disjoint columns of C, and their own part of `panels`.
        let shared = Shared((product, panels.as_mut_ptr()));
        self.split(product.size.n.div_ceil(width), GRAIN, |task, panels| {
            let (mut product, buffers) = shared.get();
            if let Source::Plain { panel, .. } = &mut product.b {
                *panel = buffers.wrapping_add(task * panel_len);
            }
            self.level().dispatch(Panels { product, panels });
        });
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

impl Epilogue<'_> {
    fn check(&self, m: usize, n: usize) -> Result<()> {
        if let Some(bias) = self.bias {
            same("bias", n, bias.len())?;
        }
        if let Some(residual) = &self.residual {
            same("residual", m, residual.rows())?;
            same("residual", n, residual.cols())?;
        }
        Ok(())
    }

    fn output(&self, mut out: MatMut<'_>) -> Output {
        Output {
            ptr: Shared(out.as_mut_ptr()),
            stride: out.stride(),
            bias: self.bias.map_or(core::ptr::null(), <[f32]>::as_ptr),
            activation: self.activation,
            residual: self.residual.map_or(core::ptr::null(), |view| view.as_ptr()),
            residual_stride: self.residual.map_or(0, |view| view.stride()),
        }
    }
}

//! Operations on the rows of a matrix: softmax, layer norm, activations, gather, mean pooling, normalisation.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::Activation;
use crate::kernel::gemv::gemv;
use crate::kernel::map::{Activate, Scale, Widen};
use crate::kernel::norm::{Affine, Normalize, layer_norm};
use crate::kernel::softmax::softmax;
use crate::ops::{covers, same};
use crate::profile::Work;
use crate::view::{MatMut, MatRef, Matrix};

/// Rows that have elements. A matrix without columns takes no memory, so it may have more rows than could ever be counted.
fn rows_of(x: &MatMut<'_>) -> core::ops::Range<usize> {
    if x.cols() == 0 { 0..0 } else { 0..x.rows() }
}

impl Engine<'_> {
    /// Softmax of every row, in place.
    ///
    /// -inf has the weight 0; a row of nothing but -inf becomes zeros; a NaN or +inf makes its whole row NaN.
    pub fn softmax(&self, x: MatMut<'_>) {
        let span = self.span(|| Work::softmax([x.rows(), x.cols()]));
        softmax(span.engine(), x);
    }

    /// `out = (x - mean) / sqrt(variance + eps) * weight + bias` for every row; `weight` and `bias` are as long as a row.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Value`] an `eps` that is not positive and finite.
    pub fn layer_norm(&self, x: MatRef<'_>, weight: &[f32], bias: &[f32], eps: f32, out: MatMut<'_>) -> Result<()> {
        same("weight", x.cols(), weight.len())?;
        same("bias", x.cols(), bias.len())?;
        same("out", x.rows(), out.rows())?;
        same("out", x.cols(), out.cols())?;
        if !(eps > 0.0 && eps.is_finite()) {
            return Err(Error::Value { arg: "eps" });
        }
        let span = self.span(|| Work::layer_norm([x.rows(), x.cols()]));
        layer_norm(span.engine(), x, Affine { weight, bias, eps }, out);
        Ok(())
    }

    /// Applies an activation to every element.
    pub fn activate(&self, activation: Activation, mut x: MatMut<'_>) {
        let span = self.span(|| Work::activate([x.rows(), x.cols()]));
        for i in rows_of(&x) {
            span.engine().level().dispatch(Activate { activation, row: x.row_mut(i) });
        }
    }

    /// Table look-up: row `i` of `out` is row `ids[i]` of `table`, widened to f32.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Token`] an id that is not in the table.
    pub fn gather(&self, table: &Matrix<'_>, ids: &[u32], mut out: MatMut<'_>) -> Result<()> {
        same("out", ids.len(), out.rows())?;
        same("out", table.cols(), out.cols())?;
        check_ids(ids, table.rows())?;
        let span = self.span(|| Work::gather([ids.len(), table.cols()], table.dtype()));
        for (i, &id) in ids.iter().enumerate() {
            span.engine().put_row(table, id as usize, false, out.row_mut(i));
        }
        Ok(())
    }

    /// Writes a row of a table to `out`, which is as long, or adds it.
    pub(crate) fn put_row(&self, table: &Matrix<'_>, i: usize, add: bool, out: &mut [f32]) {
        self.level().dispatch(Widen { matrix: table, row: i, from: 0, add, out });
    }

    /// The mean of each sequence: `x` is `sum(lengths) x d`, sequences end to end; `out` is `lengths.len() x d`. The mean of
    /// no rows is 0.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit.
    pub fn mean_pool(&self, x: MatRef<'_>, lengths: &[usize], mut out: MatMut<'_>) -> Result<()> {
        covers("lengths", lengths, x.rows())?;
        same("out", lengths.len(), out.rows())?;
        same("out", x.cols(), out.cols())?;
        if x.cols() == 0 {
            return Ok(());
        }
        let span = self.span(|| Work::mean_pool([x.rows(), x.cols(), lengths.len()]));
        let (matrix, mut rows) = (Matrix::F32(x), 0..x.rows());
        for (i, &len) in lengths.iter().enumerate() {
            let mean = out.row_mut(i);
            mean.fill(0.0);
            for row in rows.by_ref().take(len) {
                let row = Widen { matrix: &matrix, row, from: 0, add: true, out: mean };
                span.engine().level().dispatch(row);
            }
            span.engine().level().dispatch(Scale { factor: 1.0 / len.max(1) as f32, row: mean });
        }
        Ok(())
    }

    /// Scales every row to the Euclidean norm 1; a row of zeros stays.
    pub fn normalize(&self, mut x: MatMut<'_>) {
        let _span = self.span(|| Work::normalize([x.rows(), x.cols()]));
        for i in rows_of(&x) {
            let row = x.row_mut(i);
            if self.level().is_small() {
                self.level().dispatch(Normalize { row });
                continue;
            }
            let norm = libm::sqrt(dot_f64(row, row));
            if norm != 0.0 {
                let factor = 1.0 / norm;
                row.iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
            }
        }
    }

    /// The dot product of two vectors.
    ///
    /// # Errors
    /// [`Error::Shape`] if their lengths differ.
    pub fn dot(&self, a: &[f32], b: &[f32]) -> Result<f32> {
        same("b", a.len(), b.len())?;
        let mut out = [0.0];
        gemv(self, &Matrix::F32(MatRef::from_row(a)).into(), b, &mut out);
        Ok(out[0])
    }
}

/// The dot product where its range matters more than its speed: the square of every f32 is an f64 that is not 0 or infinite.
pub(crate) fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// All ids are below `vocab`.
pub(crate) fn check_ids(ids: &[u32], vocab: usize) -> Result<()> {
    let Some(index) = ids.iter().position(|&id| id as usize >= vocab) else { return Ok(()) };
    Err(Error::Token { index, id: ids.get(index).copied().unwrap_or_default(), vocab })
}

//! Partial results put together.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ops::same;
use crate::profile::Work;
use crate::view::{MatMut, MatRef};

impl Engine<'_> {
    /// Makes of two results over different keys the one over all of them, in place: `out` is `n_q x (heads * value_dim)`, `lse` is
    /// `n_q x heads`, and so are those of the other, all from [`Engine::attention_lse`]. A sink must be in one of them only.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit.
    pub fn merge_attention(
        &self,
        mut out: MatMut<'_>,
        mut lse: MatMut<'_>,
        other_out: MatRef<'_>,
        other_lse: MatRef<'_>,
    ) -> Result<()> {
        let (rows, heads) = (out.rows(), lse.cols());
        same("lse", rows, lse.rows())?;
        for (arg, other, [rows, cols]) in
            [("other_out", &other_out, [rows, out.cols()]), ("other_lse", &other_lse, [rows, heads])]
        {
            same(arg, rows, other.rows())?;
            same(arg, cols, other.cols())?;
        }
        let value_dim = out.cols().checked_div(heads).unwrap_or(0);
        if out.cols().checked_rem(heads).unwrap_or(out.cols()) != 0 {
            return Err(Error::Shape { arg: "lse", expected: out.cols(), got: heads });
        }
        let _span = self.span(|| Work::merge_attention([rows, out.cols(), heads]));
        for i in 0..rows {
            let sums = lse.row_mut(i).iter_mut().zip(other_lse.row(i));
            let values =
                out.row_mut(i).chunks_exact_mut(value_dim.max(1)).zip(other_out.row(i).chunks_exact(value_dim.max(1)));
            for ((sum, &other_sum), (value, other_value)) in sums.zip(values) {
                let [share, other_share, total] = shares(*sum, other_sum);
                *sum = total;
                for (x, &other) in value.iter_mut().zip(other_value) {
                    *x = weighted(share, *x) + weighted(other_share, other);
                }
            }
        }
        Ok(())
    }
}

/// What each of two sums, given by their logarithms, contributes to both together, and the logarithm of that.
fn shares(a: f32, b: f32) -> [f32; 3] {
    // The order matters: a NaN on either side stays.
    let max = if a >= b {
        a
    } else if b > a {
        b
    } else {
        a + b
    };
    if max == f32::NEG_INFINITY {
        return [0.0, 0.0, max];
    }
    let [a, b] = [a, b].map(|x| libm::expf(x - max));
    [a / (a + b), b / (a + b), max + libm::logf(a + b)]
}

/// What has no share does not count, whatever it is.
fn weighted(share: f32, x: f32) -> f32 {
    if share == 0.0 { 0.0 } else { share * x }
}

//! Matrix times vector, `y = W x`, with the rows of W as files have them: every output is a dot product of two contiguous rows.
//!
//! Bound by the memory that W streams from, so rows are taken a few at a time: each register of `x` serves all of them.

use crate::element::Load;
use crate::kernel::each;
use crate::kernel::map::{load, registers};
use crate::simd::{Op, Simd};
use crate::view::MatRef;

/// Rows side by side.
const ROWS: usize = 4;

/// `y[i] = sum_j w[i][j] x[j]`; `x` is as long as W has columns, `y` as W has rows.
pub(crate) struct Gemv<'a, E> {
    pub w: MatRef<'a, E>,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

impl<E: Load> Op for Gemv<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.w.cols().min(self.x.len());
        let mut chunks = self.y.chunks_exact_mut(ROWS);
        let mut i = 0;
        for y in &mut chunks {
            y.copy_from_slice(&dots::<S, E, ROWS>(s, &self.w, i, &self.x[..k]));
            i += ROWS;
        }
        for y in chunks.into_remainder() {
            [*y] = dots::<S, E, 1>(s, &self.w, i, &self.x[..k]);
            i += 1;
        }
    }
}

/// The dot products of `x` with `R` rows from row `i`.
#[inline(always)]
fn dots<S: Simd, E: Load, const R: usize>(s: S, w: &MatRef<'_, E>, i: usize, x: &[f32]) -> [f32; R] {
    let rows: [&[E]; R] = each!(&w.row(i)[..x.len()]; R, r => &w.row(i + r)[..x.len()]);
    let mut sums = [s.splat(0.0); R];
    for (at, n) in registers::<S>(x.len()) {
        // SAFETY: `at + n` is at most the length of `x` and of each row.
        unsafe {
            let x = load(s, x.as_ptr().add(at), n);
            for (sum, row) in sums.iter_mut().zip(&rows) {
                *sum = s.fma(load(s, row.as_ptr().add(at), n), x, *sum);
            }
        }
    }
    each!(0.0; R, r => s.reduce_add(sums[r]))
}

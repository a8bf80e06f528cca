//! Matrix times vector with weights as files have them, bound by the memory that they stream from.
//!
//! With a row for each output, every output is a dot product of two contiguous rows. A few rows side by side share each
//! register of `x`, and are streams from memory that keep it busy when one of them comes to a page's end.
//! With a column for each output, rows of the weights are added to the result, each times its element of `x`.

use crate::element::{Dtype, Load};
use crate::engine::Engine;
use crate::kernel::ahead::{BEFORE, BEFORE_HALVES, FAR, LINE};
use crate::kernel::map::{load, registers, store};
use crate::kernel::pack::strided;
use crate::kernel::rhs::{Order, Plain};
use crate::kernel::tile::FEW_TILES;
use crate::kernel::{Shared, Strided, each};
use crate::simd::{Op, Simd};
use crate::view::for_each_type;

/// Outputs that a task computes at least.
const GRAIN: usize = 256;
/// Sums of each row, one register each: they are added at the end.
const SUMS: usize = 2;
/// Rows side by side.
const ROWS: usize = 4;
/// Rows side by side where conversions take longer than reading from a cache.
const MORE_ROWS: usize = 8;
/// Bytes of halves from which on they are no slower where they are asked for.
const FAR_HALVES: usize = 1 << 20;
/// Rows of the weights that are added to the result at a time.
const TERMS: usize = 8;

/// `y[i] = sum_j w[i][j] x[j]`, outputs split among the engine's threads; `x` and `y` are as long as the weights have inputs
/// and outputs. Arguments that do not fit each other are a mistake of the caller in this crate: nothing is done.
pub(crate) fn gemv(engine: &Engine<'_>, weights: &Plain<'_>, x: &[f32], y: &mut [f32]) {
    let fits = (weights.n(), weights.k()) == (y.len(), x.len());
    debug_assert!(fits, "ops check the sizes");
    if !fits {
        return;
    }
    let shared = Shared(y.as_mut_ptr());
    engine.split(weights.n(), GRAIN, |_, part| {
        let y = shared.get().wrapping_add(part.start);
        for_each_type!(weights.matrix(), view => {
            // The outputs of this part are no other task's.
            let w = strided(view, weights.order()).at(part.start, 0);
            engine.level().dispatch(Gemv { w, order: weights.order(), x, y, outputs: part.len() });
        });
    });
}

/// Some outputs. `w` is readable over `outputs x x.len()`, one of its strides being 1, and `y` writable over the outputs.
struct Gemv<'a, E> {
    w: Strided<E>,
    /// Chooses the order of summation. The strides cannot: both of a single column may be 1.
    order: Order,
    x: &'a [f32],
    y: *mut f32,
    outputs: usize,
}

impl<E: Load> Op for Gemv<'_, E> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let bytes = self.outputs.saturating_mul(self.x.len()).saturating_mul(size_of::<E>());
        // SAFETY: see the type.
        unsafe {
            if self.order == Order::InOut {
                self.columns(s);
                return;
            }
            match E::DTYPE {
                Dtype::F32 if S::SMALL || bytes < FAR => self.dots::<S, ROWS, 0>(s),
                Dtype::F32 => self.dots::<S, ROWS, BEFORE>(s),
                _ if FEW_TILES || bytes >= FAR_HALVES => self.dots::<S, ROWS, BEFORE_HALVES>(s),
                // Their sums have to fit the registers, of which a tile has as many rows.
                _ if S::MR >= MORE_ROWS => self.dots::<S, MORE_ROWS, 0>(s),
                _ => self.dots::<S, ROWS, 0>(s),
            }
        }
    }
}

impl<E: Load> Gemv<'_, E> {
    /// Dot products with `R` rows at a time. Where something is asked for, `AHEAD` bytes before it is needed, each of them is the
    /// next one of a part of all rows: as long a stream as there can be.
    #[inline(always)]
    unsafe fn dots<S: Simd, const R: usize, const AHEAD: usize>(&self, s: S) {
        let groups = self.outputs / R;
        let [by, apart] = if AHEAD > 0 { [1, groups] } else { [R, 1] };
        for i in 0..groups {
            // SAFETY: the rows exist.
            unsafe { self.rows::<S, R, AHEAD>(s, i * by, apart) }
        }
        for i in groups * R..self.outputs {
            // SAFETY: row `i` exists.
            unsafe { self.rows::<S, 1, AHEAD>(s, i, 0) }
        }
    }

    /// The dot products of `x` with `R` rows from row `i` on, so many rows apart. Their bits depend on none of these.
    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize, const AHEAD: usize>(&self, s: S, i: usize, apart: usize) {
        let k = self.x.len();
        let rows: [*const E; R] = each!(self.w.ptr; R, r => self.w.at(i + r * apart, 0).ptr);
        let mut sums = [[s.splat(0.0); SUMS]; R];
        let whole = k - k % (SUMS * S::LANES);
        // SAFETY: `at + n` is at most the length of `x` and of each row; so is the end of each group.
        unsafe {
            for at in (0..whole).step_by(SUMS * S::LANES) {
                if AHEAD > 0 {
                    for row in &rows {
                        for line in (0..SUMS * S::LANES * size_of::<E>()).step_by(LINE) {
                            s.prefetch::<AHEAD>(row.add(at).cast::<u8>().add(line));
                        }
                    }
                }
                for j in 0..SUMS {
                    let x = s.load(self.x.as_ptr().add(at + j * S::LANES));
                    for (sum, row) in sums.iter_mut().zip(&rows) {
                        sum[j] = s.fma(E::load(s, row.add(at + j * S::LANES)), x, sum[j]);
                    }
                }
            }
            for (at, n) in registers::<S>(k - whole) {
                let x = load(s, self.x.as_ptr().add(whole + at), n);
                for (sum, row) in sums.iter_mut().zip(&rows) {
                    sum[0] = s.fma(load(s, row.add(whole + at), n), x, sum[0]);
                }
            }
            for (r, [first, second]) in sums.into_iter().enumerate() {
                self.y.add(i + r * apart).write(s.reduce_add(s.add(first, second)));
            }
        }
    }

    /// The sum of the rows of the weights, each times its element of `x`.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, s: S) {
        let k = self.x.len();
        for (at, n) in registers::<S>(self.outputs) {
            // SAFETY: `at + n` is at most the number of outputs, here and below.
            unsafe { store(s, self.y.add(at), n, s.splat(0.0)) }
        }
        let whole = k - k % TERMS;
        for p in (0..whole).step_by(TERMS) {
            // SAFETY: TERMS rows of the weights are left, or one.
            unsafe { self.terms::<S, TERMS>(s, p) }
        }
        for p in whole..k {
            // SAFETY: as above.
            unsafe { self.terms::<S, 1>(s, p) }
        }
    }

    #[inline(always)]
    unsafe fn terms<S: Simd, const T: usize>(&self, s: S, p: usize) {
        let rows: [*const E; T] = each!(self.w.ptr; T, t => self.w.at(0, p + t).ptr);
        // SAFETY: `x` has as many elements as the weights have rows.
        let x = each!(s.splat(0.0); T, t => s.splat(unsafe { *self.x.as_ptr().add(p + t) }));
        for (at, n) in registers::<S>(self.outputs) {
            // SAFETY: `at + n` is at most the number of outputs, which is the length of each row.
            unsafe {
                let mut sum = load(s, self.y.cast_const().add(at), n);
                for (row, x) in rows.iter().zip(x) {
                    sum = s.fma(load(s, row.add(at), n), x, sum);
                }
                store(s, self.y.add(at), n, sum);
            }
        }
    }
}

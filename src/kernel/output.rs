//! Where a product goes, and what is done to it on the way: `out = act(A B + bias) + residual`.

use crate::kernel::tile::{Accumulators, for_each_row};
use crate::kernel::{Activation, map};
use crate::simd::Simd;
use crate::view::{MatMut, MatRef};

/// Floats of a cache line.
const LINE: usize = 16;

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

impl Epilogue<'_> {
    pub(crate) fn fits(&self, m: usize, n: usize) -> bool {
        self.bias.is_none_or(|bias| bias.len() == n)
            && self.residual.is_none_or(|residual| (residual.rows(), residual.cols()) == (m, n))
    }
}

/// Where the result goes, and what is done to it on the way. Null stands for an absent bias or residual.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    ptr: *mut f32,
    stride: usize,
    bias: *const f32,
    activation: Activation,
    residual: *const f32,
    residual_stride: usize,
}

impl Output {
    pub fn new(epilogue: &Epilogue<'_>, out: &mut MatMut<'_>) -> Self {
        Self {
            stride: out.stride(),
            ptr: out.as_mut_ptr(),
            bias: epilogue.bias.map_or(core::ptr::null(), <[f32]>::as_ptr),
            activation: epilogue.activation,
            residual: epilogue.residual.map_or(core::ptr::null(), |view| view.as_ptr()),
            residual_stride: epilogue.residual.map_or(0, |view| view.stride()),
        }
    }

    /// Rows `stride` apart, with nothing done to them.
    pub const fn plain(ptr: *mut f32, stride: usize) -> Self {
        let (bias, residual) = (core::ptr::null(), core::ptr::null());
        Self { ptr, stride, bias, activation: Activation::None, residual, residual_stride: 0 }
    }

    /// The output from row `i` and column `j` on.
    #[inline(always)]
    pub fn at(&self, i: usize, j: usize) -> Self {
        let offset = |p: *const f32, by: usize| if p.is_null() { p } else { p.wrapping_add(by) };
        Self {
            ptr: self.ptr.wrapping_add(i * self.stride + j),
            bias: offset(self.bias, j),
            residual: offset(self.residual, i * self.residual_stride + j),
            ..*self
        }
    }

    /// Where the rows are, and floats from one to the next.
    pub const fn rows(&self) -> (*mut f32, usize) {
        (self.ptr, self.stride)
    }

    /// Brings what a tile will be added to nearer.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&self, s: S, rows: usize, columns: usize) {
        for i in 0..rows {
            for at in (0..columns).step_by(LINE) {
                // Wrapping: rows that do not exist may be asked for.
                s.prefetch::<0>(
                    self.ptr.wrapping_add(i.wrapping_mul(self.stride).wrapping_add(at)).cast_const().cast(),
                );
            }
        }
    }

    /// What a tile starts from: zeros, or what earlier steps left here.
    #[inline(always)]
    pub unsafe fn start<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        columns: usize,
        add: bool,
    ) -> Accumulators<S, MR, NV> {
        let mut acc = [[s.splat(0.0); NV]; MR];
        if add {
            for_each_row!(S, acc, i, row => {
                let c = self.ptr.wrapping_add(i * self.stride).cast_const();
                for (j, x) in row.iter_mut().enumerate() {
                    // SAFETY: row i of the output has `columns` columns from here.
                    *x = unsafe { map::load(s, c.wrapping_add(j * S::LANES), in_register::<S, NV>(j, columns)) };
                }
            });
        }
        acc
    }

    /// Writes the first `columns` columns of a tile.
    #[inline(always)]
    pub unsafe fn put<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        mut acc: Accumulators<S, MR, NV>,
        columns: usize,
    ) {
        for_each_row!(S, acc, i, row => {
            let c = self.ptr.wrapping_add(i * self.stride);
            for (j, &mut x) in row.iter_mut().enumerate() {
                // SAFETY: row i of the output has `columns` columns from here.
                unsafe { map::store(s, c.wrapping_add(j * S::LANES), in_register::<S, NV>(j, columns), x) };
            }
        });
    }

    /// Whether the sums are the result.
    pub fn is_finished(&self) -> bool {
        self.activation == Activation::None && self.bias.is_null() && self.residual.is_null()
    }

    /// The epilogue over `rows x columns`, once all of `k` is summed.
    #[inline(always)]
    pub unsafe fn finish<S: Simd>(&self, s: S, rows: usize, columns: usize) {
        if S::SMALL {
            // SAFETY: the same contract.
            return unsafe { self.finish_with(s, rows, columns, self.activation) };
        }
        // The activation is chosen here and not for every register.
        // SAFETY: the same contract, in all arms.
        unsafe {
            match self.activation {
                Activation::None => self.finish_with(s, rows, columns, Activation::None),
                Activation::Gelu => self.finish_with(s, rows, columns, Activation::Gelu),
                Activation::GeluTanh => self.finish_with(s, rows, columns, Activation::GeluTanh),
                Activation::Relu => self.finish_with(s, rows, columns, Activation::Relu),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish_with<S: Simd>(&self, s: S, rows: usize, columns: usize, activation: Activation) {
        for i in 0..rows {
            let c = self.ptr.wrapping_add(i * self.stride);
            let residual = self.residual.wrapping_add(i * self.residual_stride);
            for (at, count) in map::registers::<S>(columns) {
                // SAFETY: row i of C and of the residual and the bias have `columns` columns from here.
                unsafe {
                    let mut x = map::load(s, c.cast_const().add(at), count);
                    if !self.bias.is_null() {
                        x = s.add(x, map::load(s, self.bias.add(at), count));
                    }
                    x = activation.apply(s, x);
                    if !self.residual.is_null() {
                        x = s.add(x, map::load(s, residual.add(at), count));
                    }
                    map::store(s, c.add(at), count, x);
                }
            }
        }
    }
}

/// Columns in register `j` of a panel that has `columns` of them: only the last can be short, since a panel is no wider than
/// its columns need.
#[inline(always)]
fn in_register<S: Simd, const NV: usize>(j: usize, columns: usize) -> usize {
    if j + 1 == NV { columns.saturating_sub(j * S::LANES).min(S::LANES) } else { S::LANES }
}

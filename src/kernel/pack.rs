//! Weights in the order the tile reads them: panels of some registers' width, each `k` lines long, zeros past the last
//! column.

use core::mem::MaybeUninit;

use half::bf16;

use crate::element::{Dtype, Element, Load};
use crate::engine::div_rem;
use crate::kernel::Strided;
use crate::kernel::map::{load, registers};
use crate::kernel::panels::{Panels, interleaved, lines};
use crate::kernel::rhs::Order;
use crate::simd::{Bf16Dot, DotOp, Level, MAX_LANES, Op, Simd};
use crate::view::MatRef;

/// Room for `LANES x LANES` floats of any level.
pub(crate) type Block = [f32; MAX_LANES * MAX_LANES];

/// Lines packed at a time: few enough that the lines of the source stay in the first-level cache while `width` rows of it are
/// read side by side.
const BLOCK: usize = 16;

/// `k x n` weights whose element `(i, p)`, of output `i` and input `p`, is where `strided` has it.
pub(crate) fn strided<E: Copy>(view: &MatRef<'_, E>, order: Order) -> Strided<E> {
    match order {
        Order::OutIn => Strided::from_rows(view),
        Order::InOut => Strided::from_rows(view).transposed(),
    }
}

/// Packs whole weights of `n` outputs and `k` inputs, in their own element type.
///
/// `out` is as long as [`packed_len`](super::panels::packed_len) says; what it held is overwritten whole.
pub(crate) fn pack<E: Element>(level: Level, weights: &MatRef<'_, E>, order: Order, out: &mut [E]) {
    let (n, k) = match order {
        Order::OutIn => (weights.rows(), weights.cols()),
        Order::InOut => (weights.cols(), weights.rows()),
    };
    let at = |i: usize, p: usize| match order {
        Order::OutIn => weights.row(i).get(p),
        Order::InOut => weights.row(p).get(i),
    };
    let Some(lines) = lines::<E>(level, k) else { return };
    // Outputs without inputs may be as many as a number can say.
    if lines == 0 {
        return;
    }
    let interleaved = interleaved::<E>(level);
    let panels = Panels::new(level, n);
    for j in 0..panels.count() {
        let columns = panels.columns(j);
        let width = columns.len();
        let Some(panel) = out.get_mut(columns.start * lines..columns.end * lines) else { return };
        for start in (0..lines).step_by(BLOCK) {
            for i in 0..width {
                for p in start..lines.min(start + BLOCK) {
                    let (group, of_group) = div_rem(p, interleaved);
                    if let Some(to) = panel.get_mut((group * width + i) * interleaved + of_group) {
                        *to = at(columns.start + i, p).copied().unwrap_or(E::ZERO);
                    }
                }
            }
        }
    }
}

/// Packs some lines of one panel of plain weights on the way into the tile, widened to f32.
pub(crate) struct PackPanel<E> {
    /// The panel's first element.
    pub src: Strided<E>,
    /// Columns that exist, at most `width`.
    pub columns: usize,
    pub lines: usize,
    pub width: usize,
    /// `src` is readable over `columns x lines`, one of its strides being 1; `dst` is writable over `lines * width`, `width`
    /// a multiple of `LANES`.
    pub dst: *mut f32,
}

impl<E: Load> Op for PackPanel<E> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: see `dst`.
        unsafe {
            if S::SMALL {
                self.one_by_one(s);
            } else if self.src.col == 1 {
                self.transpose(s);
            } else {
                self.copy(s);
            }
        }
    }
}

impl<E: Load> PackPanel<E> {
    /// Element by element, in either order.
    #[inline(always)]
    unsafe fn one_by_one<S: Simd>(&self, s: S) {
        for i in 0..self.width {
            for p in 0..self.lines {
                // SAFETY: only elements that exist are read; the panel has `lines` lines of `width`.
                unsafe {
                    let x = if i < self.columns { (*self.src.at(i, p).ptr).widen(s) } else { 0.0 };
                    self.dst.add(p * self.width + i).write(x);
                }
            }
        }
    }

    /// Rows of the source are columns of the panel.
    #[inline(always)]
    unsafe fn transpose<S: Simd>(&self, s: S) {
        for i in (0..self.width).step_by(S::LANES) {
            let rows = self.columns.saturating_sub(i).min(S::LANES);
            for p in (0..self.lines).step_by(S::LANES) {
                let lines = (self.lines - p).min(S::LANES);
                // SAFETY: the block lies within the extents above.
                unsafe {
                    let dst = self.dst.add(p * self.width + i);
                    transpose_block(s, self.src.at(i, p).ptr, self.src.row, [rows, lines], dst, self.width);
                }
            }
        }
    }

    /// Lines of the source are lines of the panel.
    #[inline(always)]
    unsafe fn copy<S: Simd>(&self, s: S) {
        for p in 0..self.lines {
            let (src, dst) = (self.src.at(0, p).ptr, self.dst.wrapping_add(p * self.width));
            for (at, _) in registers::<S>(self.width) {
                let count = self.columns.saturating_sub(at).min(S::LANES);
                // SAFETY: the line has `columns` elements in the source and `width` in the panel.
                unsafe { s.store(dst.add(at), load(s, src.wrapping_add(at), count)) }
            }
        }
    }
}

/// Packs some steps of one panel of plain weights as they are, in pairs.
#[allow(dead_code, reason = "not every architecture has a level with it")]
pub(crate) struct PackPairs {
    /// The panel's first element; the step is even.
    pub src: Strided<bf16>,
    /// Columns that exist, at most `width`.
    pub columns: usize,
    pub steps: usize,
    pub width: usize,
    /// `src` is readable over `columns x steps`, one of its strides being 1; `dst` is writable over the steps, rounded up to
    /// pairs, times `width`, a multiple of `LANES`.
    pub dst: *mut bf16,
}

impl DotOp for PackPairs {
    type Out = ();
    #[inline(always)]
    fn run<S: Bf16Dot>(self, s: S) {
        // SAFETY: see `dst`.
        unsafe {
            let done = if self.src.col == 1 { self.transpose(s) } else { self.zip(s) };
            self.copy(done);
        }
    }
}

#[allow(dead_code, reason = "not every architecture has a level with it")]
impl PackPairs {
    /// Whole blocks of pairs, turned as 32-bit words; how many steps that makes. Columns past the last are zeros.
    #[inline(always)]
    unsafe fn transpose<S: Bf16Dot>(&self, s: S) -> usize {
        let steps = self.steps - self.steps % (2 * S::LANES);
        let mut block = [0.0_f32; MAX_LANES * MAX_LANES];
        for i in (0..self.width).step_by(S::LANES) {
            let rows = self.columns.saturating_sub(i).min(S::LANES);
            block[rows * S::LANES..].fill(0.0);
            for p in (0..steps).step_by(2 * S::LANES) {
                // SAFETY: `rows` rows have `2 * LANES` steps from `p` on, and the panel has lines for them.
                unsafe {
                    for row in 0..rows {
                        let src = self.src.at(i + row, p);
                        s.store(block.as_mut_ptr().add(row * S::LANES), s.load_pairs(src.ptr));
                    }
                    let dst = self.dst.add(p * self.width + 2 * i).cast();
                    s.transpose(block.as_ptr(), S::LANES, dst, self.width);
                }
            }
        }
        steps
    }

    /// Whole pairs of steps, where the source has a line for each; how many steps that makes.
    #[inline(always)]
    unsafe fn zip<S: Bf16Dot>(&self, s: S) -> usize {
        let steps = self.steps - self.steps % 2;
        let whole = self.columns - self.columns % S::LANES;
        for p in (0..steps).step_by(2) {
            let dst = self.dst.wrapping_add(p * self.width);
            for i in (0..whole).step_by(S::LANES) {
                // SAFETY: both lines have `columns` elements, and the panel `width` pairs.
                unsafe {
                    let pairs = s.load_zipped(self.src.at(i, p).ptr, self.src.at(i, p + 1).ptr);
                    s.store(dst.add(2 * i).cast(), pairs);
                }
            }
            // SAFETY: as above.
            unsafe { self.pairs(p, whole) }
        }
        steps
    }

    /// Steps from an even one on, pair by pair.
    #[inline(always)]
    unsafe fn copy(&self, from: usize) {
        for p in (from..self.steps).step_by(2) {
            // SAFETY: the same contract.
            unsafe { self.pairs(p, 0) }
        }
    }

    /// The pairs of two steps, from column `from` on.
    #[inline(always)]
    unsafe fn pairs(&self, p: usize, from: usize) {
        for i in from..self.width {
            // SAFETY: only elements that exist are read; the panel has lines for whole pairs.
            unsafe {
                let at =
                    |p: usize| if i < self.columns && p < self.steps { *self.src.at(i, p).ptr } else { bf16::ZERO };
                let dst = self.dst.add(p * self.width + 2 * i);
                dst.write(at(p));
                dst.add(1).write(at(p + 1));
            }
        }
    }
}

/// `dst[j][i] = src[i][j]` for a block of at most `LANES x LANES` (`size`: rows, columns of `src`), widened to f32. Lines of
/// `dst` are written whole, `LANES` wide, with zeros where `src` has no row.
///
/// # Safety
/// `src` is readable over `size`, `dst` writable over `size[1]` lines of `LANES`, at the given strides.
#[inline(always)]
pub(crate) unsafe fn transpose_block<S: Simd, E: Load>(
    s: S,
    src: *const E,
    src_stride: usize,
    size: [usize; 2],
    dst: *mut f32,
    dst_stride: usize,
) {
    let [rows, cols] = size;
    // SAFETY: `block` has room for LANES rows of LANES; `src` and `dst` are touched only over `size`.
    unsafe {
        if E::DTYPE == Dtype::F32 && size == [S::LANES; 2] {
            return s.transpose(src.cast(), src_stride, dst, dst_stride);
        }
        // Not cleared first: of these 1 KiB, a narrow level uses 64 bytes.
        let mut block = MaybeUninit::<Block>::uninit();
        let block = block.as_mut_ptr().cast::<f32>();
        if size == [S::LANES; 2] {
            // The usual case: with constant bounds, the block of a narrow level stays in the registers.
            for i in 0..S::LANES {
                s.store(block.add(i * S::LANES), E::load(s, src.add(i * src_stride)));
            }
            return s.transpose(block, S::LANES, dst, dst_stride);
        }
        for i in 0..rows {
            s.store(block.add(i * S::LANES), load(s, src.add(i * src_stride), cols));
        }
        for i in rows..S::LANES {
            s.store(block.add(i * S::LANES), s.splat(0.0));
        }
        if cols == S::LANES {
            return s.transpose(block, S::LANES, dst, dst_stride);
        }
        let mut turned = MaybeUninit::<Block>::uninit();
        let turned = turned.as_mut_ptr().cast::<f32>();
        s.transpose(block, S::LANES, turned, S::LANES);
        for j in 0..cols {
            s.store(dst.add(j * dst_stride), s.load(turned.add(j * S::LANES)));
        }
    }
}

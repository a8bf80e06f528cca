//! Weights in the order the tile reads them: panels as wide as the tile, each `k` lines long, zeros past the last column.
//!
//! Weights come as files have them, `n` rows of `k` ("out x in"), so packing is a transposition of blocks.

use crate::element::{Element, Load};
use crate::simd::Simd;
use crate::view::MatRef;

/// The widest register of any level, in floats; the side of the blocks that are transposed.
pub(crate) const MAX_LANES: usize = 16;

/// Lines packed at a time: few enough that the lines of the source stay in the first-level cache while `width` rows of it are
/// read side by side.
const BLOCK: usize = 16;

/// Packs whole weights, in their own element type: panel `j` holds rows `j * width..` of `weights`, transposed.
///
/// `out` is as long as [`packed_len`] says; what it held is overwritten whole.
pub(crate) fn pack<E: Element>(weights: &MatRef<'_, E>, width: usize, out: &mut [E]) {
    let k = weights.cols();
    for (j, panel) in out.chunks_exact_mut((k * width).max(1)).enumerate() {
        for start in (0..k).step_by(BLOCK) {
            let lines = start..k.min(start + BLOCK);
            for i in 0..width {
                let row = weights.row(j * width + i);
                for p in lines.clone() {
                    panel[p * width + i] = row.get(p).copied().unwrap_or(E::ZERO);
                }
            }
        }
    }
}

/// Elements of `n x k` weights packed in panels of `width`; `None` on overflow.
pub(crate) fn packed_len(n: usize, k: usize, width: usize) -> Option<usize> {
    n.checked_next_multiple_of(width)?.checked_mul(k)
}

/// Packs one panel of plain weights on the way into the tile, widened to f32: `lines` lines of `width` from `rows` rows.
pub(crate) struct Panel<E> {
    /// The first element: row `j * width`, column `start` of the weights.
    pub src: *const E,
    pub stride: usize,
    /// Rows that exist, at most `width`.
    pub rows: usize,
    pub lines: usize,
    pub width: usize,
    pub dst: *mut f32,
}

impl<E: Load> Panel<E> {
    /// # Safety
    /// `src` is readable over `rows x lines`, `dst` writable over `lines * width`; `width` is a multiple of `LANES`.
    #[inline(always)]
    pub unsafe fn pack<S: Simd>(&self, s: S) {
        for i in (0..self.width).step_by(S::LANES) {
            let rows = self.rows.saturating_sub(i).min(S::LANES);
            for p in (0..self.lines).step_by(S::LANES) {
                let lines = (self.lines - p).min(S::LANES);
                // SAFETY: the block lies within the extents above.
                unsafe {
                    // Wrapping: past the last row nothing is read, and the stride of a single row may be anything.
                    let src = self.src.wrapping_add(i.wrapping_mul(self.stride).wrapping_add(p));
                    transpose_block(s, src, self.stride, [rows, lines], self.dst.add(p * self.width + i), self.width);
                }
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
    let mut block = [0.0_f32; MAX_LANES * MAX_LANES];
    let block = block.as_mut_ptr();
    // SAFETY: `block` has room for LANES rows of LANES; `src` and `dst` are touched only over `size`.
    unsafe {
        for i in 0..rows {
            let x = E::load_first(s, src.add(i * src_stride), cols);
            s.store(block.add(i * S::LANES), x);
        }
        if cols == S::LANES {
            return s.transpose(block, S::LANES, dst, dst_stride);
        }
        let mut turned = [0.0_f32; MAX_LANES * MAX_LANES];
        s.transpose(block, S::LANES, turned.as_mut_ptr(), S::LANES);
        for j in 0..cols {
            s.store(dst.add(j * dst_stride), s.load(turned.as_ptr().add(j * S::LANES)));
        }
    }
}

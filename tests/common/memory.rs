//! Memory as the library meets it: strided matrices with guarded gaps, bytes at any alignment.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use half::{bf16, f16};
use selfattn::{Element, MatMut, MatRef, Matrix};

use super::oracle::Mat;

/// What stands between rows and after the end: a NaN, so that reading it shows, of odd bits, so that writing it shows.
const GUARD: u32 = 0x7FC5_A5A5;
/// Guard elements after the last row.
const AFTER: usize = 19;

/// Guarded bytes behind [`Bytes`]: more than a partial result of attention takes.
const BEHIND: usize = 4096;

/// As many numbers are still readable in a failure's message.
const FEW: usize = 16;

/// A matrix in memory with `gap` guard elements between rows, `offset` before the first and some after the last.
#[derive(Clone)]
pub struct Strided<E = f32> {
    data: Vec<E>,
    offset: usize,
    pub rows: usize,
    pub cols: usize,
    stride: usize,
}

/// The shape, and the numbers of a small one.
impl<E: Element> fmt::Debug for Strided<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} (rows {} apart)", self.rows, self.cols, self.stride)?;
        if self.rows * self.cols <= FEW { write!(f, " {:?}", Mat::<f64>::of(&self.view()).data) } else { Ok(()) }
    }
}

impl<E: Element> Strided<E> {
    /// Element (i, j) is `fill(i, j)`, called row by row.
    pub fn new(rows: usize, cols: usize, gap: usize, offset: usize, mut fill: impl FnMut(usize, usize) -> f32) -> Self {
        let stride = cols + gap;
        let mut data = vec![E::from_f32(f32::from_bits(GUARD)); offset + rows * stride + AFTER];
        for i in 0..rows {
            for j in 0..cols {
                data[offset + i * stride + j] = E::from_f32(fill(i, j));
            }
        }
        Self { data, offset, rows, cols, stride }
    }

    /// Without gaps.
    pub fn dense(rows: usize, cols: usize, fill: impl FnMut(usize, usize) -> f32) -> Self {
        Self::new(rows, cols, 0, 0, fill)
    }

    fn span(&self) -> Range<usize> {
        let len = if self.rows == 0 { 0 } else { (self.rows - 1) * self.stride + self.cols };
        self.offset..self.offset + len
    }

    pub fn view(&self) -> MatRef<'_, E> {
        MatRef::with_stride(&self.data[self.span()], self.rows, self.cols, self.stride).unwrap()
    }

    pub fn view_mut(&mut self) -> MatMut<'_, E> {
        let span = self.span();
        MatMut::with_stride(&mut self.data[span], self.rows, self.cols, self.stride).unwrap()
    }

    /// The values, exactly.
    pub fn mat(&self) -> Mat {
        Mat::of(&self.view())
    }

    pub fn set(&mut self, i: usize, j: usize, x: f32) {
        self.view_mut().row_mut(i)[j] = E::from_f32(x);
    }
}

impl Strided {
    /// A result yet to be written: NaN everywhere.
    pub fn unwritten(rows: usize, cols: usize, gap: usize, offset: usize) -> Self {
        Self::new(rows, cols, gap, offset, |_, _| f32::from_bits(GUARD))
    }

    /// The bits of row `i`.
    pub fn row_bits(&self, i: usize) -> Vec<u32> {
        super::bits(self.view().row(i))
    }

    /// The bits of the elements, gaps left out.
    pub fn bits(&self) -> Vec<u32> {
        self.view().iter_rows().flat_map(super::bits).collect()
    }

    /// Fails if anything before, between or after the rows was written.
    #[track_caller]
    pub fn assert_guards(&self) {
        let row = |i: usize| self.offset + i * self.stride;
        let mut from = 0;
        for next in (0..self.rows).map(row).chain([self.data.len()]) {
            let untouched = self.data[from..next].iter().all(|x| x.to_bits() == GUARD);
            assert!(
                untouched,
                "written outside of the matrix, between {from} and {next} of {self:?}, offset {}",
                self.offset
            );
            from = next + self.cols;
        }
    }

    /// Fails if anything was written at all, to a matrix that is [`unwritten`](Self::unwritten).
    #[track_caller]
    pub fn assert_unwritten(&self) {
        assert!(self.data.iter().all(|x| x.to_bits() == GUARD), "written by a call that failed: {self:?}");
    }
}

/// Wraps a view into the [`Matrix`] of its element type.
pub trait AsMatrix {
    fn matrix(&self) -> Matrix<'_>;
}

macro_rules! as_matrix {
    ($($type:ty => $variant:ident),*) => {$(
        impl AsMatrix for Strided<$type> {
            fn matrix(&self) -> Matrix<'_> {
                Matrix::$variant(self.view())
            }
        }
    )*};
}
as_matrix!(f32 => F32, f16 => F16, bf16 => Bf16);

/// Bytes that start a given distance after a 64-byte boundary, all 0xFF: four of them are a NaN. When they go, those around them
/// must still be so.
pub struct Bytes {
    memory: Vec<u8>,
    range: Range<usize>,
}

impl Bytes {
    pub fn new(len: usize, misalignment: usize) -> Self {
        let memory = vec![0xFF_u8; len + misalignment + 64 + BEHIND];
        let start = memory.as_ptr().align_offset(64) + misalignment;
        Self { memory, range: start..start + len }
    }

    /// A copy of `bytes`, aligned.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut copy = Self::new(bytes.len(), 0);
        copy.copy_from_slice(bytes);
        copy
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let Range { start, end } = self.range;
        let mut around = self.memory[..start].iter().chain(&self.memory[end..]);
        assert!(
            std::thread::panicking() || around.all(|&byte| byte == 0xFF),
            "written outside of {} bytes",
            end - start
        );
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.range.clone()]
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.range.clone()]
    }
}

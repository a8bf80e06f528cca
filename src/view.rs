//! Matrices as views over slices: rows, columns and a row stride, checked once when the view is made.

use core::ops::Range;

use half::{bf16, f16};

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};

/// Elements that `rows` rows of `cols` elements occupy at the given row stride, the last row without its gap.
pub(crate) fn span(arg: &'static str, rows: usize, cols: usize, stride: usize) -> Result<usize> {
    let Some(last) = rows.checked_sub(1) else { return Ok(0) };
    last.checked_mul(stride).and_then(|start| start.checked_add(cols)).ok_or(Error::Overflow { arg })
}

/// `len` indices from `start` on. Where the end does not fit in `usize` it is before the start, and `get` and all else that
/// checks a range refuse it.
pub(crate) const fn range(start: usize, len: usize) -> Range<usize> {
    start..start.wrapping_add(len)
}

/// Where row `i` of a view starts. `check` has seen that the last row's end fits; only the place behind it, which no row is read
/// from, may wrap, and only where elements have no size.
const fn start_of(i: usize, stride: usize) -> usize {
    i.wrapping_mul(stride)
}

fn check(arg: &'static str, len: usize, rows: usize, cols: usize, stride: usize) -> Result<()> {
    if stride < cols {
        return Err(Error::Shape { arg, expected: cols, got: stride });
    }
    let expected = span(arg, rows, cols, stride)?;
    if len < expected {
        return Err(Error::Shape { arg, expected, got: len });
    }
    Ok(())
}

/// A read-only row-major matrix of `rows x cols` elements whose rows start `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, E = f32> {
    data: &'a [E],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a, E> MatRef<'a, E> {
    /// A view of the first `rows * cols` elements of `data`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` is shorter, [`Error::Overflow`] if the product overflows.
    pub fn new(data: &'a [E], rows: usize, cols: usize) -> Result<Self> {
        Self::with_stride(data, rows, cols, cols)
    }

    /// A view whose rows start `stride` elements apart; the gap after the last row need not exist.
    ///
    /// # Errors
    /// [`Error::Shape`] if `stride < cols` or `data` is shorter than `(rows - 1) * stride + cols`, [`Error::Overflow`] if
    /// that overflows.
    pub fn with_stride(data: &'a [E], rows: usize, cols: usize, stride: usize) -> Result<Self> {
        check("data", data.len(), rows, cols, stride)?;
        Ok(Self { data, rows, cols, stride })
    }

    /// A vector as a matrix of one row.
    pub fn from_row(row: &'a [E]) -> Self {
        Self { data: row, rows: 1, cols: row.len(), stride: row.len() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Distance between the starts of two rows, in elements.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `i`; empty if there is no such row.
    pub fn row(&self, i: usize) -> &'a [E] {
        if i >= self.rows {
            return &[];
        }
        self.data.get(range(start_of(i, self.stride), self.cols)).unwrap_or_default()
    }

    /// The rows in order.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &'a [E]> + use<'a, E> {
        let view = Self { data: self.data, ..*self };
        (0..self.rows).map(move |i| view.row(i))
    }

    /// The given rows, as a view.
    ///
    /// # Errors
    /// [`Error::Shape`] if the range is reversed or goes past the last row.
    pub fn rows_range(&self, range: Range<usize>) -> Result<Self> {
        let rows = within("rows", &range, self.rows)?;
        let data = self.data.get(start_of(range.start, self.stride)..).unwrap_or_default();
        Ok(Self { data, rows, ..*self })
    }

    /// The given columns, as a view with the same stride.
    ///
    /// # Errors
    /// [`Error::Shape`] if the range is reversed or goes past the last column.
    pub fn cols_range(&self, range: Range<usize>) -> Result<Self> {
        let cols = within("cols", &range, self.cols)?;
        let data = self.data.get(range.start..).unwrap_or_default();
        Ok(Self { data, cols, ..*self })
    }

    pub(crate) fn as_ptr(&self) -> *const E {
        self.data.as_ptr()
    }
}

/// A writable row-major matrix of `rows x cols` elements whose rows start `stride` elements apart.
#[derive(Debug)]
pub struct MatMut<'a, E = f32> {
    data: &'a mut [E],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a, E> MatMut<'a, E> {
    /// A view of the first `rows * cols` elements of `data`.
    ///
    /// # Errors
    /// As [`MatRef::new`].
    pub fn new(data: &'a mut [E], rows: usize, cols: usize) -> Result<Self> {
        Self::with_stride(data, rows, cols, cols)
    }

    /// A view whose rows start `stride` elements apart; what lies between the rows is never written.
    ///
    /// # Errors
    /// As [`MatRef::with_stride`].
    pub fn with_stride(data: &'a mut [E], rows: usize, cols: usize, stride: usize) -> Result<Self> {
        check("data", data.len(), rows, cols, stride)?;
        Ok(Self { data, rows, cols, stride })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Distance between the starts of two rows, in elements.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `i`; empty if there is no such row.
    pub fn row_mut(&mut self, i: usize) -> &mut [E] {
        if i >= self.rows {
            return &mut [];
        }
        self.data.get_mut(range(start_of(i, self.stride), self.cols)).unwrap_or_default()
    }

    /// The same matrix, for reading.
    pub fn as_ref(&self) -> MatRef<'_, E> {
        MatRef { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The same matrix, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_, E> {
        MatMut { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The given rows, as a view.
    ///
    /// # Errors
    /// As [`MatRef::rows_range`].
    pub fn rows_range(self, range: Range<usize>) -> Result<Self> {
        let rows = within("rows", &range, self.rows)?;
        let data = self.data.get_mut(start_of(range.start, self.stride)..).unwrap_or_default();
        Ok(Self { data, rows, ..self })
    }

    /// The given columns, as a view with the same stride.
    ///
    /// # Errors
    /// As [`MatRef::cols_range`].
    pub fn cols_range(self, range: Range<usize>) -> Result<Self> {
        let cols = within("cols", &range, self.cols)?;
        let data = self.data.get_mut(range.start..).unwrap_or_default();
        Ok(Self { data, cols, ..self })
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut E {
        self.data.as_mut_ptr()
    }
}

pub(crate) fn within(arg: &'static str, range: &Range<usize>, len: usize) -> Result<usize> {
    match range.end.checked_sub(range.start) {
        Some(count) if range.end <= len => Ok(count),
        _ => Err(Error::Shape { arg, expected: len, got: range.end }),
    }
}

/// A read-only matrix of any storage type, as weight files have them. A vector is a matrix of one row.
#[derive(Clone, Copy, Debug)]
pub enum Matrix<'a> {
    /// Single precision.
    F32(MatRef<'a, f32>),
    /// Half precision.
    F16(MatRef<'a, f16>),
    /// bfloat16.
    Bf16(MatRef<'a, bf16>),
}

/// Runs the same expression on the view inside a [`Matrix`], whatever its element type.
macro_rules! for_each_type {
    ($matrix:expr, $view:ident => $body:expr) => {
        match $matrix {
            $crate::view::Matrix::F32($view) => $body,
            $crate::view::Matrix::F16($view) => $body,
            $crate::view::Matrix::Bf16($view) => $body,
        }
    };
}
pub(crate) use for_each_type;

impl<'a> Matrix<'a> {
    /// Some rows and columns; `None` if there are not as many.
    pub(crate) fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Option<Self> {
        for_each_type!(self, view => Some(view.rows_range(rows).ok()?.cols_range(cols).ok()?.into()))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        for_each_type!(self, view => view.rows())
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        for_each_type!(self, view => view.cols())
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
        }
    }

    /// Widens row `i` into `out`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no such row, or `out` is not as long as a row.
    pub fn read_row(&self, i: usize, out: &mut [f32]) -> Result<()> {
        if i >= self.rows() {
            return Err(Error::Shape { arg: "row", expected: self.rows(), got: i });
        }
        if out.len() != self.cols() {
            return Err(Error::Shape { arg: "out", expected: self.cols(), got: out.len() });
        }
        for_each_type!(self, view => {
            for (out, x) in out.iter_mut().zip(view.row(i)) {
                *out = x.to_f32();
            }
        });
        Ok(())
    }
}

impl<'a> From<MatRef<'a, f32>> for Matrix<'a> {
    fn from(view: MatRef<'a, f32>) -> Self {
        Self::F32(view)
    }
}

impl<'a> From<MatRef<'a, f16>> for Matrix<'a> {
    fn from(view: MatRef<'a, f16>) -> Self {
        Self::F16(view)
    }
}

impl<'a> From<MatRef<'a, bf16>> for Matrix<'a> {
    fn from(view: MatRef<'a, bf16>) -> Self {
        Self::Bf16(view)
    }
}

impl Default for Matrix<'_> {
    /// The matrix without rows.
    fn default() -> Self {
        Self::F32(MatRef { data: &[], rows: 0, cols: 0, stride: 0 })
    }
}

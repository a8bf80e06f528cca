//! The algorithms, each written once over [`Simd`](crate::simd::Simd). No instruction set is named here.
//!
//! A kernel is entered with pointers whose extents its caller in `ops` has checked; what it rests on stands in its
//! `# Safety` section.

pub(crate) mod ahead;
pub(crate) mod attention;
pub(crate) mod block;
pub(crate) mod gemv;
pub(crate) mod map;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod output;
pub(crate) mod pack;
pub(crate) mod panels;
pub(crate) mod rhs;
pub(crate) mod roof;
pub(crate) mod softmax;
pub(crate) mod tile;
pub(crate) mod tiles;

pub(crate) use crate::simd::each;

/// An element-wise function applied to the result of a linear layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `x * Phi(x)`, Phi the normal distribution function, by erf (Hendrycks & Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// The approximation of the same paper by tanh: `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
}

/// A read-only matrix as a kernel sees it: element `(i, j)` is at `ptr + i * row + j * col`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<E = f32> {
    pub ptr: *const E,
    pub row: usize,
    pub col: usize,
}

impl<E: Copy> Strided<E> {
    pub fn from_rows(view: &crate::view::MatRef<'_, E>) -> Self {
        Self { ptr: view.as_ptr(), row: view.stride(), col: 1 }
    }

    pub fn transposed(self) -> Self {
        Self { ptr: self.ptr, row: self.col, col: self.row }
    }

    /// The matrix without its first `i` rows and `j` columns. The pointer may be formed anywhere; reading is what needs care.
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        // Wrapping: where nothing is read, the stride may be anything.
        let offset = i.wrapping_mul(self.row).wrapping_add(j.wrapping_mul(self.col));
        Self { ptr: self.ptr.wrapping_add(offset), ..self }
    }
}

/// A pointer that tasks on several threads write through, each to its own rows or columns.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub T);

impl<T: Copy> Shared<T> {
    /// The content. A method, so that a closure captures the wrapper and not the pointer inside.
    #[inline(always)]
    pub fn get(&self) -> T {
        self.0
    }
}

// SAFETY: the holder promises that tasks write to disjoint places; see the `SAFETY` line where one is made.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

//! What the heads of one sequence compute: where their operands are, and the options of attention.

use core::ops::Range;

use half::{bf16, f16};

use super::logits::Options;
use super::place::Limits;
use super::queries::Queries;
use crate::engine::div_rem;
use crate::kernel::Strided;
use crate::kernel::ahead::Soon;
use crate::view::Matrix;

/// Dimensions that all heads share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Heads of the queries.
    pub count: usize,
    /// Heads of the keys and values, of which `count` is a multiple.
    pub kv: usize,
    /// Dimensions of a query and a key.
    pub d: usize,
    /// Dimensions of a value.
    pub dv: usize,
    /// The factor of the logits.
    pub scale: f32,
}

impl Heads {
    /// Query heads to one head of keys and values.
    pub fn group(&self) -> usize {
        self.count / self.kv.max(1)
    }
}

/// What is done to logits besides scaling, in this order; `None` where nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms<'a> {
    /// `cap * tanh(logit / cap)`
    pub softcap: Option<f32>,
    pub bias: Option<Table<'a, f32>>,
    /// A slope a head.
    pub alibi: Option<&'a [f32]>,
    /// 0 hides.
    pub mask: Option<Table<'a, u8>>,
    /// A logit a head, of a key without value.
    pub sinks: Option<&'a [f32]>,
    /// What does all of this but the sinks, and hides keys by their place.
    pub options: Option<Options>,
}

impl Terms<'_> {
    /// Whether they change the logits of keys that all queries see.
    #[inline(always)]
    pub fn change_all(&self) -> bool {
        self.softcap.is_some() || self.bias.is_some() || self.alibi.is_some() || self.mask.is_some()
    }
}

/// One number for each sequence, head, query and key, at strides that may be 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a, E> {
    pub data: &'a [E],
    /// Of sequence, head, query, key.
    pub strides: [usize; 4],
}

impl<E> Table<'_, E> {
    /// Elements needed for so many of each; `None` if that overflows. Nothing of a kind needs nothing.
    pub fn extent(strides: [usize; 4], counts: [usize; 4]) -> Option<usize> {
        if counts.contains(&0) {
            return Some(0);
        }
        let last = strides.iter().zip(counts).try_fold(0_usize, |sum, (stride, count)| {
            stride.checked_mul(count - 1).and_then(|last| sum.checked_add(last))
        });
        last.and_then(|last| last.checked_add(1))
    }

    /// The length of the data, and the strides.
    pub fn shape(self) -> (usize, [usize; 4]) {
        (self.data.len(), self.strides)
    }

    /// Where the elements of head `head` of a sequence start, and the strides of heads, queries and keys.
    fn of(&self, sequence: usize, head: usize) -> Slab<E> {
        let [by_sequence, by_head, by_query, by_key] = self.strides;
        // Wrapping: where nothing is read, the strides may be anything.
        let start = sequence.wrapping_mul(by_sequence).wrapping_add(head.wrapping_mul(by_head));
        Slab { ptr: self.data.as_ptr().wrapping_add(start), head: by_head, query: by_query, key: by_key }
    }
}

/// A [`Table`] from some head of some sequence on.
#[derive(Clone, Copy)]
pub(crate) struct Slab<E> {
    pub ptr: *const E,
    pub head: usize,
    pub query: usize,
    pub key: usize,
}

impl<E> Slab<E> {
    /// Without the first `heads` heads.
    pub fn skip_heads(self, heads: usize) -> Self {
        Self { ptr: self.at(heads, 0, 0), ..self }
    }

    #[inline(always)]
    pub fn at(&self, head: usize, query: usize, key: usize) -> *const E {
        let offset = head.wrapping_mul(self.head).wrapping_add(query.wrapping_mul(self.query));
        self.ptr.wrapping_add(offset.wrapping_add(key.wrapping_mul(self.key)))
    }
}

/// Rows of any storage type; columns are contiguous.
#[derive(Clone, Copy)]
pub(crate) enum Operand {
    F32(Strided<f32>),
    F16(Strided<f16>),
    Bf16(Strided<bf16>),
}

/// Evaluates `$body` with `$rows` bound to the typed rows of an operand.
macro_rules! for_each_operand {
    ($operand:expr, $rows:ident => $body:expr) => {
        match $operand {
            $crate::kernel::attention::head::Operand::F32($rows) => $body,
            $crate::kernel::attention::head::Operand::F16($rows) => $body,
            $crate::kernel::attention::head::Operand::Bf16($rows) => $body,
        }
    };
}
pub(crate) use for_each_operand;

impl Operand {
    pub fn of(matrix: &Matrix<'_>) -> Self {
        match matrix {
            Matrix::F32(view) => Self::F32(Strided::from_rows(view)),
            Matrix::F16(view) => Self::F16(Strided::from_rows(view)),
            Matrix::Bf16(view) => Self::Bf16(Strided::from_rows(view)),
        }
    }

    /// Without the first `i` rows and `j` columns.
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        match self {
            Self::F32(rows) => Self::F32(rows.at(i, j)),
            Self::F16(rows) => Self::F16(rows.at(i, j)),
            Self::Bf16(rows) => Self::Bf16(rows.at(i, j)),
        }
    }

    /// To ask for so many rows and columns.
    pub fn soon(self, size: [usize; 2]) -> Soon {
        for_each_operand!(self, rows => Soon::rows(rows, size))
    }
}

/// Keys and values as they lie: head by head in the columns of a row, or head by head one after the other; in a ring, the
/// oldest need not come first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub k: Matrix<'a>,
    pub v: Matrix<'a>,
    /// Rows from a head to the next; `None` if heads are side by side.
    pub head_rows: Option<usize>,
    pub ring: Ring,
}

/// Key `j` of `len` is in row `first + j`, or `j - wrap` from `wrap` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    pub first: usize,
    pub wrap: usize,
    pub len: usize,
}

impl Ring {
    /// Keys in the order of the rows.
    pub const NONE: Self = Self { first: 0, wrap: usize::MAX, len: 0 };

    #[inline(always)]
    pub fn row(&self, key: usize) -> usize {
        if key < self.wrap { self.first + key } else { key - self.wrap }
    }

    /// The end of the keys from `start` on that lie one after the other.
    #[inline(always)]
    pub fn end(&self, start: usize, end: usize) -> usize {
        if start < self.wrap { end.min(self.wrap) } else { end }
    }
}

/// The rows of one sequence: its queries, and the keys they may see.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub index: usize,
    pub queries: Range<usize>,
    pub keys: Range<usize>,
    pub limits: Limits,
}

/// One head of keys and values of one sequence, with the heads of queries that share it; the pointers are valid over the
/// sizes.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub heads: &'a Heads,
    pub terms: &'a Terms<'a>,
    /// The first of the query heads.
    pub first: usize,
    /// A row for each query, the heads of the group side by side, `d` columns each.
    pub q: Operand,
    /// `n_k x d`
    pub k: Operand,
    /// `n_k x dv`
    pub v: Operand,
    /// A row for each query, `out_stride` apart, the heads of the group side by side, `dv` columns each.
    pub out: *mut f32,
    pub out_stride: usize,
    /// A column for each head of the group.
    pub lse: Option<Lse>,
    pub bias: Option<Slab<f32>>,
    pub mask: Option<Slab<u8>>,
    pub n_k: usize,
    pub limits: Limits,
    pub ring: Ring,
}

impl Head<'_> {
    /// Some keys, divided into blocks of at most `len` that lie one after the other.
    ///
    /// Blocks begin at multiples of their length, whichever keys a query sees: so a query's blocks, and its bits, do not depend
    /// on the queries beside it.
    #[inline(always)]
    pub fn blocks(&self, keys: Range<usize>, len: usize) -> Blocks {
        Blocks { left: keys, len, ring: self.ring }
    }
}

/// The blocks that are left.
pub(crate) struct Blocks {
    left: Range<usize>,
    len: usize,
    ring: Ring,
}

impl Iterator for Blocks {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let Range { start, end } = self.left;
        if start >= end {
            return None;
        }
        self.left.start = self.ring.end(start, end.min((div_rem(start, self.len).0 + 1) * self.len));
        Some(start..self.left.start)
    }
}

/// Everything that attention reads, checked: the pointers of every [`Head`] follow from it.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a> {
    pub heads: &'a Heads,
    pub terms: &'a Terms<'a>,
    pub q: Matrix<'a>,
    pub kv: Stored<'a>,
}

/// Where the results go.
#[derive(Clone, Copy)]
pub(crate) struct Results {
    pub out: *mut f32,
    pub out_stride: usize,
    pub lse: Option<Lse>,
}

/// Where the logarithms of the sums of exponentials go: a row for each query, `stride` apart, a column for each head. What
/// writes them comes as a pointer, so that a program that wants none does not link it.
#[derive(Clone, Copy)]
pub(crate) struct Lse {
    pub to: *mut f32,
    pub stride: usize,
    pub write: unsafe fn(&Queries<'_>, &Lse),
}

impl<'a> Problem<'a> {
    /// Head `kv` of the keys of one sequence.
    pub fn head(&self, span: &Span, kv: usize, results: &Results) -> Head<'a> {
        let Heads { d, dv, .. } = *self.heads;
        let group = self.heads.group();
        let first = kv * group;
        let (kv_row, kv_column) = self.kv.head_rows.map_or((0, kv), |rows| (kv * rows, 0));
        Head {
            heads: self.heads,
            terms: self.terms,
            first,
            q: Operand::of(&self.q).at(span.queries.start, first * d),
            k: Operand::of(&self.kv.k).at(span.keys.start + kv_row, kv_column * d),
            v: Operand::of(&self.kv.v).at(span.keys.start + kv_row, kv_column * dv),
            out: results.out.wrapping_add(span.queries.start * results.out_stride + first * dv),
            out_stride: results.out_stride,
            lse: results.lse.map(|lse| Lse { to: lse.to.wrapping_add(span.queries.start * lse.stride + first), ..lse }),
            bias: self.terms.bias.map(|table| table.of(span.index, first)),
            mask: self.terms.mask.map(|table| table.of(span.index, first)),
            n_k: span.keys.len(),
            limits: span.limits,
            ring: self.kv.ring,
        }
    }

    /// The keys and values of one head of one sequence, if they lie one after the other.
    pub fn keys_and_values(&self, span: &Span, kv: usize) -> Option<(Matrix<'a>, Matrix<'a>)> {
        let Heads { d, dv, .. } = *self.heads;
        let (first, column) = self.kv.head_rows.map_or((0, kv), |rows| (kv * rows, 0));
        let (first, n_k) = (span.keys.start + first + self.kv.ring.row(0), span.keys.len());
        let part = |of: Matrix<'a>, d: usize| of.part(first..first + n_k, column * d..(column + 1) * d);
        (self.kv.ring.end(0, n_k) == n_k).then_some((part(self.kv.k, d)?, part(self.kv.v, dv)?))
    }

    /// Whether the views are as large as the sizes say.
    pub fn fits(&self) -> bool {
        let Heads { count, kv, d, dv, .. } = *self.heads;
        let width = |heads: usize, dim: usize| heads.checked_mul(dim);
        let side_by_side = if self.kv.head_rows.is_none() { kv } else { 1 };
        kv > 0
            && count.is_multiple_of(kv)
            && width(count, d) == Some(self.q.cols())
            && width(side_by_side, d) == Some(self.kv.k.cols())
            && width(side_by_side, dv) == Some(self.kv.v.cols())
            && self.kv.k.rows() == self.kv.v.rows()
    }
}

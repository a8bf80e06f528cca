//! Keys and values of the tokens so far, in the caller's memory.

use crate::element::Element;
use crate::error::{Error, Result};
use crate::kernel::attention::head::{Ring, Stored};
use crate::ops::attention::{Attention, Sequences};
use crate::ops::same;
use crate::view::{MatRef, Matrix};

/// Keys and values of one sequence, appended token by token: head by head, so that a query reads each head's from one end to the
/// other. The memory is the caller's, of type f32, [`half::f16`] or [`half::bf16`].
///
/// A cache holds `capacity` tokens; one that is [full](Error::Capacity) refuses more, unless it is a [ring](Self::ring), which
/// forgets the oldest. With a window of `w` keys to the left and up to `c` tokens appended before each call of
/// [`Engine::attention_cached`](crate::Engine::attention_cached), a ring of `w + c` tokens forgets none that is still to be seen.
///
/// ```
/// use selfattn::{Attention, Engine, KvCache, MatMut, MatRef};
///
/// let engine = Engine::new();
/// let attention = Attention::new(2, 4).kv_heads(1).causal(true);
/// let mut memory = vec![0.0_f32; KvCache::<f32>::len_of(1, 4, 4, 16)?];
/// let mut cache = KvCache::new(&mut memory, 1, 4, 4, 16)?;
/// let mut scratch = vec![0; engine.attention_scratch(&attention)?];
/// for token in [0.5_f32, -1.0, 2.0] {
///     cache.append(MatRef::from_row(&[token; 4]), MatRef::from_row(&[token; 4]))?;
///     let mut out = [0.0; 8];
///     engine.attention_cached(&attention, MatRef::from_row(&[1.0; 8]), &cache, MatMut::new(&mut out, 1, 8)?, &mut scratch)?;
/// }
/// assert_eq!(cache.len(), 3);
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Debug)]
pub struct KvCache<'a, E = f32> {
    keys: &'a mut [E],
    values: &'a mut [E],
    layout: Layout,
}

/// What must be known of a cache besides its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub heads: usize,
    /// Of a head's keys and values.
    pub dims: [usize; 2],
    /// Tokens.
    pub capacity: usize,
    pub is_ring: bool,
    /// The row of the oldest token.
    pub first: usize,
    pub len: usize,
}

impl Layout {
    /// Of an empty cache.
    fn new(kv_heads: usize, head_dim: usize, value_dim: usize, capacity: usize) -> Self {
        Self { heads: kv_heads, dims: [head_dim, value_dim], capacity, is_ring: false, first: 0, len: 0 }
    }

    /// Elements of memory.
    pub fn elements(&self) -> Result<usize> {
        let [d, dv] = self.dims;
        let dims = d.checked_add(dv);
        dims.and_then(|dims| dims.checked_mul(self.heads)?.checked_mul(self.capacity))
            .ok_or(Error::Overflow { arg: "capacity" })
    }

    /// Whether such a cache can be, and fits `elements` elements of memory.
    pub fn check(&self, elements: usize) -> Result<()> {
        let [d, dv] = self.dims;
        for (arg, value) in [("kv_heads", self.heads), ("head_dim", d), ("value_dim", dv)] {
            if value == 0 {
                return Err(Error::Value { arg });
            }
        }
        if self.is_ring && self.capacity == 0 {
            return Err(Error::Value { arg: "capacity" });
        }
        let (expected, got) = (self.elements()?, elements);
        if got < expected { Err(Error::Shape { arg: "memory", expected, got }) } else { Ok(()) }
    }

    /// Elements of the keys, or of the values, which follow them. Checked by then: nothing saturates.
    fn rows_of(&self, dim: usize) -> usize {
        self.rows().saturating_mul(dim)
    }

    /// Rows of all heads. Checked as well.
    fn rows(&self) -> usize {
        self.heads.saturating_mul(self.capacity)
    }

    /// What is stored in the memory of a cache, which has been checked.
    #[cfg(feature = "capi")]
    pub fn stored_in<'m, E: Element>(&self, memory: &'m [E]) -> Result<Stored<'m>>
    where
        Matrix<'m>: From<MatRef<'m, E>>,
    {
        let (keys, values) = memory.split_at_checked(self.rows_of(self.dims[0])).unwrap_or_default();
        self.stored(keys, values)
    }

    /// The tokens, in memory that has been checked.
    pub fn stored<'m, E: Element>(&self, keys: &'m [E], values: &'m [E]) -> Result<Stored<'m>>
    where
        Matrix<'m>: From<MatRef<'m, E>>,
    {
        let rows = self.rows();
        let [d, dv] = self.dims;
        Ok(Stored {
            k: MatRef::new(keys, rows, d)?.into(),
            v: MatRef::new(values, rows, dv)?.into(),
            head_rows: Some(self.capacity),
            ring: Ring { first: self.first, wrap: self.capacity.saturating_sub(self.first), len: self.len },
        })
    }

    /// Takes the row for one more token, if need be that of the oldest.
    fn next_row(&mut self) -> usize {
        // Rows and tokens are fewer than twice the capacity, whose elements fit in `usize`: nothing saturates.
        let wrap = |row: usize| row.checked_sub(self.capacity).unwrap_or(row);
        let row = wrap(self.first.saturating_add(self.len));
        if self.len < self.capacity {
            self.len = self.len.saturating_add(1);
        } else {
            self.first = wrap(self.first.saturating_add(1));
        }
        row
    }
}

impl<'a, E: Element> KvCache<'a, E> {
    /// Elements of memory for `capacity` tokens.
    ///
    /// # Errors
    /// [`Error::Overflow`] if that does not fit in `usize`.
    pub fn len_of(kv_heads: usize, head_dim: usize, value_dim: usize, capacity: usize) -> Result<usize> {
        Layout::new(kv_heads, head_dim, value_dim, capacity).elements()
    }

    /// An empty cache in `memory`, as long as [`len_of`](Self::len_of) says or longer.
    ///
    /// # Errors
    /// [`Error::Value`] for 0 heads or dimensions, [`Error::Shape`] if `memory` is too short, [`Error::Overflow`] as
    /// [`len_of`](Self::len_of).
    pub fn new(
        memory: &'a mut [E],
        kv_heads: usize,
        head_dim: usize,
        value_dim: usize,
        capacity: usize,
    ) -> Result<Self> {
        Self::with_layout(memory, Layout::new(kv_heads, head_dim, value_dim, capacity))
    }

    /// As [`new`](Self::new), for a cache that forgets its oldest tokens when it is full.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Value`] for a capacity of 0 as well.
    pub fn ring(
        memory: &'a mut [E],
        kv_heads: usize,
        head_dim: usize,
        value_dim: usize,
        capacity: usize,
    ) -> Result<Self> {
        let layout = Layout::new(kv_heads, head_dim, value_dim, capacity);
        Self::with_layout(memory, Layout { is_ring: true, ..layout })
    }

    /// The cache of such a layout whose tokens are in `memory` already.
    pub(crate) fn with_layout(memory: &'a mut [E], layout: Layout) -> Result<Self> {
        layout.check(memory.len())?;
        let [keys, values] = layout.dims.map(|dim| layout.rows_of(dim));
        let (keys, rest) = memory.split_at_mut_checked(keys).ok_or(Error::Overflow { arg: "capacity" })?;
        let values = rest.get_mut(..values).unwrap_or_default();
        Ok(Self { keys, values, layout })
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.layout.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layout.len == 0
    }

    /// The most tokens it holds.
    pub fn capacity(&self) -> usize {
        self.layout.capacity
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        (self.layout.first, self.layout.len) = (0, 0);
    }

    /// Keeps the first `len` tokens; does nothing if there are no more than that.
    pub fn truncate(&mut self, len: usize) {
        self.layout.len = self.layout.len.min(len);
    }

    /// Adds tokens behind those in the cache: `k` is `tokens x (kv_heads * head_dim)`, `v` is `tokens x (kv_heads *
    /// value_dim)`, rounded to the cache's type.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Capacity`] says that there is no room. The cache is
    /// unchanged then.
    pub fn append(&mut self, k: MatRef<'_>, v: MatRef<'_>) -> Result<()> {
        let Layout { heads, dims: [d, dv], capacity, is_ring, len, .. } = self.layout;
        same("k", heads.saturating_mul(d), k.cols())?;
        same("v", heads.saturating_mul(dv), v.cols())?;
        same("v", k.rows(), v.rows())?;
        let room = capacity.saturating_sub(len);
        if !is_ring && k.rows() > room {
            return Err(Error::Capacity { arg: "k", needed: k.rows(), got: room });
        }
        // Of more tokens than a ring holds, only the last ones stay.
        for i in k.rows().saturating_sub(capacity)..k.rows() {
            let row = self.layout.next_row();
            put(self.keys, capacity, row, d, k.row(i));
            put(self.values, capacity, row, dv, v.row(i));
        }
        Ok(())
    }

    #[cfg(feature = "capi")]
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    fn stored(&self) -> Result<Stored<'_>>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        self.layout.stored(self.keys, self.values)
    }

    /// As [`stored`](Self::stored), if the options fit.
    pub(super) fn stored_for(&self, attention: &Attention<'_>) -> Result<Stored<'_>>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        attention.check_cache(self.layout.heads)?;
        self.stored()
    }
}

impl Attention<'_> {
    /// Whether the options fit a cache of so many heads.
    pub(super) fn check_cache(&self, heads: usize) -> Result<()> {
        if !matches!(self.sequences, Sequences::One) {
            return Err(Error::Value { arg: "sequences" });
        }
        self.check_options()?;
        same("cache", self.heads.kv, heads)
    }
}

/// Writes one token's row to its place in each head.
fn put<E: Element>(to: &mut [E], capacity: usize, row: usize, dim: usize, from: &[f32]) {
    let heads = to.chunks_exact_mut(capacity.saturating_mul(dim).max(1)).zip(from.chunks_exact(dim.max(1)));
    for (head, from) in heads {
        for (to, &from) in head.iter_mut().skip(row.saturating_mul(dim)).zip(from) {
            *to = E::from_f32(from);
        }
    }
}

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
    heads: usize,
    dims: [usize; 2],
    capacity: usize,
    is_ring: bool,
    /// The row of the oldest token.
    first: usize,
    len: usize,
}

impl<'a, E: Element> KvCache<'a, E> {
    /// Elements of memory for `capacity` tokens.
    ///
    /// # Errors
    /// [`Error::Overflow`] if that does not fit in `usize`.
    pub fn len_of(kv_heads: usize, head_dim: usize, value_dim: usize, capacity: usize) -> Result<usize> {
        head_dim
            .checked_add(value_dim)
            .and_then(|dims| dims.checked_mul(kv_heads)?.checked_mul(capacity))
            .ok_or(Error::Overflow { arg: "capacity" })
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
        for (arg, value) in [("kv_heads", kv_heads), ("head_dim", head_dim), ("value_dim", value_dim)] {
            if value == 0 {
                return Err(Error::Value { arg });
            }
        }
        let expected = Self::len_of(kv_heads, head_dim, value_dim, capacity)?;
        let got = memory.len();
        let short = Error::Shape { arg: "memory", expected, got };
        let memory = memory.get_mut(..expected).ok_or(short)?;
        let (keys, values) = memory.split_at_mut(kv_heads * head_dim * capacity);
        let dims = [head_dim, value_dim];
        Ok(Self { keys, values, heads: kv_heads, dims, capacity, is_ring: false, first: 0, len: 0 })
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
        if capacity == 0 {
            return Err(Error::Value { arg: "capacity" });
        }
        Ok(Self { is_ring: true, ..Self::new(memory, kv_heads, head_dim, value_dim, capacity)? })
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most tokens it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        (self.first, self.len) = (0, 0);
    }

    /// Keeps the first `len` tokens; does nothing if there are no more than that.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds tokens behind those in the cache: `k` is `tokens x (kv_heads * head_dim)`, `v` is `tokens x (kv_heads *
    /// value_dim)`, rounded to the cache's type.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Capacity`] says that there is no room. The cache is
    /// unchanged then.
    pub fn append(&mut self, k: MatRef<'_>, v: MatRef<'_>) -> Result<()> {
        let [d, dv] = self.dims;
        same("k", self.heads * d, k.cols())?;
        same("v", self.heads * dv, v.cols())?;
        same("v", k.rows(), v.rows())?;
        let room = self.capacity - self.len;
        if !self.is_ring && k.rows() > room {
            return Err(Error::Capacity { arg: "k", needed: k.rows(), got: room });
        }
        // Of more tokens than a ring holds, only the last ones stay.
        for i in k.rows().saturating_sub(self.capacity)..k.rows() {
            let row = self.next_row();
            put(self.keys, self.capacity, row, d, k.row(i));
            put(self.values, self.capacity, row, dv, v.row(i));
        }
        Ok(())
    }

    /// Takes the row for one more token, if need be that of the oldest.
    fn next_row(&mut self) -> usize {
        let row = (self.first + self.len) % self.capacity;
        if self.len < self.capacity {
            self.len += 1;
        } else {
            self.first = (self.first + 1) % self.capacity;
        }
        row
    }

    fn stored(&self) -> Result<Stored<'_>>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        let rows = self.heads * self.capacity;
        let [d, dv] = self.dims;
        Ok(Stored {
            k: MatRef::new(self.keys, rows, d)?.into(),
            v: MatRef::new(self.values, rows, dv)?.into(),
            head_rows: Some(self.capacity),
            ring: Ring { first: self.first, wrap: self.capacity - self.first, len: self.len },
        })
    }

    /// As [`stored`](Self::stored), if the options fit.
    pub(super) fn stored_for(&self, attention: &Attention<'_>) -> Result<Stored<'_>>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        if !matches!(attention.sequences, Sequences::One) {
            return Err(Error::Value { arg: "sequences" });
        }
        attention.check_options()?;
        same("cache", attention.heads.kv, self.heads)?;
        self.stored()
    }
}

/// Writes one token's row to its place in each head.
fn put<E: Element>(to: &mut [E], capacity: usize, row: usize, dim: usize, from: &[f32]) {
    let heads = to.chunks_exact_mut((capacity * dim).max(1)).zip(from.chunks_exact(dim));
    for (head, from) in heads {
        for (to, &from) in head.iter_mut().skip(row * dim).zip(from) {
            *to = E::from_f32(from);
        }
    }
}

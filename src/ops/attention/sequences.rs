//! How the rows of a batch divide into sequences.

use core::ops::Range;

use super::options::Attention;
use crate::error::{Error, Result};
use crate::kernel::attention::head::{Span, Table};
use crate::kernel::attention::place::{Limits, signed};
use crate::ops::{covers, same};
use crate::view::range;

/// How the rows of `q`, `k` and `v` divide into sequences. A query sees keys of its own sequence only.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sequences<'a> {
    /// One sequence; there may be more keys than queries, or fewer.
    #[default]
    One,
    /// Sequences of these lengths, end to end, without padding; as many queries as keys.
    Packed(&'a [usize]),
    /// As many blocks of equal size as there are key lengths; the first `key_lengths[i]` keys of block `i` are seen.
    Padded {
        /// Keys seen in each block.
        key_lengths: &'a [usize],
    },
    /// Sequence `i` has the rows from `offsets[i]` to `offsets[i + 1]`, queries and keys each by their own.
    Offsets {
        /// From 0, never falling, to the number of queries.
        queries: &'a [usize],
        /// From 0, never falling, to the number of keys; as many as those of queries.
        keys: &'a [usize],
    },
}

impl Sequences<'_> {
    fn count(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Packed(lengths) => lengths.len(),
            Self::Padded { key_lengths } => key_lengths.len(),
            Self::Offsets { queries, .. } => queries.len().saturating_sub(1),
        }
    }

    fn check(&self, n_q: usize, n_k: usize) -> Result<()> {
        match self {
            Self::One => Ok(()),
            Self::Packed(lengths) => {
                same("k", n_q, n_k)?;
                covers("sequences", lengths, n_q)
            }
            Self::Padded { key_lengths } => {
                let count = key_lengths.len();
                for (arg, rows) in [("q", n_q), ("k", n_k)] {
                    if rows.checked_rem(count).unwrap_or(rows) != 0 {
                        return Err(Error::Shape { arg, expected: count, got: rows });
                    }
                }
                let most = n_k.checked_div(count).unwrap_or(0);
                match key_lengths.iter().find(|&&len| len > most) {
                    Some(&got) => Err(Error::Shape { arg: "key_lengths", expected: most, got }),
                    None => Ok(()),
                }
            }
            Self::Offsets { queries, keys } => {
                same("offsets", queries.len(), keys.len())?;
                check_offsets(queries, n_q)?;
                check_offsets(keys, n_k)
            }
        }
    }

    /// The rows of sequence `i`, which starts at row `start` if sequences are packed.
    fn rows(&self, i: usize, start: usize, n_q: usize, n_k: usize) -> [Range<usize>; 2] {
        let get = |list: &[usize], i: usize| list.get(i).copied().unwrap_or(0);
        match self {
            Self::One => [0..n_q, 0..n_k],
            Self::Packed(lengths) => {
                let rows = range(start, get(lengths, i));
                [rows.clone(), rows]
            }
            Self::Padded { key_lengths } => {
                let [q, k] = [n_q, n_k].map(|rows| rows.checked_div(key_lengths.len()).unwrap_or(0));
                // As many blocks as there are sequences make up the rows: no product wraps.
                [range(i.wrapping_mul(q), q), range(i.wrapping_mul(k), get(key_lengths, i))]
            }
            Self::Offsets { queries, keys } => {
                [queries, keys].map(|offsets| get(offsets, i)..get(offsets, i.saturating_add(1)))
            }
        }
    }
}

/// From 0, never falling, to `rows`.
fn check_offsets(offsets: &[usize], rows: usize) -> Result<()> {
    same("offsets", 0, offsets.first().copied().unwrap_or(0))?;
    if let Some([before, after]) = offsets.array_windows().find(|[before, after]| before > after) {
        return Err(Error::Shape { arg: "offsets", expected: *before, got: *after });
    }
    same("offsets", rows, offsets.last().copied().unwrap_or(0))
}

/// Whether bias and mask have a number for each query and key.
pub(super) fn check_tables(attention: &Attention<'_>, n_q: usize, n_k: usize) -> Result<()> {
    let terms = &attention.terms;
    let tables = [("bias", terms.bias.map(Table::shape)), ("mask", terms.mask.map(Table::shape))];
    for Span { queries, keys, .. } in attention.spans(n_q, n_k) {
        let counts = [attention.sequences.count(), attention.heads.count, queries.len(), keys.len()];
        for (arg, table) in tables {
            let Some((got, strides)) = table else { continue };
            let expected = Table::<f32>::extent(strides, counts).ok_or(Error::Overflow { arg })?;
            if got < expected {
                return Err(Error::Shape { arg, expected, got });
            }
        }
    }
    Ok(())
}

impl<'a> Attention<'a> {
    /// Whether sequences and tables fit the rows.
    pub(super) fn check_sequences(&self, n_q: usize, n_k: usize) -> Result<()> {
        self.sequences.check(n_q, n_k)?;
        self.check_tables.map_or(Ok(()), |check_tables| check_tables(self, n_q, n_k))
    }

    /// The rows of the queries and of the visible keys of every sequence.
    pub(super) fn spans(&self, n_q: usize, n_k: usize) -> impl Iterator<Item = Span> + Clone + Sync + use<'a> {
        let (sequences, [left, right], offset) = (self.sequences, self.window_of_keys(), self.offset());
        let limit = |keys: Option<usize>| keys.map_or(isize::MAX, signed);
        let (left, right) = (limit(left), limit(right));
        let mut start = 0;
        (0..sequences.count()).map(move |index| {
            let [queries, keys] = sequences.rows(index, start, n_q, n_k);
            start = queries.end;
            let from_end = signed(keys.len()).saturating_sub(signed(queries.len()));
            let limits = Limits { offset: offset.map_or(from_end, signed), left, right };
            Span { index, queries, keys, limits }
        })
    }
}

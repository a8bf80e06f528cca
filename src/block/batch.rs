//! The input of an encoder.

use crate::error::{Error, Result};
use crate::ops::{covers, same};

/// Sequences of token ids, end to end, without padding.
///
/// ```
/// use selfattn::block::Batch;
///
/// let batch = Batch::new(&[101, 7592, 102, 101, 102], &[3, 2])?; // two sequences
/// assert_eq!(batch.longest(), 3);
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    ids: &'a [u32],
    lengths: &'a [usize],
    type_ids: Option<&'a [u32]>,
}

impl<'a> Batch<'a> {
    /// The ids of all sequences and the length of each.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths do not add up to the number of ids, [`Error::Value`] for an empty sequence.
    pub fn new(ids: &'a [u32], lengths: &'a [usize]) -> Result<Self> {
        covers("lengths", lengths, ids.len())?;
        if lengths.contains(&0) {
            return Err(Error::Value { arg: "lengths" });
        }
        Ok(Self { ids, lengths, type_ids: None })
    }

    /// The token type (segment) of every id; without this call all are 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many as ids.
    pub fn with_type_ids(self, type_ids: &'a [u32]) -> Result<Self> {
        same("type_ids", self.ids.len(), type_ids.len())?;
        Ok(Self { type_ids: Some(type_ids), ..self })
    }

    /// The ids of all sequences.
    pub fn ids(&self) -> &'a [u32] {
        self.ids
    }

    /// The token types of all ids, if given.
    pub fn type_ids(&self) -> Option<&'a [u32]> {
        self.type_ids
    }

    /// The length of each sequence.
    pub fn lengths(&self) -> &'a [usize] {
        self.lengths
    }

    /// The length of the longest sequence; 0 if there are none.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// The first sequences that together have at most `tokens` tokens (but at least one sequence), and the rest.
    pub(crate) fn split(&self, tokens: usize) -> (Self, Self) {
        let (mut ids, mut count) = (0_usize, 0_usize);
        for &len in self.lengths {
            // All lengths together are the number of ids, and none is 0: no sum wraps.
            let more = ids.wrapping_add(len);
            if count > 0 && more > tokens {
                break;
            }
            (ids, count) = (more, count.wrapping_add(1));
        }
        let types = self.type_ids.map(|types| split(types, ids));
        let ((head, tail), (first, rest)) = (split(self.ids, ids), split(self.lengths, count));
        (
            Self { ids: head, lengths: first, type_ids: types.map(|types| types.0) },
            Self { ids: tail, lengths: rest, type_ids: types.map(|types| types.1) },
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

/// The first `at` elements, all if there are fewer, and the rest.
fn split<T>(x: &[T], at: usize) -> (&[T], &[T]) {
    x.split_at_checked(at).unwrap_or((x, &[]))
}

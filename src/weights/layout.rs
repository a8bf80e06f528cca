//! What must hold across the entries of a header: no name twice, no byte of the data in two tensors or in none.
//!
//! Both are questions about a sorted list, and there is no memory to sort a list of thousands in. So the header is read
//! several times, and each pass picks the next [`CHUNK`] keys in ascending order: `n / CHUNK + 1` passes, which keeps
//! even a hostile header quadratic only in name. (Two loops over the header would cost `n` passes.)

use super::header::{Entries, Entry, fail};
use crate::error::{Error, HeaderFault, Result};

/// Keys picked in one pass. They live on the stack: 3 KiB on a 64-bit machine, half of that on a microcontroller. Model
/// files have a few hundred tensors, so they need a few passes.
const CHUNK: usize = 128;

/// Checks that all names differ.
pub(super) fn check_names(entries: Entries<'_>) -> Result<()> {
    in_order(entries, |entry| entry.name, |_| Ok(()))
}

/// Checks that the tensors cover the data from 0 to where the last ends, without overlap and without hole.
pub(super) fn check_coverage(entries: Entries<'_>) -> Result<()> {
    let mut covered: usize = 0;
    // The position makes keys unique: tensors without elements may share an offset.
    in_order(
        entries,
        |entry| (entry.begin, entry.end, entry.at),
        |(begin, end, at)| {
            if begin != covered {
                return fail(at, HeaderFault::Coverage);
            }
            covered = end;
            Ok(())
        },
    )
}

/// Calls `visit` with the key of each entry, in ascending order.
///
/// # Errors
/// [`HeaderFault::Duplicate`] if two keys are equal; those of `visit`.
fn in_order<'a, K: Copy + Ord + Default>(
    entries: Entries<'a>,
    key: impl Fn(&Entry<'a>) -> K,
    mut visit: impl FnMut(K) -> Result<()>,
) -> Result<()> {
    let mut floor: Option<K> = None;
    loop {
        let mut chunk = Smallest::<K>::new();
        let mut pass = entries;
        while let Some(entry) = pass.next()? {
            let key = key(&entry);
            if floor.is_none_or(|floor| floor < key) {
                chunk.insert(key).or(fail(entry.at, HeaderFault::Duplicate))?;
            }
        }
        chunk.keys().iter().try_for_each(|&key| visit(key))?;
        match chunk.keys().last() {
            Some(&last) if chunk.is_full() => floor = Some(last),
            _ => return Ok(()),
        }
    }
}

/// The smallest [`CHUNK`] of the keys inserted so far, in ascending order.
struct Smallest<K> {
    kept: [K; CHUNK],
    len: usize,
}

/// The key is there already.
struct Twice;

impl<K: Copy + Ord + Default> Smallest<K> {
    fn new() -> Self {
        Self { kept: [K::default(); CHUNK], len: 0 }
    }

    fn keys(&self) -> &[K] {
        self.kept.get(..self.len).unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.len == CHUNK
    }

    /// Two equal keys meet here however they are ordered: as long as the first is among the kept ones, the second is
    /// compared with it; once it has been pushed out, the second does not get in, and both come back in a later pass.
    fn insert(&mut self, key: K) -> core::result::Result<(), Twice> {
        if self.is_full() && self.keys().last().is_some_and(|largest| *largest < key) {
            return Ok(());
        }
        let Err(place) = self.keys().binary_search(&key) else { return Err(Twice) };
        self.len = self.len.saturating_add(1).min(CHUNK);
        if let Some([first, rest @ ..]) = self.kept.get_mut(place..self.len) {
            // Shift the larger keys up by one; the last falls out if there is no room.
            let mut carried = core::mem::replace(first, key);
            rest.iter_mut().for_each(|slot| core::mem::swap(slot, &mut carried));
        }
        Ok(())
    }
}

/// What the first pass over a header finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survey {
    /// Number of tensors.
    pub(super) tensors: usize,
    /// Where the largest span ends.
    pub(super) data_end: usize,
    /// Where the first span that goes past the end of the data stands.
    pub(super) past_end_at: Option<usize>,
    /// The tensors stand in the order of their data, without overlap and without hole, as most writers put them.
    pub(super) contiguous: bool,
}

impl Survey {
    /// Reads every entry.
    ///
    /// # Errors
    /// [`Error::Header`] for the first entry that is wrong by itself, or one too many.
    pub(super) fn take(entries: &mut Entries<'_>, limits: Limits, data_len: usize) -> Result<Self> {
        let mut survey = Self { tensors: 0, data_end: 0, past_end_at: None, contiguous: true };
        while let Some(entry) = entries.next()? {
            if survey.tensors >= limits.tensors || entry.len > limits.entry_bytes {
                return Err(Error::Header { at: entry.at, fault: HeaderFault::TooMany });
            }
            survey.add(&entry, data_len);
        }
        Ok(survey)
    }

    fn add(&mut self, entry: &Entry<'_>, data_len: usize) {
        self.tensors = self.tensors.saturating_add(1);
        self.contiguous &= entry.begin == self.data_end;
        self.data_end = self.data_end.max(entry.end);
        if entry.end > data_len && self.past_end_at.is_none() {
            self.past_end_at = Some(entry.at);
        }
    }
}

/// Limits that the format does not set, but that keep the work on a hostile file bounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Tensors in a file.
    pub(super) tensors: usize,
    /// Bytes of the header for one of them.
    pub(super) entry_bytes: usize,
}

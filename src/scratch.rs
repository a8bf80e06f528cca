//! The caller's bytes, cut into aligned buffers. A size query and the code that consumes the memory share one list of
//! lengths, so they cannot disagree.

use crate::element::Element;
use crate::error::{Error, Result};

/// Every buffer starts on a cache line: a vector load then never straddles two.
const ALIGN: usize = 64;
/// What aligning memory costs at most.
const SLACK: usize = ALIGN - 1;
/// No object is larger than `isize::MAX` bytes, with what aligning it costs.
const MOST: usize = isize::MAX as usize - ALIGN;

/// `?` on options, for functions that also run at compile time, where the operator is not to be had.
macro_rules! some {
    ($option:expr) => {
        match $option {
            Some(value) => value,
            None => return None,
        }
    };
}
pub(crate) use some;

/// What a size that does not fit in `usize` is called where it is a length of an array: no memory has as many bytes, so the
/// compiler refuses it.
pub(crate) const fn len_or_max(bytes: Option<usize>) -> usize {
    match bytes {
        Some(bytes) => bytes,
        None => usize::MAX,
    }
}

/// The lengths of one task's buffers, for each of `threads`; `None` on overflow.
pub(crate) const fn for_threads<const N: usize>(lens: Option<[usize; N]>, threads: usize) -> Option<[usize; N]> {
    let mut lens = some!(lens);
    let mut rest = lens.as_mut_slice();
    while let [len, others @ ..] = rest {
        *len = some!(len.checked_mul(threads));
        rest = others;
    }
    Some(lens)
}

const OVERFLOW: Error = Error::Overflow { arg: "scratch" };

/// Bytes of scratch that hold `N` buffers of the given numbers of floats, whatever the alignment of the memory; `None` on
/// overflow.
pub(crate) const fn checked_bytes<const N: usize>(lens: [usize; N]) -> Option<usize> {
    let (mut sum, mut rest) = (0, lens.as_slice());
    while let [len, others @ ..] = rest {
        sum = some!(checked_add::<f32>(sum, *len));
        rest = others;
    }
    Some(with_slack(sum))
}

/// As [`checked_bytes`].
pub(crate) fn bytes<const N: usize>(lens: [usize; N]) -> Result<usize> {
    checked_bytes(lens).ok_or(OVERFLOW)
}

/// Cuts scratch into `N` buffers of the given numbers of floats; their content is whatever was there.
///
/// # Errors
/// [`Error::Scratch`] if `memory` is smaller than [`bytes`] says.
pub(crate) fn split<const N: usize>(memory: &mut [u8], lens: [usize; N]) -> Result<[&mut [f32]; N]> {
    let (needed, got) = (bytes(lens)?, memory.len());
    // Refused even if it happens to be aligned and would do: what works must not depend on an address.
    let short = Error::Scratch { needed, got };
    if got < needed {
        return Err(short);
    }
    let mut arena = Arena::new(memory);
    let mut buffers = lens.map(|_| &mut [] as &mut [f32]);
    for (buffer, len) in buffers.iter_mut().zip(lens) {
        *buffer = arena.take(len).ok_or(short)?;
    }
    Ok(buffers)
}

/// As [`checked_bytes`], and `rest` bytes behind.
pub(crate) const fn checked_bytes_and<const N: usize>(lens: [usize; N], rest: usize) -> Option<usize> {
    some!(checked_bytes(lens)).checked_add(rest)
}

/// As [`split`], and what is left over, at least `rest` bytes.
pub(crate) fn split_and<const N: usize>(
    memory: &mut [u8],
    lens: [usize; N],
    rest: usize,
) -> Result<([&mut [f32]; N], &mut [u8])> {
    let (needed, got) = (checked_bytes_and(lens, rest).ok_or(OVERFLOW)?, memory.len());
    if got < needed {
        return Err(Error::Scratch { needed, got });
    }
    let (memory, rest) = memory.split_at_mut_checked(got.saturating_sub(rest)).ok_or(OVERFLOW)?;
    Ok((split(memory, lens)?, rest))
}

/// `sum` bytes and `len` more elements, up to the next cache line.
pub(crate) fn add<E: Element>(sum: usize, len: usize) -> Result<usize> {
    checked_add::<E>(sum, len).ok_or(OVERFLOW)
}

const fn checked_add<E: Element>(sum: usize, len: usize) -> Option<usize> {
    let bytes = some!(len.checked_mul(size_of::<E>()));
    let sum = some!(some!(bytes.checked_next_multiple_of(ALIGN)).checked_add(sum));
    if sum <= MOST { Some(sum) } else { None }
}

/// `sum` bytes and what aligning the first of them may cost. Nothing costs nothing. Sums are at most [`MOST`]: this one does not wrap.
pub(crate) const fn with_slack(sum: usize) -> usize {
    if sum == 0 { 0 } else { sum.wrapping_add(SLACK) }
}

/// Hands out aligned pieces of the caller's bytes, one after the other.
pub(crate) struct Arena<'a> {
    rest: &'a mut [u8],
}

impl<'a> Arena<'a> {
    pub fn new(memory: &'a mut [u8]) -> Self {
        Self { rest: memory }
    }

    /// The next `len` elements, dirty, on a cache line; `None` when the memory is used up.
    pub fn take<E: Element>(&mut self, len: usize) -> Option<&'a mut [E]> {
        if len == 0 {
            return Some(&mut []);
        }
        let bytes = len.checked_mul(size_of::<E>())?;
        let rest = core::mem::take(&mut self.rest);
        let gap = rest.as_ptr().align_offset(ALIGN);
        let (head, rest) = rest.split_at_mut_checked(gap).and_then(|(_, rest)| rest.split_at_mut_checked(bytes))?;
        self.rest = rest;
        // SAFETY: `head` is `len * size_of::<E>()` bytes aligned to 64, borrowed for 'a and handed out once; every bit
        // pattern is a valid f32, f16 and bf16 (`Element` is sealed).
        Some(unsafe { core::slice::from_raw_parts_mut(head.as_mut_ptr().cast::<E>(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_exact_for_the_worst_alignment() {
        let lens = [3, 0, 17, 1];
        let needed = bytes(lens).unwrap();
        let mut memory = [0xFF_u8; 1024];
        let worst = memory.as_ptr().align_offset(ALIGN) + 1;
        let buffers = split(&mut memory[worst..worst + needed], lens).unwrap();
        for (buffer, len) in buffers.iter().zip(lens) {
            assert_eq!(buffer.len(), len);
            assert!(len == 0 || buffer.as_ptr().addr().is_multiple_of(ALIGN));
        }
        let short = split(&mut memory[worst..worst + needed - 1], lens);
        assert_eq!(short.unwrap_err(), Error::Scratch { needed, got: needed - 1 });
    }

    #[test]
    fn overflow_is_the_same_from_query_and_use() {
        let lens = [usize::MAX / 8, usize::MAX / 8];
        assert_eq!(bytes(lens), Err(Error::Overflow { arg: "scratch" }));
        assert_eq!(split(&mut [], lens).unwrap_err(), Error::Overflow { arg: "scratch" });
    }
}

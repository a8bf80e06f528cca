//! The caller's bytes, cut into aligned buffers. A size query and the code that consumes the memory share one list of
//! lengths, so they cannot disagree.

use crate::element::Element;
use crate::error::{Error, Result};

/// Every buffer starts on a cache line: a vector load then never straddles two.
const ALIGN: usize = 64;

/// Bytes of scratch that hold `N` buffers of the given numbers of floats, whatever the alignment of the memory.
pub(crate) fn bytes<const N: usize>(lens: [usize; N]) -> Result<usize> {
    lens.iter().try_fold(0, |sum, &len| add::<f32>(sum, len)).map(with_slack)
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

/// As [`bytes`], and `rest` bytes behind.
pub(crate) fn bytes_and<const N: usize>(lens: [usize; N], rest: usize) -> Result<usize> {
    bytes(lens)?.checked_add(rest).ok_or(Error::Overflow { arg: "scratch" })
}

/// As [`split`], and what is left over, at least `rest` bytes.
pub(crate) fn split_and<const N: usize>(
    memory: &mut [u8],
    lens: [usize; N],
    rest: usize,
) -> Result<([&mut [f32]; N], &mut [u8])> {
    let (needed, got) = (bytes_and(lens, rest)?, memory.len());
    if got < needed {
        return Err(Error::Scratch { needed, got });
    }
    let (memory, rest) = memory.split_at_mut(got - rest);
    Ok((split(memory, lens)?, rest))
}

/// `sum` bytes and `len` more elements, up to the next cache line.
pub(crate) fn add<E: Element>(sum: usize, len: usize) -> Result<usize> {
    len.checked_mul(size_of::<E>())
        .and_then(|bytes| bytes.checked_next_multiple_of(ALIGN))
        .and_then(|bytes| bytes.checked_add(sum))
        // `with_slack` must not overflow, and no object is larger than `isize::MAX` bytes.
        .filter(|&sum| sum <= isize::MAX as usize - ALIGN)
        .ok_or(Error::Overflow { arg: "scratch" })
}

/// `sum` bytes and what aligning the first of them may cost. Nothing costs nothing.
pub(crate) fn with_slack(sum: usize) -> usize {
    if sum == 0 { 0 } else { sum + ALIGN - 1 }
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

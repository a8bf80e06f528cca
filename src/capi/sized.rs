//! Structs that may grow: their first field is how large the caller knows them to be.

use core::mem::MaybeUninit;

use super::fault::{Fault, Result};
use super::raw;
use crate::error::Error;

/// No version of a struct will be larger. A `size` above is one that was not set.
const LARGEST: usize = 4096;

/// A struct whose first field is its size.
///
/// # Safety
/// It is `repr(C)`, its first field is a `usize`, and all bits, zeros among them, are a value of it.
pub(super) unsafe trait Sized: Copy {
    /// The size of its first version.
    const FIRST: usize;

    /// How large the caller knows it to be; `None` if there is none.
    ///
    /// # Safety
    /// `this` is null or points to as much as its first field says.
    unsafe fn size(this: *const Self, arg: &'static str) -> Result<Option<usize>> {
        if this.is_null() {
            return Ok(None);
        }
        if !this.is_aligned() {
            return Err(Error::Misaligned { arg, align: align_of::<Self>() }.into());
        }
        // SAFETY: not null, aligned, and the first field is a size.
        let size = unsafe { this.cast::<usize>().read() };
        let wrong = Fault::StructSize { arg, expected: size_of::<Self>(), got: size };
        if size < Self::FIRST || size > LARGEST {
            return Err(wrong);
        }
        let unknown = size.saturating_sub(size_of::<Self>());
        // SAFETY: the caller's struct is `size` long.
        let unknown = unsafe { raw::bytes(this.cast::<u8>().wrapping_add(size_of::<Self>()), unknown) };
        if unknown.iter().any(|byte| *byte != 0) { Err(wrong) } else { Ok(Some(size)) }
    }

    /// The struct, what the caller does not know of it as zeros; `None` if there is none.
    ///
    /// # Safety
    /// As `size`.
    unsafe fn read(this: *const Self, arg: &'static str) -> Result<Option<Self>> {
        // SAFETY: the same contract.
        let Some(size) = (unsafe { Self::size(this, arg) })? else { return Ok(None) };
        let mut known = MaybeUninit::<Self>::zeroed();
        let bytes = size.min(size_of::<Self>());
        // SAFETY: both are at least as long and lie apart; all bits are a value.
        unsafe {
            known.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(this.cast(), bytes);
            Ok(Some(known.assume_init()))
        }
    }

    /// The struct, which must be there.
    ///
    /// # Safety
    /// As `size`.
    unsafe fn need(this: *const Self, arg: &'static str) -> Result<Self> {
        // SAFETY: the same contract.
        unsafe { Self::read(this, arg) }?.ok_or(Fault::Null(arg))
    }
}

/// Writes what the caller knows of a struct.
///
/// # Safety
/// `Sized::size` has given this size for `to`.
pub(super) unsafe fn write<T: Sized>(to: *mut T, value: &T, size: usize) {
    let bytes = size.min(size_of::<T>());
    // SAFETY: both are at least as long and lie apart.
    unsafe { to.cast::<u8>().copy_from_nonoverlapping(core::ptr::from_ref(value).cast(), bytes) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In its second version, of three.
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Options {
        size: usize,
        first: usize,
        second: usize,
    }

    // SAFETY: numbers.
    unsafe impl super::Sized for Options {
        const FIRST: usize = 2 * size_of::<usize>();
    }

    fn read(words: &[usize]) -> Result<Option<Options>> {
        // SAFETY: no test has a size that is allowed and longer than its words.
        unsafe { Options::read(words.as_ptr().cast(), "options") }
    }

    #[test]
    fn an_older_struct_has_zeros_for_what_came_later() {
        let size = 2 * size_of::<usize>();
        let Ok(options) = read(&[size, 5, 7]) else { panic!("an older version is a version") };
        assert_eq!(options, Some(Options { size, first: 5, second: 0 }));
    }

    #[test]
    fn a_newer_struct_is_read_if_all_that_is_new_is_zero() {
        let size = 4 * size_of::<usize>();
        let Ok(options) = read(&[size, 5, 7, 0]) else { panic!("nothing new is used") };
        assert_eq!(options, Some(Options { size, first: 5, second: 7 }));
        assert!(matches!(read(&[size, 5, 7, 1]), Err(Fault::StructSize { .. })));
    }

    #[test]
    fn other_sizes_are_refused() {
        for size in [0, 1, 2 * size_of::<usize>() - 1, LARGEST + 1, usize::MAX] {
            assert!(matches!(read(&[size, 5, 7, 0]), Err(Fault::StructSize { .. })), "{size}");
        }
        // SAFETY: null.
        assert!(matches!(unsafe { Options::read(core::ptr::null(), "options") }, Ok(None)));
        // SAFETY: refused before it is read.
        let misaligned = unsafe { Options::read([0_usize; 4].as_ptr().wrapping_byte_add(1).cast(), "options") };
        assert!(matches!(misaligned, Err(Fault::Core(Error::Misaligned { .. }))));
    }

    #[test]
    fn no_more_is_written_than_the_caller_knows() {
        let size = 2 * size_of::<usize>();
        let mut words = [size, 0, 9];
        // SAFETY: as large as it says.
        unsafe { write(words.as_mut_ptr().cast(), &Options { size, first: 5, second: 7 }, size) };
        assert_eq!(words, [size, 5, 9]);
    }
}

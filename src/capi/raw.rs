//! Memory that C points to, checked but not borrowed yet.

use super::fault::{Fault, Result};
use crate::error::Error;

/// An array: not null unless it is empty, aligned, and of a size that memory can have.
#[derive(Clone, Copy)]
pub(super) struct Raw<T> {
    arg: &'static str,
    data: *mut T,
    len: usize,
}

/// Where an array lies.
#[derive(Clone, Copy)]
pub(super) struct Region {
    arg: &'static str,
    start: usize,
    end: usize,
}

impl Region {
    /// No place at all.
    pub const NONE: Self = Self { arg: "", start: 0, end: 0 };

    fn overlaps(&self, other: &Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }
}

impl<T> Raw<T> {
    /// Of `len` elements; what is called `arg`.
    pub fn new(arg: &'static str, data: *const T, len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Self { arg, data: core::ptr::NonNull::dangling().as_ptr(), len });
        }
        if data.is_null() {
            return Err(Fault::Null(arg));
        }
        if !data.is_aligned() {
            return Err(Error::Misaligned { arg, align: align_of::<T>() }.into());
        }
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| isize::try_from(*bytes).is_ok());
        match bytes.and_then(|bytes| data.addr().checked_add(bytes)) {
            Some(_) => Ok(Self { arg, data: data.cast_mut(), len }),
            None => Err(Error::Overflow { arg }.into()),
        }
    }

    /// As `new`; null without a length is `None`, for what need not be there.
    pub fn optional(arg: &'static str, data: *const T, len: usize) -> Result<Option<Self>> {
        if data.is_null() && len == 0 { Ok(None) } else { Self::new(arg, data, len).map(Some) }
    }

    pub fn region(&self) -> Region {
        let start = self.data.addr();
        // `new` has multiplied and added the same.
        let end = start.wrapping_add(self.len.wrapping_mul(size_of::<T>()));
        Region { arg: self.arg, start, end }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn start(self) -> *mut T {
        self.data
    }

    /// # Safety
    /// The memory is there, holds values of `T`, and nobody writes to it for `'a`.
    pub unsafe fn read<'a>(self) -> &'a [T] {
        // SAFETY: `new` has checked all that can be; the caller promises the rest.
        unsafe { core::slice::from_raw_parts(self.data, self.len) }
    }

    /// # Safety
    /// As `read`, and nobody reads it either.
    pub unsafe fn write<'a>(self) -> &'a mut [T] {
        // SAFETY: `new` has checked all that can be; the caller promises the rest.
        unsafe { core::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// Where an array that may be absent lies.
pub(super) fn region_of<T: Copy>(array: Option<Raw<T>>) -> Region {
    array.map_or(Region::NONE, |array| array.region())
}

/// What is written lies apart from what else is written, and from what is read.
pub(super) fn apart(written: &[Region], read: &[Region]) -> Result<()> {
    for (i, region) in written.iter().enumerate() {
        let others = written.iter().skip(i.wrapping_add(1)).chain(read);
        if let Some(other) = others.into_iter().find(|other| region.overlaps(other)) {
            return Err(Fault::Overlap { arg: region.arg, other: other.arg });
        }
    }
    Ok(())
}

/// The bytes of a buffer.
pub(super) fn buffer(arg: &'static str, data: *mut core::ffi::c_void, len: usize) -> Result<Raw<u8>> {
    Raw::new(arg, data.cast(), len)
}

/// `len` bytes from `data` on.
///
/// # Safety
/// They are there, and nobody writes to them for `'a`.
pub(super) unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(data, len) }
}

/// A struct that does not grow.
///
/// # Safety
/// `this` is null or points to one.
pub(super) unsafe fn read<T: Copy>(arg: &'static str, this: *const T) -> Result<T> {
    let array = Raw::new(arg, this, 1)?;
    // SAFETY: one element, not null and aligned.
    Ok(unsafe { array.start().read() })
}

/// Where a result goes.
pub(super) fn place<T>(arg: &'static str, to: *mut T) -> Result<Raw<T>> {
    Raw::new(arg, to, 1)
}

impl<T> Raw<T> {
    /// Stores a result.
    ///
    /// # Safety
    /// From `place`, and the memory is there.
    pub unsafe fn put(self, value: T) {
        // SAFETY: one element, not null and aligned.
        unsafe { self.data.write(value) };
    }
}

/// What must be 0 until it has a meaning.
pub(super) fn reserved(value: i32) -> Result<()> {
    if value == 0 { Ok(()) } else { Err(Error::Value { arg: "reserved" }.into()) }
}

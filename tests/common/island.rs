//! Memory between pages that must not be touched: a byte too far, and the process dies.

use core::ffi::{c_int, c_void};

/// A multiple of every system's page.
const PAGE: usize = 1 << 16;
const PROT_NONE: c_int = 0;
const PROT_READ_WRITE: c_int = 3;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;

unsafe extern "C" {
    fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
    fn mprotect(at: *mut c_void, len: usize, prot: c_int) -> c_int;
    fn munmap(at: *mut c_void, len: usize) -> c_int;
}

/// Pages of zeros between two that must not be touched.
pub struct Island {
    start: *mut u8,
    /// Bytes in all, the closed pages included.
    len: usize,
}

impl Island {
    /// With at least that many bytes open.
    pub fn new(bytes: usize) -> Self {
        let open = bytes.next_multiple_of(PAGE).max(PAGE);
        let len = open + 2 * PAGE;
        // SAFETY: a fresh mapping, of which all but the first and the last page are opened.
        unsafe {
            let pages = mmap(core::ptr::null_mut(), len, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0);
            assert_ne!(pages.addr(), usize::MAX, "mmap");
            assert_eq!(mprotect(pages.byte_add(PAGE), open, PROT_READ_WRITE), 0, "mprotect");
            Self { start: pages.cast(), len }
        }
    }

    /// The first `n` elements and the last `n`.
    pub fn edges<T>(&self, n: usize) -> [*mut T; 2] {
        assert!(n * size_of::<T>() + 2 * PAGE <= self.len);
        // SAFETY: both lie in the mapping.
        unsafe { [self.start.add(PAGE).cast(), self.start.add(self.len - PAGE).cast::<T>().sub(n)] }
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`.
        unsafe { munmap(self.start.cast(), self.len) };
    }
}

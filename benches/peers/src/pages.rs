//! Memory in large pages. numpy asks Linux for them, and so do all contestants here: of pages of 4 KiB a CPU has the addresses of some
//! MiB at hand, and on a virtual machine each other address can take it a microsecond.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a large page.
const LARGE: usize = 2 << 20;

/// The system's allocator, which asks for large pages for what fills one.
struct LargePages;

#[global_allocator]
static ALLOCATOR: LargePages = LargePages;

// SAFETY: the system's allocator does it all; it gets the same layout when memory is given back.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same contract; the pages are this allocation's, as far as it fills them.
        unsafe {
            let memory = System.alloc(placed(layout));
            if !memory.is_null() && layout.size() >= LARGE {
                ask(memory, layout.size() / LARGE * LARGE);
            }
            memory
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: it comes from the system's allocator.
        unsafe { System.dealloc(memory, placed(layout)) }
    }
}

/// What fills a large page begins with one.
fn placed(layout: Layout) -> Layout {
    layout.align_to(if layout.size() < LARGE { 1 } else { LARGE }).unwrap_or(layout)
}

/// A system without large pages refuses, and gives small ones.
#[cfg(target_os = "linux")]
unsafe fn ask(memory: *mut u8, bytes: usize) {
    // SAFETY: the pages are the caller's, and what they hold stays.
    let _ = unsafe { libc::madvise(memory.cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
unsafe fn ask(_: *mut u8, _: usize) {}

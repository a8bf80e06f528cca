//! What a call takes: instructions and stack.

use crate::board;
use crate::print::Line;

/// Bytes of stack that are looked at.
const DEPTH: usize = 64 * 1024;
/// Left alone: what the measuring function itself may have below its own stack pointer.
const MARGIN: usize = 256;
const PAINT: u32 = 0x5AFE_C0DE;
const WORD: usize = size_of::<u32>();

/// What a call took.
pub struct Cost {
    pub instructions: u64,
    /// Bytes below the caller's frame.
    pub stack: usize,
}

/// Calls `work`: the stack below is painted first, and looked at afterwards.
#[inline(never)]
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let top = (board::stack_pointer() - MARGIN) / WORD * WORD;
    let bottom = top - DEPTH;
    for at in (bottom..top).step_by(WORD) {
        // SAFETY: the boards have more stack than this, nothing of it is in use, and no interrupt is enabled.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(at).write_volatile(PAINT) };
    }
    let (result, instructions) = count(work);
    // SAFETY: as above.
    let painted = |at: &usize| unsafe { core::ptr::with_exposed_provenance::<u32>(*at).read_volatile() } == PAINT;
    let untouched = (bottom..top).step_by(WORD).take_while(painted).count() * WORD;
    (result, Cost { instructions, stack: MARGIN + DEPTH - untouched })
}

#[inline(never)]
fn count<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = board::instructions();
    let result = work();
    (result, board::instructions() - start)
}

impl Cost {
    pub fn print(&self, what: &str) {
        let line = Line::new().text(what).text(": ").number(self.instructions).text(" instructions, ");
        line.number(self.stack as u64).text(" bytes of stack").end();
    }
}

//! Semihosting, a count of instructions and the stack pointer, on each kind of CPU.

#[cfg(target_arch = "arm")]
#[path = "arm.rs"]
mod cpu;
#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
#[path = "riscv.rs"]
mod cpu;

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
pub use cpu::{instructions, semihosting, stack_pointer};
#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
pub use riscv_rt::entry;

/// `SYS_WRITE0`: text that ends with a zero.
const WRITE0: usize = 0x04;
/// `SYS_EXIT_EXTENDED`: a reason and a code.
const EXIT: usize = 0x20;
/// `ADP_Stopped_ApplicationExit`
const APPLICATION_EXIT: usize = 0x20026;

/// Prints text that ends with a zero; without one, nothing.
pub fn write(text: &[u8]) {
    if text.last() == Some(&0) {
        // SAFETY: the text ends.
        unsafe { semihosting(WRITE0, text.as_ptr().addr()) };
    }
}

/// Leaves the emulator with the code 0 or 1.
pub fn exit(well: bool) -> ! {
    let block = [APPLICATION_EXIT, usize::from(!well)];
    loop {
        // SAFETY: the block has the two words that the operation reads.
        unsafe { semihosting(EXIT, block.as_ptr().addr()) };
    }
}

//! Cortex-M.

use core::arch::asm;

/// A semihosting operation. Without a debugger or emulator it faults.
///
/// # Safety
/// The argument is what the operation takes.
pub unsafe fn semihosting(operation: usize, argument: usize) {
    // SAFETY: the breakpoint with this number is the call; it returns its result in r0.
    unsafe { asm!("bkpt #0xAB", inout("r0") operation => _, in("r1") argument, options(nostack)) }
}

pub fn stack_pointer() -> usize {
    let sp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Instructions since some moment, under `-icount shift=6`: the board's counter of 32 bits, which runs by itself.
pub fn instructions() -> u64 {
    // SAFETY: the counter may be read at any time.
    let ticks = unsafe { core::ptr::without_provenance::<u32>(COUNTER).read_volatile() };
    u64::from(ticks) * TICK_NS / INSTRUCTION_NS
}

/// The register `COUNTER` of the board's FPGA, and what a tick takes.
#[cfg(board = "mps2-an386")]
const COUNTER: usize = 0x4002_8018;
#[cfg(board = "mps2-an386")]
const TICK_NS: u64 = 40;
#[cfg(board = "mps3-an547")]
const COUNTER: usize = 0x4930_2018;
#[cfg(board = "mps3-an547")]
const TICK_NS: u64 = 50;

/// Of a shift of 6. A power of two: a division by another number of 64 bits is a function of a kilobyte.
const INSTRUCTION_NS: u64 = 64;

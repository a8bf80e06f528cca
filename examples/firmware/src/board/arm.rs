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

/// Instructions since some moment, under `-icount shift=6`: the board's free-running counter, 64 ns an instruction.
pub fn instructions() -> u64 {
    // SAFETY: the counter may be read at any time.
    let ticks = unsafe { COUNTER.read_volatile() };
    u64::from(ticks) * TICK_NS / INSTRUCTION_NS
}

const INSTRUCTION_NS: u64 = 64;
const TICK_NS: u64 = 50;
const COUNTER: *const u32 = core::ptr::without_provenance(0x4002_8018);

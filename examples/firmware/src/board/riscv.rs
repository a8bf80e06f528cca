//! RISC-V.

use core::arch::asm;

/// A semihosting operation. Without a debugger or emulator it traps.
///
/// # Safety
/// The argument is what the operation takes.
pub unsafe fn semihosting(operation: usize, argument: usize) {
    // SAFETY: the breakpoint between these two instructions, none of them compressed, is the call; it returns its result in a0.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => _,
            in("a1") argument,
            options(nostack)
        );
    }
}

pub fn stack_pointer() -> usize {
    let sp;
    // SAFETY: reads a register.
    unsafe { asm!("mv {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Instructions since the start, under `-icount shift=0` and on a core that counts them.
#[cfg(target_arch = "riscv64")]
pub fn instructions() -> u64 {
    let count;
    // SAFETY: reads a register.
    unsafe { asm!("csrr {}, minstret", out(reg) count, options(nomem, nostack)) };
    count
}

/// Instructions since the start, under `-icount shift=0` and on a core that counts them.
#[cfg(target_arch = "riscv32")]
pub fn instructions() -> u64 {
    loop {
        let (low, high, again): (u32, u32, u32);
        // SAFETY: reads registers.
        unsafe {
            asm!(
                "csrr {}, minstreth",
                "csrr {}, minstret",
                "csrr {}, minstreth",
                out(reg) high,
                out(reg) low,
                out(reg) again,
                options(nomem, nostack)
            );
        }
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

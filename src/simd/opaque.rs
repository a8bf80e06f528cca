//! Numbers that the compiler knows nothing about.

/// `x`, but the compiler derives nothing from it, and nothing from two of them together.
///
/// Left to itself it walks from row to row of a tile, each address waiting for the one before it: additions that take slots of
/// the multiply-adds on Intel's cores, and loads that do on most of Arm's. Offsets it knows nothing about stay in registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(super) fn opaque(x: usize) -> usize {
    let mut x = x;
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}

/// `x`: what the compiler makes of it stands.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
pub(super) fn opaque(x: usize) -> usize {
    x
}

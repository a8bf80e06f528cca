//! AMX (AMX-TILE, AMX-BF16): eight tiles of sixteen rows of 64 bytes, and products of two of them.
//!
//! In assembly, as the stable compiler has no intrinsics for it. From one block of it to the next tiles keep their shapes alone:
//! no compiler changes those, and any function may do with tiles as it likes.

use core::arch::asm;

use half::bf16;

use super::{Rows, TileShape, Tiles};

/// Proof that the CPU has AMX-TILE and AMX-BF16, and that the operating system lets this process use them.
#[derive(Clone, Copy)]
pub(crate) struct Amx(());

impl Amx {
    /// # Safety
    /// What the type proves holds.
    #[inline(always)]
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

/// Rows of a tile, and bytes of each.
const ROWS: usize = 16;
const ROW: usize = 64;
/// Tiles 0 to 2 are sums, 3 is of A, 4 to 6 are of B.
const A: usize = 3;
const ALL: usize = 7;

/// The operand of LDTILECFG (Intel's Software Developer's Manual, volume 1, section 18.2).
#[repr(C, align(64))]
#[derive(PartialEq, Eq)]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    const NONE: Self = Self { palette: 0, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
}

/// The product to the tiles of sums that are named, each with where its columns are and the tile of B for them.
macro_rules! multiply {
    ($a:expr, $b:expr, $c:expr, $groups:expr, $add:expr; $(($sum:literal, $at:literal, $of_b:literal))*) => {
        asm!(
            "test {add}, {add}",
            "jnz 2f",
            $(concat!("tilezero tmm", $sum),)*
            "jmp 3f",
            "2:",
            $(concat!("tileloadd tmm", $sum, ", [{c} + {c_stride} + ", $at, "]"),)*
            "3:",
            "tileloadd tmm3, [{a} + {a_stride}]",
            $(
                concat!("tileloadd tmm", $of_b, ", [{b} + {b_stride} + ", $at, "]"),
                concat!("tdpbf16ps tmm", $sum, ", tmm3, tmm", $of_b),
            )*
            "add {a}, 64",
            "add {b}, {lines}",
            "dec {groups}",
            "jnz 3b",
            $(concat!("tilestored [{c} + {c_stride} + ", $at, "], tmm", $sum),)*
            add = in(reg) usize::from($add),
            a = inout(reg) $a.ptr => _,
            a_stride = in(reg) $a.stride,
            b = inout(reg) $b.ptr => _,
            b_stride = in(reg) $b.stride,
            lines = in(reg) ROWS * $b.stride,
            c = in(reg) $c.ptr,
            c_stride = in(reg) $c.stride,
            groups = inout(reg) $groups => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
            options(nostack),
        )
    };
}

// SAFETY: a token is made only by `new`, whose caller vouches for the CPU.
unsafe impl Tiles for Amx {
    const ROWS: usize = ROWS;
    const STEPS: usize = ROW / size_of::<bf16>();

    /// Setting the shapes waits for all instructions before it: that is left out where they are set.
    #[inline(never)]
    fn begin(self, TileShape { rows, pairs }: TileShape) {
        let mut all = Configuration::NONE;
        all.palette = 1;
        let [rows, pairs] = [rows, pairs].map(|n| n.clamp(1, ROWS));
        for tile in 0..ALL {
            all.rows[tile] = if tile <= A { rows } else { pairs } as u8;
            all.row_bytes[tile] = if tile == A { 2 * size_of::<bf16>() * pairs } else { ROW } as u16;
        }
        let mut now = Configuration::NONE;
        // SAFETY: the configuration is one that the CPU takes, and there is room for the one it has.
        unsafe {
            asm!("sttilecfg [{}]", in(reg) &raw mut now, options(nostack, preserves_flags));
            if now != all {
                asm!("ldtilecfg [{}]", in(reg) &raw const all, options(nostack, preserves_flags, readonly));
            }
        }
    }

    #[inline(always)]
    fn end(self) {
        // SAFETY: no tile is in use.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
    }

    // Not inlined, as above: a tile takes far longer than a call.
    #[inline(never)]
    unsafe fn multiply(
        self,
        [groups, registers]: [usize; 2],
        a: Rows<*const bf16>,
        b: Rows<*const bf16>,
        c: Rows<*mut f32>,
        add: bool,
    ) {
        // SAFETY: the same contract.
        unsafe {
            match registers {
                3 => multiply!(a, b, c, groups, add; (0, 0, 4) (1, 64, 5) (2, 128, 6)),
                2 => multiply!(a, b, c, groups, add; (0, 0, 4) (1, 64, 5)),
                _ => multiply!(a, b, c, groups, add; (0, 0, 4)),
            }
        }
    }
}

/// Whether this process may use tiles: Linux saves them for those that have asked.
#[cfg(all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64"))]
pub(super) fn ask_for_tiles() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the system call takes two numbers and touches no memory; the kernel changes rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Other systems are not known to save them.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64")))]
pub(super) fn ask_for_tiles() -> bool {
    false
}

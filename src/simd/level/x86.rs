//! The levels of x86-64, and their detection without the standard library.
//!
//! Bits as in Intel's Software Developer's Manual, volume 2A (CPUID) and volume 1, section 15.2 (detection of AVX-512):
//! an instruction set counts only if the CPU has it and the operating system saves its registers.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::Shape;
use crate::simd::amx::{Amx, ask_for_tiles};
use crate::simd::avx2::Avx2;
use crate::simd::avx512::Avx512;
use crate::simd::{Bf16Dot, DotOp, Op, Scalar, Simd, TileOp};

/// The levels, each including those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Scalar = 1,
    Avx2,
    Avx512,
    Avx512Bf16,
    AmxBf16,
}

impl Kind {
    pub const ALL: &[Self] = &[Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::AmxBf16];
    /// In the same order.
    pub const NAMES: &[&str] = &["scalar", "avx2", "avx512", "avx512bf16", "amxbf16"];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
            Self::AmxBf16 => "amxbf16",
        }
    }

    /// Whether the CPU is asked what it has. Bare metal: nobody may have switched the vector state on. SGX: CPUID traps. Miri: no CPU
    /// to ask.
    pub const IS_ASKED: bool = !cfg!(any(target_os = "none", target_env = "sgx", miri));

    /// The highest level of this CPU.
    pub fn probe() -> Self {
        if !Self::IS_ASKED {
            return built_for();
        }
        match classify(CpuBits::read()) {
            Self::AmxBf16 if !ask_for_tiles() => Self::Avx512Bf16,
            kind => kind,
        }
    }

    /// The fastest level of this CPU, whose highest is this one.
    pub fn fastest(self) -> Self {
        if Self::IS_ASKED { self.fastest_on(CpuBits::read()) } else { self }
    }

    fn fastest_on(self, cpu: CpuBits) -> Self {
        if self == Self::Avx512Bf16 && cpu.has_slow_pairs() { Self::Avx512 } else { self }
    }

    pub const fn shape(self) -> Shape {
        match self {
            Self::Scalar => Shape::of::<Scalar>(),
            Self::Avx2 => Shape::of::<Avx2>(),
            Self::Avx512 | Self::Avx512Bf16 | Self::AmxBf16 => Shape::of::<Avx512<false>>(),
        }
    }

    /// # Safety
    /// The CPU has this level.
    #[inline]
    pub unsafe fn dispatch<O: Op>(self, op: O) -> O::Out {
        match self {
            Self::Scalar => Scalar.call(op),
            // SAFETY: the caller's promise.
            Self::Avx2 => unsafe { Avx2::new() }.call(op),
            // SAFETY: the caller's promise.
            Self::Avx512 | Self::Avx512Bf16 | Self::AmxBf16 => unsafe { Avx512::<false>::new() }.call(op),
        }
    }

    pub const fn has_bf16_dot(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::AmxBf16)
    }

    /// # Safety
    /// The CPU has this level.
    #[inline]
    pub unsafe fn dispatch_dot<O: DotOp>(self, op: O) -> Option<O::Out> {
        // SAFETY: the caller's promise.
        self.has_bf16_dot().then(|| unsafe { Avx512::<true>::new() }.call_dot(op))
    }

    pub const fn has_tiles(self) -> bool {
        matches!(self, Self::AmxBf16)
    }

    /// # Safety
    /// The CPU has this level.
    #[inline]
    pub unsafe fn dispatch_tiles<O: TileOp>(self, op: O) -> Option<O::Out> {
        // SAFETY: the caller's promise.
        self.has_tiles().then(|| op.run(unsafe { Amx::new() }))
    }
}

/// Whether the CPU is one of AMD's: 0 as long as it was not asked, then 1 if it is not and 2 if it is.
static IS_AMD: AtomicU8 = AtomicU8::new(0);

/// Whether the CPU is one of AMD's. Asked once, then remembered; no where it is not asked.
pub(super) fn is_amd() -> bool {
    if Kind::IS_ASKED && IS_AMD.load(Relaxed) == 0 {
        IS_AMD.store(1 + u8::from(CpuBits::read().vendor == AMD), Relaxed);
    }
    IS_AMD.load(Relaxed) == 2
}

/// Leaf 0, ebx, edx, ecx: the vendor's name.
const INTEL: [u32; 3] = [u32::from_le_bytes(*b"Genu"), u32::from_le_bytes(*b"ineI"), u32::from_le_bytes(*b"ntel")];
const AMD: [u32; 3] = [u32::from_le_bytes(*b"Auth"), u32::from_le_bytes(*b"enti"), u32::from_le_bytes(*b"cAMD")];
/// Leaf 1, ecx.
const FMA: u32 = 1 << 12;
const OSXSAVE: u32 = 1 << 27;
const AVX: u32 = 1 << 28;
const F16C: u32 = 1 << 29;
/// Leaf 7, ebx.
const AVX2: u32 = 1 << 5;
const AVX512F: u32 = 1 << 16;
const AVX512DQ: u32 = 1 << 17;
const AVX512BW: u32 = 1 << 30;
const AVX512VL: u32 = 1 << 31;
/// Leaf 7, edx.
const AMX_BF16: u32 = 1 << 22;
const AVX512_FP16: u32 = 1 << 23;
const AMX_TILE: u32 = 1 << 24;
/// Leaf 7, subleaf 1, eax.
const AVX512_BF16: u32 = 1 << 5;
/// Register state that the operating system saves: xmm, ymm / also the mask registers, the upper halves, zmm16 to zmm31.
const YMM_STATE: u64 = 0x6;
const ZMM_STATE: u64 = 0xE6;
/// The tiles' shapes, and the tiles.
const TILE_STATE: u64 = 0x6_0000;

/// What the CPU and the operating system say about themselves; zero where they could not be asked.
#[derive(Clone, Copy, Default)]
struct CpuBits {
    vendor: [u32; 3],
    leaf1_ecx: u32,
    leaf7_ebx: u32,
    leaf7_edx: u32,
    leaf7_1_eax: u32,
    xcr0: u64,
}

/// What the target features of this build promise.
const fn built_for() -> Kind {
    let avx2 = cfg!(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"));
    let avx512 = cfg!(all(
        target_feature = "avx512f",
        target_feature = "avx512bw",
        target_feature = "avx512dq",
        target_feature = "avx512vl"
    ));
    // The stable compiler has no features for tiles.
    highest(avx2, avx512, cfg!(target_feature = "avx512bf16"), false)
}

/// The highest level, each set counting only with those before it.
const fn highest(avx2: bool, avx512: bool, bf16: bool, tiles: bool) -> Kind {
    match (avx2, avx512, bf16, tiles) {
        (true, true, true, true) => Kind::AmxBf16,
        (true, true, true, false) => Kind::Avx512Bf16,
        (true, true, false, _) => Kind::Avx512,
        (true, false, ..) => Kind::Avx2,
        (false, ..) => Kind::Scalar,
    }
}

/// The highest level that the bits allow.
const fn classify(cpu: CpuBits) -> Kind {
    let leaf1 = FMA | OSXSAVE | AVX | F16C;
    let avx2 = has(cpu.leaf1_ecx, leaf1) && has(cpu.leaf7_ebx, AVX2) && cpu.xcr0 & YMM_STATE == YMM_STATE;
    let avx512 = has(cpu.leaf7_ebx, AVX512F | AVX512BW | AVX512DQ | AVX512VL) && cpu.xcr0 & ZMM_STATE == ZMM_STATE;
    let tiles = has(cpu.leaf7_edx, AMX_TILE | AMX_BF16) && cpu.xcr0 & TILE_STATE == TILE_STATE;
    highest(avx2, avx512, has(cpu.leaf7_1_eax, AVX512_BF16), tiles)
}

/// Whether all of `wanted` are set.
const fn has(bits: u32, wanted: u32) -> bool {
    bits & wanted == wanted
}

impl CpuBits {
    /// Intel's cores from Golden Cove on, which are the ones with AVX512_FP16: one of them multiplies pairs at half the speed of f32
    /// (docs/performance.md).
    fn has_slow_pairs(self) -> bool {
        self.vendor == INTEL && has(self.leaf7_edx, AVX512_FP16)
    }

    fn read() -> Self {
        let leaf0 = __cpuid(0);
        // A leaf beyond the highest one answers with the data of another leaf.
        let max_leaf = leaf0.eax;
        let leaf1_ecx = if max_leaf >= 1 { __cpuid(1).ecx } else { 0 };
        let leaf7 = |subleaf| if max_leaf >= 7 { Some(__cpuid_count(7, subleaf)) } else { None };
        // Subleaf 0 names the highest subleaf in eax.
        let max_subleaf = leaf7(0).map_or(0, |leaf| leaf.eax);
        let [leaf7_ebx, leaf7_edx] = leaf7(0).map_or([0; 2], |leaf| [leaf.ebx, leaf.edx]);
        let leaf7_1_eax = if max_subleaf >= 1 { leaf7(1).map_or(0, |leaf| leaf.eax) } else { 0 };
        let xcr0 = if has(leaf1_ecx, OSXSAVE) {
            // SAFETY: OSXSAVE says that the operating system has enabled XGETBV; register 0 always exists then.
            unsafe { read_xcr0() }
        } else {
            0
        };
        Self { vendor: [leaf0.ebx, leaf0.edx, leaf0.ecx], leaf1_ecx, leaf7_ebx, leaf7_edx, leaf7_1_eax, xcr0 }
    }
}

/// # Safety
/// The CPU's OSXSAVE bit is set.
#[target_feature(enable = "xsave")]
unsafe fn read_xcr0() -> u64 {
    // SAFETY: the caller's promise.
    unsafe { _xgetbv(0) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// A CPU and system with everything.
    const FULL: CpuBits = CpuBits {
        vendor: INTEL,
        leaf1_ecx: u32::MAX,
        leaf7_ebx: u32::MAX,
        leaf7_edx: u32::MAX,
        leaf7_1_eax: u32::MAX,
        xcr0: u64::MAX,
    };

    #[test]
    fn made_up_cpus() {
        let leaf1_without = |bit: u32| CpuBits { leaf1_ecx: !bit, ..FULL };
        let leaf7_without = |bit: u32| CpuBits { leaf7_ebx: !bit, ..FULL };
        let leaf7_edx_without = |bit: u32| CpuBits { leaf7_edx: !bit, ..FULL };
        let cases = [
            ("everything", FULL, Kind::AmxBf16),
            ("no AMX-TILE", leaf7_edx_without(AMX_TILE), Kind::Avx512Bf16),
            ("no AMX-BF16", leaf7_edx_without(AMX_BF16), Kind::Avx512Bf16),
            ("system does not save tiles", CpuBits { xcr0: !0x4_0000, ..FULL }, Kind::Avx512Bf16),
            ("system does not save their shapes", CpuBits { xcr0: !0x2_0000, ..FULL }, Kind::Avx512Bf16),
            ("no AVX512_BF16, as Skylake-X", CpuBits { leaf7_1_eax: !AVX512_BF16, ..FULL }, Kind::Avx512),
            ("nothing", CpuBits::default(), Kind::Scalar),
            ("no OSXSAVE", leaf1_without(OSXSAVE), Kind::Scalar),
            ("no AVX", leaf1_without(AVX), Kind::Scalar),
            ("no FMA", leaf1_without(FMA), Kind::Scalar),
            ("no F16C", leaf1_without(F16C), Kind::Scalar),
            ("no AVX2, as Sandy Bridge", leaf7_without(AVX2), Kind::Scalar),
            ("no AVX-512F", leaf7_without(AVX512F), Kind::Avx2),
            ("no AVX-512VL, as Knights Landing", leaf7_without(AVX512VL), Kind::Avx2),
            ("no AVX-512BW", leaf7_without(AVX512BW), Kind::Avx2),
            ("no AVX-512DQ", leaf7_without(AVX512DQ), Kind::Avx2),
            ("highest leaf below 7", CpuBits { leaf7_ebx: 0, ..FULL }, Kind::Scalar),
            ("system saves nothing", CpuBits { xcr0: 0, ..FULL }, Kind::Scalar),
            ("system saves xmm only", CpuBits { xcr0: 0x3, ..FULL }, Kind::Scalar),
            ("system saves ymm but not zmm", CpuBits { xcr0: 0x7, ..FULL }, Kind::Avx2),
            ("system does not save the masks", CpuBits { xcr0: !0x20, ..FULL }, Kind::Avx2),
            ("system does not save the upper halves", CpuBits { xcr0: !0x40, ..FULL }, Kind::Avx2),
            ("system does not save zmm16 to zmm31", CpuBits { xcr0: !0x80, ..FULL }, Kind::Avx2),
            ("system saves zmm but not ymm", CpuBits { xcr0: 0xE3, ..FULL }, Kind::Scalar),
        ];
        for (name, cpu, expected) in cases {
            assert_eq!(classify(cpu), expected, "{name}");
        }
    }

    #[test]
    fn the_fastest_level_is_the_highest_but_where_pairs_are_slow() {
        let cases = [
            ("Sapphire Rapids", FULL, Kind::Avx512),
            ("Cooper Lake", CpuBits { leaf7_edx: !AVX512_FP16, ..FULL }, Kind::Avx512Bf16),
            ("Zen 4", CpuBits { vendor: AMD, leaf7_edx: !AVX512_FP16, ..FULL }, Kind::Avx512Bf16),
            ("AMD with AVX512_FP16", CpuBits { vendor: AMD, ..FULL }, Kind::Avx512Bf16),
        ];
        for (name, cpu, expected) in cases {
            assert_eq!(Kind::Avx512Bf16.fastest_on(cpu), expected, "{name}");
            for other in [Kind::Scalar, Kind::Avx2, Kind::Avx512, Kind::AmxBf16] {
                assert_eq!(other.fastest_on(cpu), other, "{name}");
            }
        }
        assert_eq!(crate::Level::detect().0, Kind::probe().fastest());
    }

    /// The kernel's word for it is the reference where there is one.
    #[test]
    fn the_vendor_is_the_one_that_the_kernel_names() {
        if let Ok(cpu) = std::fs::read_to_string("/proc/cpuinfo") {
            assert_eq!((is_amd(), is_amd()), (cpu.contains("AuthenticAMD"), cpu.contains("AuthenticAMD")));
        }
    }

    /// The standard library's detection is the reference where there is one: it does not know tiles yet.
    #[test]
    fn agrees_with_the_standard_library() {
        use std::is_x86_feature_detected as has;

        let avx2 = has!("avx2") && has!("fma") && has!("f16c");
        let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
        let expected = match (avx2, avx512) {
            (_, true) if has!("avx512bf16") => Kind::Avx512Bf16,
            (_, true) => Kind::Avx512,
            (true, _) => Kind::Avx2,
            _ => Kind::Scalar,
        };
        assert_eq!(Kind::probe().min(Kind::Avx512Bf16), expected);
    }
}

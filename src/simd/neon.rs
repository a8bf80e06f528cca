//! NEON on AArch64: four floats in a register, thirty-two registers, fused multiply-adds and conversions of f16 in the
//! baseline.
//!
//! Not used: the products of halves of FEAT_FHM, which would save the three conversions beside the 24 multiply-adds of a
//! tile's step, but ask for halves on both sides, and round as often as a multiply-add of widened ones; arithmetic in f16,
//! since sums are in f32.

use core::arch::aarch64::*;
use core::arch::asm;

use half::{bf16, f16};

use super::exponent::{DETOUR_BACK, MANTISSA_BITS};
use super::opaque::opaque;
use super::{Bf16Dot, DotOp, Op, Simd, each};

/// Proof that the CPU has NEON, which is that this is compiled: the build's target features have it. With `BF16`, also that the
/// CPU has FEAT_BF16.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const BF16: bool = false>(());

impl<const BF16: bool> Neon<BF16> {
    /// # Safety
    /// The CPU has what the type proves.
    #[inline(always)]
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

const LANES: usize = 4;
const SHIFT: i32 = MANTISSA_BITS as i32;

/// Intrinsics on registers only: all they ask for is the instruction set.
macro_rules! isa {
    ($intrinsics:expr) => {
        // SAFETY: the build's target features have NEON.
        unsafe { $intrinsics }
    };
}

// SAFETY: this is compiled only where every CPU of the target has NEON; `call` enables just that.
unsafe impl<const BF16: bool> Simd for Neon<BF16> {
    type F32 = float32x4_t;
    /// All bits of a lane set, or none.
    type Mask = uint32x4_t;

    const LANES: usize = LANES;
    const MR: usize = 8;
    const NV: usize = 3;
    const FUSED: bool = true;

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Out {
        // Nothing has to be enabled. Never inlined, so that kernels are functions with names of their own, as elsewhere:
        // `scripts/check_tiles.py` finds them by those.
        #[inline(never)]
        fn enabled<const BF16: bool, O: Op>(s: Neon<BF16>, op: O) -> O::Out {
            op.run(s)
        }
        enabled(self, op)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        isa!(vdupq_n_f32(x))
    }

    #[inline(always)]
    fn iota(self) -> float32x4_t {
        // SAFETY: the array has four floats.
        unsafe { vld1q_f32([0.0, 1.0, 2.0, 3.0].as_ptr()) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        isa!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        isa!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        isa!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        isa!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        isa!(vfmaq_f32(c, a, b))
    }

    /// By comparison: FMAX gives NaN for a NaN on either side, FMAXNM the other side, and both take 0 for more than -0.
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        isa!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        isa!(vbslq_f32(vcltq_f32(a, b), a, b))
    }

    /// In two steps, see [`exponent`](super::exponent).
    #[inline(always)]
    fn scale2(self, a: float32x4_t, _n: float32x4_t, t: float32x4_t) -> float32x4_t {
        let power = isa!(vreinterpretq_f32_s32(vshlq_n_s32::<SHIFT>(vreinterpretq_s32_f32(t))));
        self.mul(self.mul(a, power), self.splat(DETOUR_BACK))
    }

    #[inline(always)]
    fn lt(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        isa!(vcltq_f32(a, b))
    }

    #[inline(always)]
    fn select(self, mask: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
        isa!(vbslq_f32(mask, yes, no))
    }

    #[inline(always)]
    fn any(self, mask: uint32x4_t) -> bool {
        isa!(vmaxvq_u32(mask)) != 0
    }

    #[inline(always)]
    fn reduce_add(self, a: float32x4_t) -> f32 {
        isa!(vpadds_f32(vadd_f32(vget_low_f32(a), vget_high_f32(a))))
    }

    #[inline(always)]
    fn reduce_max(self, a: float32x4_t) -> f32 {
        let two = self.max(a, isa!(vextq_f32::<2>(a, a)));
        isa!(vgetq_lane_f32::<0>(self.max(two, vextq_f32::<1>(two, two))))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        // SAFETY: the same contract.
        unsafe { vld1q_f32(p) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> float32x4_t {
        let zero = self.splat(0.0);
        // SAFETY: n floats are readable.
        unsafe {
            match n {
                0 => zero,
                1 => vld1q_lane_f32::<0>(p, zero),
                2 => vcombine_f32(vld1_f32(p), vget_low_f32(zero)),
                3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vget_low_f32(zero))),
                _ => vld1q_f32(p),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: float32x4_t) {
        // SAFETY: the same contract.
        unsafe { vst1q_f32(p, a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, a: float32x4_t) {
        // SAFETY: n floats are writable.
        unsafe {
            match n {
                0 => {}
                1 => vst1q_lane_f32::<0>(p, a),
                2 => vst1_f32(p, vget_low_f32(a)),
                3 => {
                    vst1_f32(p, vget_low_f32(a));
                    vst1q_lane_f32::<2>(p.add(2), a);
                }
                _ => vst1q_f32(p, a),
            }
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> float32x4_t {
        // SAFETY: four halves are eight bytes.
        widen_f16(unsafe { vld1_u16(p.cast()) })
    }

    #[inline(always)]
    unsafe fn load_f16_first(self, p: *const f16, n: usize) -> float32x4_t {
        // SAFETY: the same contract.
        widen_f16(unsafe { first_halves(p.cast(), n) })
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> float32x4_t {
        // SAFETY: four halves are eight bytes.
        widen_bf16(unsafe { vld1_u16(p.cast()) })
    }

    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const bf16, n: usize) -> float32x4_t {
        // SAFETY: the same contract.
        widen_bf16(unsafe { first_halves(p.cast(), n) })
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: four rows of four floats are readable and writable at the strides.
        unsafe {
            let (a, b) = (vld1q_f32(src), vld1q_f32(src.add(src_stride)));
            let (c, d) = (vld1q_f32(src.add(2 * src_stride)), vld1q_f32(src.add(3 * src_stride)));
            let (ab, cd) = (vtrnq_f32(a, b), vtrnq_f32(c, d));
            vst1q_f32(dst, vcombine_f32(vget_low_f32(ab.0), vget_low_f32(cd.0)));
            vst1q_f32(dst.add(dst_stride), vcombine_f32(vget_low_f32(ab.1), vget_low_f32(cd.1)));
            vst1q_f32(dst.add(2 * dst_stride), vcombine_f32(vget_high_f32(ab.0), vget_high_f32(cd.0)));
            vst1q_f32(dst.add(3 * dst_stride), vcombine_f32(vget_high_f32(ab.1), vget_high_f32(cd.1)));
        }
    }

    #[inline(always)]
    unsafe fn sum_rows(self, rows: *const f32) -> float32x4_t {
        // SAFETY: four rows of four floats are readable.
        let [a, b, c, d] = unsafe { each!(vdupq_n_f32(0.0); 4, i => self.load(rows.add(i * LANES))) };
        isa!(vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)))
    }

    #[inline(always)]
    fn prefetch<const BEHIND: usize>(self, p: *const u8) {
        // SAFETY: a hint; no address makes it fault.
        unsafe {
            asm!("prfm pldl2keep, [{p}, #{behind}]", p = in(reg) p, behind = const BEHIND, options(nostack, preserves_flags, readonly));
        }
    }
}

/// The arithmetic of FEAT_BF16, by its instructions' names: stable Rust has neither a type nor an intrinsic for it (1.96).
// SAFETY: a token is made only by `new`, whose caller vouches for the CPU; `call_dot` enables exactly what it vouches for.
unsafe impl Bf16Dot for Neon<true> {
    #[inline(always)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Out {
        #[inline(never)]
        #[target_feature(enable = "neon,bf16")]
        fn enabled<O: DotOp>(s: Neon<true>, op: O) -> O::Out {
            op.run(s)
        }
        isa!(enabled(self, op))
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const bf16) -> float32x4_t {
        // SAFETY: four pairs of halves are sixteen bytes.
        unsafe { vld1q_f32(p.cast()) }
    }

    #[inline(always)]
    fn first_of_pairs(self, pairs: float32x4_t) -> float32x4_t {
        isa!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(pairs))))
    }

    #[inline(always)]
    fn second_of_pairs(self, pairs: float32x4_t) -> float32x4_t {
        isa!(vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xFFFF_0000))))
    }

    #[inline(always)]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "nothing is read through it")]
    fn behind(self, sum: float32x4_t, p: *const bf16) -> (float32x4_t, *const bf16) {
        let (mut sum, mut p) = (sum, p);
        // SAFETY: no instruction at all.
        unsafe {
            asm!("/* {0:v} {1} */", inout(vreg) sum, inout(reg) p, options(pure, nomem, nostack, preserves_flags))
        };
        (sum, p)
    }

    #[inline(always)]
    unsafe fn splat_pair(self, p: *const bf16) -> float32x4_t {
        // SAFETY: two halves are four bytes, of any alignment.
        unsafe { vreinterpretq_f32_u32(vdupq_n_u32(p.cast::<u32>().read_unaligned())) }
    }

    #[inline(always)]
    fn splat_half(self, x: bf16) -> float32x4_t {
        isa!(vreinterpretq_f32_u32(vdupq_n_u32(u32::from(x.to_bits()))))
    }

    #[inline(always)]
    fn pair(self, first: float32x4_t, second: float32x4_t) -> float32x4_t {
        isa!(vreinterpretq_f32_u16(vzip1q_u16(narrow_bf16(first), narrow_bf16(second))))
    }

    #[inline(always)]
    unsafe fn load_zipped(self, first: *const bf16, second: *const bf16) -> float32x4_t {
        // SAFETY: four halves are eight bytes.
        unsafe {
            let (first, second) = (vld1_u16(first.cast()), vld1_u16(second.cast()));
            vreinterpretq_f32_u16(vcombine_u16(vzip1_u16(first, second), vzip2_u16(first, second)))
        }
    }

    /// Both products and both sums round to odd, so that each is off by less than twice what rounding to nearest allows.
    #[inline(always)]
    fn dot(self, a: float32x4_t, b: float32x4_t, sum: float32x4_t) -> float32x4_t {
        let mut sum = sum;
        // SAFETY: the token proves that the CPU has the instruction, which is one on registers only.
        unsafe {
            asm!(
                "bfdot {sum:v}.4s, {a:v}.8h, {b:v}.8h",
                sum = inout(vreg) sum,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }

    /// In the first lane, by a load as that of [`Simd::splat_at`].
    #[inline(always)]
    unsafe fn pair_at(self, p: *const bf16, offset: usize) -> float32x4_t {
        // SAFETY: two halves are readable.
        unsafe { vld1q_lane_f32::<0>(p.wrapping_add(opaque(offset)).cast(), vdupq_n_f32(0.0)) }
    }

    #[inline(always)]
    fn dot_by(self, a: float32x4_t, b: float32x4_t, sum: float32x4_t) -> float32x4_t {
        let mut sum = sum;
        // SAFETY: as `dot`.
        unsafe {
            asm!(
                "bfdot {sum:v}.4s, {b:v}.8h, {a:v}.2h[0]",
                sum = inout(vreg) sum,
                b = in(vreg) b,
                a = in(vreg) a,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
}

/// Four floats rounded to the nearest bf16, then zeros.
#[inline(always)]
fn narrow_bf16(a: float32x4_t) -> uint16x8_t {
    let halves: uint16x8_t;
    // SAFETY: only `Neon<true>` calls this; an instruction on registers only.
    unsafe {
        asm!(
            "bfcvtn {halves:v}.4h, {a:v}.4s",
            halves = lateout(vreg) halves,
            a = in(vreg) a,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    halves
}

#[inline(always)]
fn widen_f16(halves: uint16x4_t) -> float32x4_t {
    isa!(vcvt_f32_f16(vreinterpret_f16_u16(halves)))
}

#[inline(always)]
fn widen_bf16(halves: uint16x4_t) -> float32x4_t {
    isa!(vreinterpretq_f32_u32(vshll_n_u16::<16>(halves)))
}

/// The first `n` halves, then zeros.
///
/// # Safety
/// `p` is valid for reading `n` halves; `n <= LANES`.
#[inline(always)]
unsafe fn first_halves(p: *const u16, n: usize) -> uint16x4_t {
    // SAFETY: n halves are readable.
    unsafe {
        let zero = vdup_n_u16(0);
        match n {
            0 => zero,
            1 => vld1_lane_u16::<0>(p, zero),
            2 => first_two(p),
            3 => vld1_lane_u16::<2>(p.add(2), first_two(p)),
            _ => vld1_u16(p),
        }
    }
}

/// Two halves, then zeros.
///
/// # Safety
/// `p` is valid for reading two halves.
#[inline(always)]
unsafe fn first_two(p: *const u16) -> uint16x4_t {
    // SAFETY: four bytes, of any alignment.
    unsafe { vcreate_u16(u64::from(p.cast::<u32>().read_unaligned())) }
}

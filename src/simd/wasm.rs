//! WebAssembly's vectors of 128 bits: four floats in a register. An engine maps them to the CPU's registers, of which x86-64
//! has sixteen; the tile is made for those.
//!
//! There is no fused multiply-add: a product is rounded, then a sum. Where the build has `relaxed-simd`, the engine does what
//! its CPU does best, one rounding or two, and results differ between CPUs.

use core::arch::wasm32::*;

use half::{bf16, f16};

use super::exponent::{DETOUR_BACK, MANTISSA_BITS};
use super::{Op, Simd};

/// Proof that the engine has vectors, which is that this is compiled: the build's target features have them, and an engine
/// without refuses the whole program.
#[derive(Clone, Copy)]
pub(crate) struct Wasm128(());

impl Wasm128 {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self(())
    }
}

// SAFETY: this is compiled only where every engine that accepts the program has its vectors; nothing has to be enabled.
unsafe impl Simd for Wasm128 {
    type F32 = v128;
    /// All bits of a lane set, or none.
    type Mask = v128;

    const LANES: usize = 4;
    const MR: usize = 4;
    const NV: usize = 2;
    const PREFETCH: bool = false;
    const FUSED: bool = false;

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Out {
        op.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    fn iota(self) -> v128 {
        f32x4(0.0, 1.0, 2.0, 3.0)
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn div(self, a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }

    #[inline(always)]
    fn fma(self, a: v128, b: v128, c: v128) -> v128 {
        cfg_select! {
            target_feature = "relaxed-simd" => { f32x4_relaxed_madd(a, b, c) }
            _ => { f32x4_add(f32x4_mul(a, b), c) }
        }
    }

    /// `pmax(x, y)` is `y` where `x < y`, else `x`.
    #[inline(always)]
    fn max(self, a: v128, b: v128) -> v128 {
        f32x4_pmax(b, a)
    }

    #[inline(always)]
    fn min(self, a: v128, b: v128) -> v128 {
        f32x4_pmin(b, a)
    }

    /// In two steps, see [`exponent`](super::exponent).
    #[inline(always)]
    fn scale2(self, a: v128, _n: v128, t: v128) -> v128 {
        self.mul(self.mul(a, i32x4_shl(t, MANTISSA_BITS)), self.splat(DETOUR_BACK))
    }

    #[inline(always)]
    fn lt(self, a: v128, b: v128) -> v128 {
        f32x4_lt(a, b)
    }

    #[inline(always)]
    fn select(self, mask: v128, yes: v128, no: v128) -> v128 {
        v128_bitselect(yes, no, mask)
    }

    #[inline(always)]
    fn any(self, mask: v128) -> bool {
        v128_any_true(mask)
    }

    #[inline(always)]
    fn reduce_add(self, a: v128) -> f32 {
        let two = f32x4_add(a, i32x4_shuffle::<2, 3, 2, 3>(a, a));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }

    #[inline(always)]
    fn reduce_max(self, a: v128) -> f32 {
        let two = self.max(a, i32x4_shuffle::<2, 3, 2, 3>(a, a));
        f32x4_extract_lane::<0>(self.max(two, i32x4_shuffle::<1, 1, 1, 1>(two, two)))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> v128 {
        // SAFETY: the same contract.
        unsafe { v128_load(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> v128 {
        // SAFETY: n floats are readable.
        unsafe {
            match n {
                0 => self.splat(0.0),
                1 => v128_load32_zero(p.cast()),
                2 => v128_load64_zero(p.cast()),
                3 => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
                _ => v128_load(p.cast()),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: v128) {
        // SAFETY: the same contract.
        unsafe { v128_store(p.cast(), a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, a: v128) {
        // SAFETY: n floats are writable.
        unsafe {
            match n {
                0 => {}
                1 => v128_store32_lane::<0>(a, p.cast()),
                2 => v128_store64_lane::<0>(a, p.cast()),
                3 => {
                    v128_store64_lane::<0>(a, p.cast());
                    v128_store32_lane::<2>(a, p.add(2).cast());
                }
                _ => v128_store(p.cast(), a),
            }
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> v128 {
        // SAFETY: four halves are eight bytes.
        widen_f16(unsafe { u32x4_load_extend_u16x4(p.cast()) })
    }

    #[inline(always)]
    unsafe fn load_f16_first(self, p: *const f16, n: usize) -> v128 {
        // SAFETY: the same contract.
        widen_f16(unsafe { first_halves(p.cast(), n) })
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> v128 {
        // SAFETY: four halves are eight bytes.
        u32x4_shl(unsafe { u32x4_load_extend_u16x4(p.cast()) }, 16)
    }

    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const bf16, n: usize) -> v128 {
        // SAFETY: the same contract.
        u32x4_shl(unsafe { first_halves(p.cast(), n) }, 16)
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: four rows of four floats are readable and writable at the strides.
        unsafe {
            let (a, b) = (self.load(src), self.load(src.add(src_stride)));
            let (c, d) = (self.load(src.add(2 * src_stride)), self.load(src.add(3 * src_stride)));
            let (ab01, ab23) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
            let (cd01, cd23) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
            self.store(dst, i64x2_shuffle::<0, 2>(ab01, cd01));
            self.store(dst.add(dst_stride), i64x2_shuffle::<1, 3>(ab01, cd01));
            self.store(dst.add(2 * dst_stride), i64x2_shuffle::<0, 2>(ab23, cd23));
            self.store(dst.add(3 * dst_stride), i64x2_shuffle::<1, 3>(ab23, cd23));
        }
    }

    /// Nothing: there is no way to ask.
    #[inline(always)]
    fn prefetch<const BEHIND: usize>(self, _: *const u8) {}
}

/// Halves, one in each lane, to floats.
///
/// Exponent and mantissa of a half, shifted into the places of a float's, are a float that is 2^-112 times too small: also
/// where the half is subnormal, and then the product makes it a normal number. What is infinite or NaN has 31 for its exponent
/// and needs 255.
#[inline(always)]
fn widen_f16(halves: v128) -> v128 {
    const MANTISSA_SHIFT: u32 = MANTISSA_BITS - 10;
    const NOT_FINITE: u32 = 31 << MANTISSA_BITS;
    let sign = u32x4_shl(v128_and(halves, u32x4_splat(1 << 15)), 16);
    let small = u32x4_shl(v128_and(halves, u32x4_splat((1 << 15) - 1)), MANTISSA_SHIFT);
    let scaled = f32x4_mul(small, f32x4_splat(f32::from_bits((127 + 112) << MANTISSA_BITS)));
    let not_finite = u32x4_ge(small, u32x4_splat(NOT_FINITE));
    let exponent = v128_and(not_finite, u32x4_splat(255 << MANTISSA_BITS));
    v128_or(v128_or(scaled, exponent), sign)
}

/// The first `n` halves, one in each lane, then zeros.
///
/// # Safety
/// `p` is valid for reading `n` halves; `n <= LANES`.
#[inline(always)]
unsafe fn first_halves(p: *const u16, n: usize) -> v128 {
    // SAFETY: n halves are readable.
    let halves = unsafe {
        match n {
            0 => u16x8_splat(0),
            1 => v128_load16_lane::<0>(u16x8_splat(0), p),
            2 => v128_load32_zero(p.cast()),
            3 => v128_load16_lane::<2>(v128_load32_zero(p.cast()), p.add(2)),
            _ => v128_load64_zero(p.cast()),
        }
    };
    u32x4_extend_low_u16x8(halves)
}

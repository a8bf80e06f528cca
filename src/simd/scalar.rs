//! The portable level: an array of four floats in plain Rust.
//!
//! The loops have a constant length and no branches, so that a compiler turns them into vector instructions where the
//! target has any (SSE2 on x86-64).

use half::{bf16, f16};

use super::exponent::{DETOUR_BACK, MANTISSA_BITS};
use super::{Function, Op, Simd};

/// Needs nothing but a CPU.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

const LANES: usize = 4;

/// An array with the value of `$each` for each lane, written out: a loop would stay one where a compiler saves space, and the
/// lanes would go through memory.
macro_rules! lanes {
    ($I:ident => $each:expr) => {
        [
            lanes!(@ 0, $I => $each),
            lanes!(@ 1, $I => $each),
            lanes!(@ 2, $I => $each),
            lanes!(@ 3, $I => $each),
        ]
    };
    (@ $lane:literal, $I:ident => $each:expr) => {{
        const $I: usize = $lane;
        $each
    }};
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    lanes!(I => f(a[I], b[I]))
}

/// `a * 2^n` for `t = n + TO_POWER`, in two steps, see [`exponent`](super::exponent).
#[inline(always)]
fn scale2(a: f32, t: f32) -> f32 {
    let power = t.to_bits() << MANTISSA_BITS;
    a * f32::from_bits(power) * DETOUR_BACK
}

// SAFETY: nothing is needed of the CPU, and nothing has to be enabled.
unsafe impl Simd for Scalar {
    type F32 = [f32; LANES];
    type Mask = [bool; LANES];

    const LANES: usize = LANES;
    const MR: usize = 4;
    const NV: usize = 1;
    const PREFETCH: bool = false;
    const SMALL: bool = true;
    const FUSED: bool = false;

    /// Once for all places that call it.
    #[inline(never)]
    fn call<O: Op>(self, op: O) -> O::Out {
        op.run(self)
    }

    #[inline(always)]
    fn apart<O: Op>(self, op: O) -> O::Out {
        self.call(op)
    }

    #[inline(never)]
    fn apply<F: Function>(self, x: Self::F32) -> Self::F32 {
        F::of(self, x)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x, x, x, x]
    }

    #[inline(always)]
    fn iota(self) -> Self::F32 {
        [0.0, 1.0, 2.0, 3.0]
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a / b)
    }

    /// Two roundings: without the instruction, one rounding takes a slow function.
    #[inline(always)]
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        lanes!(I => a[I] * b[I] + c[I])
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn scale2(self, a: Self::F32, _n: Self::F32, t: Self::F32) -> Self::F32 {
        zip(a, t, scale2)
    }

    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        lanes!(I => a[I] < b[I])
    }

    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32 {
        lanes!(I => if mask[I] { yes[I] } else { no[I] })
    }

    #[inline(always)]
    fn any(self, mask: Self::Mask) -> bool {
        mask[0] | mask[1] | mask[2] | mask[3]
    }

    #[inline(always)]
    fn reduce_add(self, a: Self::F32) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }

    #[inline(always)]
    fn reduce_max(self, a: Self::F32) -> f32 {
        let max = |a: f32, b: f32| if a > b { a } else { b };
        max(max(a[0], a[2]), max(a[1], a[3]))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::F32 {
        // SAFETY: the same contract; an array has the alignment of its element.
        unsafe { p.cast::<Self::F32>().read() }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::F32 {
        // SAFETY: the closure gets i < n.
        first(n, |i| unsafe { p.add(i).read() })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: Self::F32) {
        // SAFETY: the same contract; an array has the alignment of its element.
        unsafe { p.cast::<Self::F32>().write(a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, a: Self::F32) {
        // SAFETY: the same contract.
        unsafe { put_first(p, n, a) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> Self::F32 {
        // SAFETY: the same contract; an array has the alignment of its element.
        let x = unsafe { p.cast::<[f16; LANES]>().read() };
        lanes!(I => widen_f16(x[I]))
    }

    #[inline(always)]
    unsafe fn load_f16_first(self, p: *const f16, n: usize) -> Self::F32 {
        // SAFETY: the closure gets i < n.
        first(n, |i| widen_f16(unsafe { p.add(i).read() }))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> Self::F32 {
        // SAFETY: the same contract; an array has the alignment of its element.
        let x = unsafe { p.cast::<[bf16; LANES]>().read() };
        lanes!(I => widen_bf16(x[I]))
    }

    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const bf16, n: usize) -> Self::F32 {
        // SAFETY: the closure gets i < n.
        first(n, |i| widen_bf16(unsafe { p.add(i).read() }))
    }

    #[inline(always)]
    fn widen_f16(self, x: f16) -> f32 {
        widen_f16(x)
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        for i in 0..LANES {
            // SAFETY: row i of the source is readable.
            let row = unsafe { self.load(src.add(i * src_stride)) };
            // SAFETY: element i of each row of the destination is writable.
            lanes!(J => unsafe { dst.add(J * dst_stride + i).write(row[J]) });
        }
    }

    /// Nothing: there is no portable way to ask.
    #[inline(always)]
    fn prefetch<const BEHIND: usize>(self, _: *const u8) {}
}

/// The first `n` elements of `get`, then zeros. Not inlined: it is rare, and needed in many places.
#[inline(never)]
fn first(n: usize, get: impl Fn(usize) -> f32) -> [f32; LANES] {
    lanes!(I => if I < n { get(I) } else { 0.0 })
}

/// Writes the first `n` elements. Not inlined: as [`first`].
#[inline(never)]
unsafe fn put_first(p: *mut f32, n: usize, a: [f32; LANES]) {
    lanes!(I => if I < n {
        // SAFETY: I < n.
        unsafe { p.add(I).write(a[I]) }
    });
}

/// One shift. `bf16::to_f32` also makes NaNs quiet, with a branch that stops vectorisation.
#[inline(always)]
fn widen_bf16(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// By the FPU of a Cortex-M. Those that have one are the Arm CPUs that pass floats in registers and lack atomics of 64 bits;
/// `target_feature` does not tell on stable Rust, nor does it let the operands be the FPU's registers.
#[cfg(all(target_arch = "arm", target_abi = "eabihf", not(target_has_atomic = "64")))]
#[inline(always)]
fn widen_f16(x: f16) -> f32 {
    let mut bits = u32::from(x.to_bits());
    // SAFETY: arithmetic on registers.
    unsafe {
        core::arch::asm!(
            "vmov s0, {0}",
            "vcvtb.f32.f16 s0, s0",
            "vmov {0}, s0",
            inout(reg) bits,
            out("s0") _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    f32::from_bits(bits)
}

/// By shifts, for CPUs that have no instruction for it; `f16::to_f32` would be a call with more branches.
#[cfg(not(all(target_arch = "arm", target_abi = "eabihf", not(target_has_atomic = "64"))))]
#[inline(always)]
fn widen_f16(x: f16) -> f32 {
    /// 127 - 15, in the place of an f32's exponent.
    const REBIAS: u32 = 112 << MANTISSA_BITS;
    const EXPONENT: u32 = 0x1F << MANTISSA_BITS;
    let bits = u32::from(x.to_bits());
    let (sign, magnitude) = ((bits & 0x8000) << 16, (bits & 0x7FFF) << 13);
    let widened = match magnitude & EXPONENT {
        // Subnormal: 2^-14 less than the normal number with the same mantissa. Exact.
        0 => {
            let lowest = REBIAS + (1 << MANTISSA_BITS);
            (f32::from_bits(magnitude + lowest) - f32::from_bits(lowest)).to_bits()
        }
        // Infinity, or NaN.
        EXPONENT => magnitude + 2 * REBIAS,
        _ => magnitude + REBIAS,
    };
    f32::from_bits(sign | widened)
}

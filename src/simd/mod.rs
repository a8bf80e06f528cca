//! The SIMD contract: one trait of register operations, one token per instruction set.
//!
//! A kernel is an [`Op`]: a value whose `run` is generic over [`Simd`] and always inlined. [`Level::dispatch`] picks the
//! token and enters [`Simd::call`], the only function that carries `#[target_feature]`; everything between it and an
//! intrinsic is `#[inline(always)]`, so the whole kernel is compiled with the instruction set switched on. This directory is
//! the only place that names `core::arch`.
//!
//! | token | CPU | lanes | registers | tile |
//! |---|---|---|---|---|
//! | [`Scalar`] | any | 4 (an array) | - | 4 x 4 |
//! | `Wasm128` | WebAssembly with `simd128` | 4 | 16 or 32, the engine's | 4 x 8 |
//! | `Neon` | AArch64 | 4 | 32 | 8 x 12 |
//! | `Neon<true>` | also FEAT_BF16, for [`Bf16Dot`] | 4 | 32 | 8 x 12 |
//! | [`Avx2`](avx2::Avx2) | AVX2, FMA, F16C | 8 | 16 | 6 x 16 |
//! | [`Avx512`](avx512::Avx512) | AVX-512 F, BW, DQ, VL | 16 | 32 | 8 x 48 |
//! | `Avx512<true>` | also AVX512_BF16, for [`Bf16Dot`] | 16 | 32 | 8 x 48 |
//! | `Amx` | AMX-BF16, for [`Tiles`] alone, beside `Avx512<true>` | - | 8 tiles | 16 x 48 |

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exponent;
mod level;
pub(crate) mod math;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
mod neon;
mod opaque;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use core::sync::atomic::{Ordering, compiler_fence};

use half::{bf16, f16};

use self::opaque::opaque;

/// The widest registers of any level, in floats.
pub(crate) const MAX_LANES: usize = 16;

pub use level::Level;
pub(crate) use scalar::Scalar;

/// An array of `$N` registers (or masks), each the value of `$each` for its index; `$first` is any of their kind.
///
/// What `core::array::from_fn` does, without its closure: a closure that is not inlined loses the instruction set.
macro_rules! each {
    ($first:expr; $N:expr, $i:ident => $each:expr) => {{
        let mut all = [$first; $N];
        let mut $i = 0;
        while $i < $N {
            all[$i] = $each;
            $i += 1;
        }
        all
    }};
}
pub(crate) use each;

/// A computation written once for every instruction set. Implementations of `run` are `#[inline(always)]`.
pub(crate) trait Op {
    type Out;
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// A function of the numbers in a register, written once for every instruction set. Implementations are `#[inline(always)]`.
pub(crate) trait Function {
    fn of<S: Simd>(s: S, x: S::F32) -> S::F32;
}

/// As [`Op`], with the dot product of bf16 pairs.
#[allow(dead_code, reason = "not every architecture has a level with it")]
pub(crate) trait DotOp {
    type Out;
    fn run<S: Bf16Dot>(self, s: S) -> Self::Out;
}

/// As [`Op`], with products of tiles.
#[allow(dead_code, reason = "not every architecture has a level with them")]
pub(crate) trait TileOp {
    type Out;
    fn run<T: Tiles>(self, t: T) -> Self::Out;
}

/// One instruction set: holding a value proves that the CPU has it. All methods are `#[inline(always)]`.
///
/// Arithmetic is IEEE 754 single precision, element by element, rounding to nearest even; NaN goes in, NaN comes out,
/// unless said otherwise. `fma` rounds once where the CPU can ([`Self::FUSED`]) and twice elsewhere.
///
/// # Safety
/// A token must be constructible only where its instruction set is present, and `call` must run the operation with it enabled.
pub(crate) unsafe trait Simd: Copy + Send + Sync + 'static {
    /// A register of [`Self::LANES`] floats.
    type F32: Copy;
    /// One boolean a lane.
    type Mask: Copy;

    /// Floats in a register.
    const LANES: usize;
    /// Rows of the matmul tile. `MR * NV + NV + 1` registers must be free.
    const MR: usize;
    /// Registers across the matmul tile; the tile is `NV * LANES` columns wide.
    const NV: usize;
    /// Whether [`Self::prefetch`] does anything.
    const PREFETCH: bool = true;
    /// Whether code is to be small: the CPU has no vectors, and may have little memory for code. A kernel then has one loop
    /// where it has several, unrolled or for special shapes, elsewhere.
    const SMALL: bool = false;
    /// `fma` rounds once.
    #[cfg_attr(not(test), expect(dead_code))]
    const FUSED: bool;
    /// `scale2` gives 0 for all `n` below its limits, -inf too, whatever `a` and `t` are.
    const SCALES_ALL_BELOW: bool = false;
    /// The powers `2^(i / POWERS)` that [`Self::power`] has at hand, from 1 on; 1 where it has no others.
    const POWERS: usize = 1;
    /// Added to a number, rounds it to a multiple of `1 / POWERS`, ties to even or to odd. What is to be multiplied by that power of two
    /// takes both, the multiple and the sum.
    const TO_POWER: f32 = exponent::TO_POWER;

    /// Runs `op` with the instruction set enabled.
    fn call<O: Op>(self, op: O) -> O::Out;

    /// A part of an operation that several places need: a function of its own where code is to be [small](Self::SMALL),
    /// inlined elsewhere.
    #[inline(always)]
    fn apart<O: Op>(self, op: O) -> O::Out {
        op.run(self)
    }

    /// As [`Self::apart`], of a function of a register.
    #[inline(always)]
    fn apply<F: Function>(self, x: Self::F32) -> Self::F32 {
        F::of(self, x)
    }

    fn splat(self, x: f32) -> Self::F32;
    /// 0.0, 1.0, 2.0, ...
    fn iota(self) -> Self::F32;
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: with a NaN on either side, `b`.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: with a NaN on either side, `b`.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `2^(n - floor(n))` for `t = n + TO_POWER`.
    #[inline(always)]
    fn power(self, _t: Self::F32) -> Self::F32 {
        self.splat(1.0)
    }
    /// `a * 2^floor(n)` for `t = n + TO_POWER`, `n` in -188..=16 and `a` in [0.5, 2], rounded once: underflow gives a subnormal or 0.
    /// NaN where `a` and `n` are.
    fn scale2(self, a: Self::F32, n: Self::F32, t: Self::F32) -> Self::F32;

    /// `a < b`; false where either is NaN.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `yes` where the mask holds, else `no`.
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// Whether any lane of the mask holds.
    fn any(self, mask: Self::Mask) -> bool;

    /// Sum of the lanes, pairwise: halves added together until one is left (lane i with i + LANES/2, and so on).
    fn reduce_add(self, a: Self::F32) -> f32;
    /// Maximum of the lanes by [`Self::max`], in unspecified order.
    fn reduce_max(self, a: Self::F32) -> f32;

    /// # Safety
    /// `p` is valid for reading `LANES` floats. No alignment is needed, here and below, beyond the element's own.
    unsafe fn load(self, p: *const f32) -> Self::F32;
    /// The first `n` floats, then zeros.
    /// # Safety
    /// `p` is valid for reading `n` floats; `n <= LANES`. Nothing beyond them is touched.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::F32;
    /// # Safety
    /// `p` is valid for writing `LANES` floats.
    unsafe fn store(self, p: *mut f32, a: Self::F32);
    /// Writes the first `n` floats.
    /// # Safety
    /// `p` is valid for writing `n` floats; `n <= LANES`. Nothing beyond them is touched.
    unsafe fn store_first(self, p: *mut f32, n: usize, a: Self::F32);
    /// Widens exactly.
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_f16(self, p: *const f16) -> Self::F32;
    /// # Safety
    /// As [`Self::load_first`].
    unsafe fn load_f16_first(self, p: *const f16, n: usize) -> Self::F32;
    /// Widens exactly.
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_bf16(self, p: *const bf16) -> Self::F32;
    /// # Safety
    /// As [`Self::load_first`].
    unsafe fn load_bf16_first(self, p: *const bf16, n: usize) -> Self::F32;

    /// One number, exactly.
    #[inline(always)]
    fn widen_f16(self, x: f16) -> f32 {
        x.to_f32()
    }

    /// The float `offset` floats after `p` in every lane: a factor of a tile, taken from each of its rows at an offset of its own.
    /// # Safety
    /// It is valid for reading.
    #[inline(always)]
    unsafe fn splat_at(self, p: *const f32, offset: usize) -> Self::F32 {
        // SAFETY: the same contract. Wrapping, since the offset may be a negative number.
        self.splat(unsafe { *p.wrapping_add(opaque(offset)) })
    }

    /// Transposes a block of `LANES x LANES`: `dst[j][i] = src[i][j]`, strides in floats.
    /// # Safety
    /// `LANES` rows of `LANES` floats at the given strides are readable at `src` and writable at `dst`, and do not overlap.
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize);

    /// The sum of each of `LANES` rows of `LANES` floats, which lie one after the other: that of row `i` in lane `i`.
    /// # Safety
    /// The rows are valid for reading.
    #[inline(always)]
    unsafe fn sum_rows(self, rows: *const f32) -> Self::F32 {
        let mut columns = [0.0_f32; MAX_LANES * MAX_LANES];
        // SAFETY: both hold `LANES` rows of `LANES`.
        unsafe {
            self.transpose(rows, Self::LANES, columns.as_mut_ptr(), Self::LANES);
            let mut sum = self.load(columns.as_ptr());
            for i in 1..Self::LANES {
                sum = self.add(sum, self.load(columns.as_ptr().add(i * Self::LANES)));
            }
            sum
        }
    }

    /// Asks for the cache line `BEHIND` bytes behind `p` to be brought in (to the second level). `p` may point anywhere.
    fn prefetch<const BEHIND: usize>(self, p: *const u8);
}

/// An instruction set that multiplies pairs of bf16 and adds them to f32.
///
/// A pair stands in a lane, its first half in the lower bits. The sum is that of two multiply-adds, but subnormal numbers
/// count as 0, and whether each of them is rounded, to nearest or to odd, is the CPU's affair.
///
/// # Safety
/// As [`Simd`]; `call_dot` must run the operation with this instruction set enabled.
#[allow(dead_code, reason = "not every architecture has a level with it")]
pub(crate) unsafe trait Bf16Dot: Simd {
    /// Runs `op` with the instruction set enabled.
    fn call_dot<O: DotOp>(self, op: O) -> O::Out;
    /// `LANES` pairs as they are.
    /// # Safety
    /// `p` is valid for reading `2 * LANES` elements.
    unsafe fn load_pairs(self, p: *const bf16) -> Self::F32;
    /// The first half of each pair, widened exactly.
    fn first_of_pairs(self, pairs: Self::F32) -> Self::F32;
    /// The second half of each pair, widened exactly.
    fn second_of_pairs(self, pairs: Self::F32) -> Self::F32;
    /// Both as they are, but the address as if it came from the sum: the compiler loads nothing from it before it has that, and
    /// keeps nothing that has been loaded from there.
    #[inline(always)]
    fn behind(self, sum: Self::F32, p: *const bf16) -> (Self::F32, *const bf16) {
        compiler_fence(Ordering::SeqCst);
        (sum, p)
    }
    /// The same pair in every lane.
    /// # Safety
    /// `p` is valid for reading two elements.
    unsafe fn splat_pair(self, p: *const bf16) -> Self::F32;
    /// In every lane the pair of `x` and 0.
    fn splat_half(self, x: bf16) -> Self::F32;
    /// Pairs of two registers' numbers, rounded to nearest even; subnormal ones may become 0.
    fn pair(self, first: Self::F32, second: Self::F32) -> Self::F32;
    /// Pairs of two rows' elements.
    /// # Safety
    /// Both are valid for reading `LANES` elements.
    unsafe fn load_zipped(self, first: *const bf16, second: *const bf16) -> Self::F32;
    /// `sum + a.0 * b.0 + a.1 * b.1`, lane by lane.
    fn dot(self, a: Self::F32, b: Self::F32, sum: Self::F32) -> Self::F32;
    /// The pair at an offset of `p`, for [`Self::dot_by`] alone: in every lane, or in the first.
    /// # Safety
    /// `p + offset` is valid for reading two elements.
    #[inline(always)]
    unsafe fn pair_at(self, p: *const bf16, offset: usize) -> Self::F32 {
        // SAFETY: the same contract.
        unsafe { self.splat_pair(p.wrapping_add(opaque(offset))) }
    }
    /// [`Self::dot`] with the same pair for every lane, from [`Self::pair_at`], [`Self::splat_pair`] or [`Self::splat_half`].
    #[inline(always)]
    fn dot_by(self, a: Self::F32, b: Self::F32, sum: Self::F32) -> Self::F32 {
        self.dot(a, b, sum)
    }
}

/// An instruction set that multiplies tiles: rows of bf16 by lines of bf16 pairs, sums in f32.
///
/// The even ones of [`Self::STEPS`] steps are summed up from 0, and so are the odd ones; then both sums are added to what
/// there was. Each sum is a chain of multiply-adds that round once, to nearest even; subnormal numbers count as 0.
///
/// # Safety
/// A token must be constructible only where the instruction set is present.
#[allow(dead_code, reason = "not every architecture has a level with them")]
pub(crate) unsafe trait Tiles: Copy + Send + Sync + 'static {
    /// Rows of a tile at most.
    const ROWS: usize;
    /// Steps that are summed up together at most, in pairs.
    const STEPS: usize;

    /// Products of this shape follow. Another shape costs as much as some products.
    fn begin(self, shape: TileShape);
    /// No products follow: without it, the operating system would save tiles whenever it takes the CPU away.
    fn end(self);
    /// `c = a b`, or `c += a b`: the rows of a tile, as many groups of steps by as many registers of 16 columns (`size`), at least one of
    /// each and up to 3 registers.
    ///
    /// # Safety
    /// The shape that has been begun is that of each group. `a` is readable over its rows, `b` over the groups' lines of pairs, `c`
    /// writable over as many rows of the registers.
    unsafe fn multiply(
        self,
        size: [usize; 2],
        a: Rows<*const bf16>,
        b: Rows<*const bf16>,
        c: Rows<*mut f32>,
        add: bool,
    );
}

/// Rows of a tile of A and of sums, and the pairs of steps of each, as many as there are lines of B.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub rows: usize,
    pub pairs: usize,
}

/// Where rows start, and bytes from one to the next.
#[derive(Clone, Copy)]
pub(crate) struct Rows<P> {
    pub ptr: P,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no other architecture here has tiles"))]
    pub stride: usize,
}

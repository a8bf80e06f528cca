//! AVX2 with FMA and F16C: eight floats in a register, sixteen registers.

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::exponent::{DETOUR_BACK, MANTISSA_BITS};
use super::{Op, Simd, each};

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU has AVX2, FMA and F16C, and the operating system saves the ymm registers.
    #[inline(always)]
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

const LANES: usize = 8;
const SHIFT: i32 = MANTISSA_BITS as i32;

/// Intrinsics on registers only: all they ask for is the instruction set.
macro_rules! isa {
    ($intrinsics:expr) => {
        // SAFETY: the method has `self`, a token, which exists only where the CPU has the instruction set.
        unsafe { $intrinsics }
    };
}

// SAFETY: a token is made only by `new`, whose caller vouches for the CPU; `call` enables exactly what it vouches for.
unsafe impl Simd for Avx2 {
    type F32 = __m256;
    /// All bits of a lane set, or none.
    type Mask = __m256;

    const LANES: usize = LANES;
    const MR: usize = 6;
    const NV: usize = 2;
    const FUSED: bool = true;

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Out {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<O: Op>(s: Avx2, op: O) -> O::Out {
            op.run(s)
        }
        isa!(enabled(self, op))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        isa!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    fn iota(self) -> __m256 {
        isa!(_mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        isa!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_min_ps(a, b))
    }

    /// In two steps, see [`exponent`](super::exponent).
    #[inline(always)]
    fn scale2(self, a: __m256, _n: __m256, t: __m256) -> __m256 {
        let power = isa!(_mm256_castsi256_ps(_mm256_slli_epi32::<SHIFT>(_mm256_castps_si256(t))));
        self.mul(self.mul(a, power), self.splat(DETOUR_BACK))
    }

    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        isa!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }

    #[inline(always)]
    fn select(self, mask: __m256, yes: __m256, no: __m256) -> __m256 {
        isa!(_mm256_blendv_ps(no, yes, mask))
    }

    #[inline(always)]
    fn any(self, mask: __m256) -> bool {
        isa!(_mm256_movemask_ps(mask) != 0)
    }

    #[inline(always)]
    fn reduce_add(self, a: __m256) -> f32 {
        isa!({
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        isa!({
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the same contract.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: n <= LANES; lanes that the mask hides are not touched.
        unsafe { _mm256_maskload_ps(p, first_lanes(n)) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: __m256) {
        // SAFETY: the same contract.
        unsafe { _mm256_storeu_ps(p, a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, a: __m256) {
        // SAFETY: n <= LANES; lanes that the mask hides are not touched.
        unsafe { _mm256_maskstore_ps(p, first_lanes(n), a) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> __m256 {
        // SAFETY: eight halves are 16 bytes.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16_first(self, p: *const f16, n: usize) -> __m256 {
        // SAFETY: the same contract.
        unsafe { self.load_f16(first_halves(p.cast(), n).as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> __m256 {
        // SAFETY: eight halves are 16 bytes.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const bf16, n: usize) -> __m256 {
        // SAFETY: the same contract.
        unsafe { self.load_bf16(first_halves(p.cast(), n).as_ptr().cast()) }
    }

    /// The 128-bit halves go to their place as they are loaded; what is left is a 4 x 4 transpose in each half.
    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        for j in [0, 4] {
            // SAFETY: eight rows are readable, here from column j on, and rows j to j + 3 of the destination writable.
            unsafe {
                let src = src.add(j);
                let columns = self.transpose_fours([
                    self.load_fours(src, src_stride),
                    self.load_fours(src.add(src_stride), src_stride),
                    self.load_fours(src.add(2 * src_stride), src_stride),
                    self.load_fours(src.add(3 * src_stride), src_stride),
                ]);
                for (i, column) in columns.iter().enumerate() {
                    self.store(dst.add((j + i) * dst_stride), *column);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn sum_rows(self, rows: *const f32) -> __m256 {
        // SAFETY: eight rows of eight floats are readable.
        let rows = unsafe { each!(_mm256_setzero_ps(); 8, i => self.load(rows.add(i * LANES))) };
        let pairs = each!(rows[0]; 4, i => self.fold::<0xAA>(rows[2 * i], rows[2 * i + 1]));
        let fours = each!(rows[0]; 2, i => self.fold::<0xCC>(pairs[2 * i], pairs[2 * i + 1]));
        self.fold::<0xF0>(fours[0], fours[1])
    }

    #[inline(always)]
    fn prefetch<const BEHIND: usize>(self, p: *const u8) {
        // SAFETY: a hint; no address makes it fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.wrapping_add(BEHIND).cast()) }
    }
}

/// The steps of what is above: methods, not closures, because a closure cannot be `inline(always)`.
impl Avx2 {
    /// Each lane plus the one as far from it as the mask's runs are long: of `b` where the mask holds, else of `a`.
    #[inline(always)]
    fn fold<const MASK: i32>(self, a: __m256, b: __m256) -> __m256 {
        isa!({
            let others = _mm256_blend_ps::<MASK>(b, a);
            let others = match MASK {
                0xAA => _mm256_permute_ps::<0b10_11_00_01>(others),
                0xCC => _mm256_permute_ps::<0b01_00_11_10>(others),
                _ => _mm256_permute2f128_ps::<1>(others, others),
            };
            _mm256_add_ps(_mm256_blend_ps::<MASK>(a, b), others)
        })
    }

    /// Four floats of row 0 and four of row 4.
    ///
    /// # Safety
    /// `p` is valid for reading four floats, and so is the address four rows further.
    #[inline(always)]
    unsafe fn load_fours(self, p: *const f32, stride: usize) -> __m256 {
        // SAFETY: the same contract.
        unsafe { _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p.add(4 * stride))) }
    }

    /// Transposes the 4 x 4 block in each 128-bit part.
    #[inline(always)]
    fn transpose_fours(self, [a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
        isa!({
            let ab01 = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
            let ab23 = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
            let cd01 = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
            let cd23 = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
            [
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab01, cd01)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab01, cd01)),
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab23, cd23)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab23, cd23)),
            ]
        })
    }
}

/// Eight lanes of which the first `n` are set.
///
/// # Safety
/// The CPU has AVX2; `n <= LANES`.
#[inline(always)]
unsafe fn first_lanes(n: usize) -> __m256i {
    /// A window of eight lanes that starts `n` before the middle has `n` lanes set.
    static WINDOW: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: n <= LANES, so the window lies within the table.
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(LANES - n).cast()) }
}

/// The first `n` halves, then zeros. AVX2 masks whole words only, so they are gathered on the stack.
///
/// In pieces of constant size: a copy of variable length is a call to `memcpy`, which makes the caller spill its registers.
///
/// # Safety
/// `p` is valid for reading `n` halves; `n <= LANES`.
#[inline(always)]
unsafe fn first_halves(p: *const u16, n: usize) -> [u16; LANES] {
    let mut halves = [0; LANES];
    // SAFETY: the set bits of n, from the highest, cut the n halves into pieces; each starts where those before it end.
    unsafe {
        copy_piece::<8>(p, n, &mut halves);
        copy_piece::<4>(p, n, &mut halves);
        copy_piece::<2>(p, n, &mut halves);
        copy_piece::<1>(p, n, &mut halves);
    }
    halves
}

/// Copies the `SIZE` halves that the bit `SIZE` of `n` stands for, after those that the higher bits stand for.
///
/// # Safety
/// `p` is valid for reading `n` halves; `n <= LANES`; `SIZE` is a power of two.
#[inline(always)]
unsafe fn copy_piece<const SIZE: usize>(p: *const u16, n: usize, halves: &mut [u16; LANES]) {
    if n & SIZE != 0 {
        let start = n & !(2 * SIZE - 1);
        // SAFETY: start + SIZE <= n <= LANES.
        unsafe { p.add(start).copy_to_nonoverlapping(halves.as_mut_ptr().add(start), SIZE) };
    }
}

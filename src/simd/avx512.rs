//! AVX-512 (F, BW, DQ, VL): sixteen floats in a register, thirty-two registers.

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::avx2::Avx2;
use super::exponent::TO_INTEGER;
use super::{Bf16Dot, DotOp, Op, Simd, each};

/// Proof that the CPU has AVX-512 F, BW, DQ and VL, and AVX2, FMA and F16C; with `BF16`, also AVX512_BF16.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool = false>(());

impl<const BF16: bool> Avx512<BF16> {
    /// # Safety
    /// The CPU has what the type proves, and the operating system saves the zmm registers.
    #[inline(always)]
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }

    /// The smaller set, which this one includes.
    #[inline(always)]
    const fn avx2(self) -> Avx2 {
        // SAFETY: promised to `new`.
        unsafe { Avx2::new() }
    }
}

const LANES: usize = 16;

/// `2^(i / 16)`.
const POWERS: [f32; 16] = [
    1.0,
    f32::from_bits(0x3f85_aac3),
    f32::from_bits(0x3f8b_95c2),
    f32::from_bits(0x3f91_c3d3),
    f32::from_bits(0x3f98_37f0),
    f32::from_bits(0x3f9e_f532),
    f32::from_bits(0x3fa5_fed7),
    f32::from_bits(0x3fad_583f),
    f32::from_bits(0x3fb5_04f3),
    f32::from_bits(0x3fbd_08a4),
    f32::from_bits(0x3fc5_672a),
    f32::from_bits(0x3fce_248c),
    f32::from_bits(0x3fd7_44fd),
    f32::from_bits(0x3fe0_ccdf),
    f32::from_bits(0x3fea_c0c7),
    f32::from_bits(0x3ff5_257d),
];

/// Times this power of two, what is at most 2 rounds to 0.
const VANISHING: f32 = -151.0;

/// Intrinsics on registers only: all they ask for is the instruction set.
macro_rules! isa {
    ($intrinsics:expr) => {
        // SAFETY: the method has `self`, a token, which exists only where the CPU has the instruction set.
        unsafe { $intrinsics }
    };
}

// SAFETY: a token is made only by `new`, whose caller vouches for the CPU; `call` enables exactly what it vouches for.
unsafe impl<const BF16: bool> Simd for Avx512<BF16> {
    type F32 = __m512;
    type Mask = __mmask16;

    const LANES: usize = LANES;
    const MR: usize = 8;
    const NV: usize = 3;
    const FUSED: bool = true;
    const SCALES_ALL_BELOW: bool = true;
    const POWERS: usize = POWERS.len();
    const TO_POWER: f32 = TO_INTEGER / POWERS.len() as f32;

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn enabled<S: Simd, O: Op>(s: S, op: O) -> O::Out {
            op.run(s)
        }
        isa!(enabled(self, op))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        isa!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn iota(self) -> __m512 {
        isa!(_mm512_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        isa!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        isa!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        isa!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        isa!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        isa!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        isa!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        isa!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn power(self, t: __m512) -> __m512 {
        // SAFETY: they fill a register.
        let powers = unsafe { self.load(POWERS.as_ptr()) };
        // Of each index the last four bits count.
        isa!(_mm512_permutexvar_ps(_mm512_castps_si512(t), powers))
    }

    #[inline(always)]
    fn scale2(self, a: __m512, n: __m512, _t: __m512) -> __m512 {
        // Where the result vanishes it is not computed: an underflow takes a Cascade Lake core some 150 cycles.
        isa!(_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(n, self.splat(VANISHING)), a, n))
    }

    #[inline(always)]
    fn lt(self, a: __m512, b: __m512) -> __mmask16 {
        isa!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
        isa!(_mm512_mask_blend_ps(mask, no, yes))
    }

    #[inline(always)]
    fn any(self, mask: __mmask16) -> bool {
        mask != 0
    }

    #[inline(always)]
    fn reduce_add(self, a: __m512) -> f32 {
        let eight = isa!(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)));
        self.avx2().reduce_add(eight)
    }

    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        let eight = isa!(_mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)));
        self.avx2().reduce_max(eight)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the same contract.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: lanes that the mask hides are not touched.
        unsafe { _mm512_maskz_loadu_ps(first_lanes(n), p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: __m512) {
        // SAFETY: the same contract.
        unsafe { _mm512_storeu_ps(p, a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, a: __m512) {
        // SAFETY: lanes that the mask hides are not touched.
        unsafe { _mm512_mask_storeu_ps(p, first_lanes(n), a) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> __m512 {
        // SAFETY: sixteen halves are 32 bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16_first(self, p: *const f16, n: usize) -> __m512 {
        // SAFETY: lanes that the mask hides are not touched.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> __m512 {
        // SAFETY: sixteen halves are 32 bytes.
        self.widen_bf16(unsafe { _mm256_loadu_si256(p.cast()) })
    }

    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const bf16, n: usize) -> __m512 {
        // SAFETY: lanes that the mask hides are not touched.
        self.widen_bf16(unsafe { _mm256_maskz_loadu_epi16(first_lanes(n), p.cast()) })
    }

    /// Eight columns at a time. The 256-bit halves go to their place as they are loaded; a 4 x 4 transpose in each 128-bit
    /// quarter and an exchange of quarters between the upper and the lower rows are left.
    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        for j in [0, 8] {
            // SAFETY: sixteen rows are readable, here from column j on, and rows j to j + 7 of the destination writable.
            unsafe {
                let src = src.add(j);
                let dst = dst.add(j * dst_stride);
                let upper = self.transpose_fours(self.load_rows(src, src_stride));
                let lower = self.transpose_fours(self.load_rows(src.add(4 * src_stride), src_stride));
                for (i, (upper, lower)) in upper.iter().zip(&lower).enumerate() {
                    let [left, right] = self.exchange_quarters(*upper, *lower);
                    self.store(dst.add(i * dst_stride), left);
                    self.store(dst.add((i + 4) * dst_stride), right);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn sum_rows(self, rows: *const f32) -> __m512 {
        // SAFETY: sixteen rows of sixteen floats are readable.
        let rows = unsafe { each!(_mm512_setzero_ps(); 16, i => self.load(rows.add(i * LANES))) };
        let pairs = each!(rows[0]; 8, i => self.fold::<0xAAAA>(rows[2 * i], rows[2 * i + 1]));
        let fours = each!(rows[0]; 4, i => self.fold::<0xCCCC>(pairs[2 * i], pairs[2 * i + 1]));
        let eights = each!(rows[0]; 2, i => self.fold::<0xF0F0>(fours[2 * i], fours[2 * i + 1]));
        self.fold::<0xFF00>(eights[0], eights[1])
    }

    #[inline(always)]
    fn prefetch<const BEHIND: usize>(self, p: *const u8) {
        self.avx2().prefetch::<BEHIND>(p);
    }
}

// SAFETY: a token is made only by `new`, whose caller vouches for the CPU; `call_dot` enables exactly what it vouches for.
unsafe impl Bf16Dot for Avx512<true> {
    #[inline(always)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
        fn enabled<O: DotOp>(s: Avx512<true>, op: O) -> O::Out {
            op.run(s)
        }
        isa!(enabled(self, op))
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const bf16) -> __m512 {
        // SAFETY: sixteen pairs of halves are 64 bytes.
        unsafe { _mm512_loadu_ps(p.cast()) }
    }

    #[inline(always)]
    fn first_of_pairs(self, pairs: __m512) -> __m512 {
        isa!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(pairs))))
    }

    #[inline(always)]
    fn second_of_pairs(self, pairs: __m512) -> __m512 {
        isa!(_mm512_and_ps(pairs, _mm512_castsi512_ps(_mm512_set1_epi32(0xFFFF_0000_u32 as i32))))
    }

    #[inline(always)]
    unsafe fn splat_pair(self, p: *const bf16) -> __m512 {
        // SAFETY: two halves are four bytes, of any alignment.
        unsafe { _mm512_castsi512_ps(_mm512_set1_epi32(p.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    fn splat_half(self, x: bf16) -> __m512 {
        isa!(_mm512_castsi512_ps(_mm512_set1_epi32(i32::from(x.to_bits()))))
    }

    #[inline(always)]
    fn pair(self, first: __m512, second: __m512) -> __m512 {
        // Sixteen of `first`, then as many of `second`: one of each by turns.
        const BY_TURNS: [u32; LANES] = {
            let mut lanes = [0; LANES];
            let mut i = 0;
            while i < LANES {
                lanes[i] = (i | (LANES + i) << 16) as u32;
                i += 1;
            }
            lanes
        };
        // SAFETY: the array has 64 bytes.
        let by_turns = unsafe { _mm512_loadu_si512(BY_TURNS.as_ptr().cast()) };
        isa!(_mm512_castsi512_ps(_mm512_permutexvar_epi16(by_turns, as_bits(_mm512_cvtne2ps_pbh(second, first)))))
    }

    #[inline(always)]
    unsafe fn load_zipped(self, first: *const bf16, second: *const bf16) -> __m512 {
        // SAFETY: sixteen halves are 32 bytes.
        unsafe {
            let first = _mm512_castsi256_si512(_mm256_loadu_si256(first.cast()));
            let second = _mm512_castsi256_si512(_mm256_loadu_si256(second.cast()));
            _mm512_castsi512_ps(_mm512_permutex2var_epi16(first, ZIPPED, second))
        }
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        isa!(_mm512_dpbf16_ps(sum, as_halves(a), as_halves(b)))
    }
}

/// An element of the first register and one of the second in turn: bit 5 of an index says which.
const ZIPPED: __m512i = {
    let mut index = [0_u16; 2 * LANES];
    let mut i = 0;
    while i < LANES {
        index[2 * i] = i as u16;
        index[2 * i + 1] = (2 * LANES + i) as u16;
        i += 1;
    }
    // SAFETY: both types are 64 bytes of plain bits.
    unsafe { core::mem::transmute(index) }
};

/// Thirty-two halves as the bits they are.
#[inline(always)]
const fn as_bits(a: __m512bh) -> __m512i {
    // SAFETY: both types are 64 bytes of plain bits.
    unsafe { core::mem::transmute(a) }
}

/// The same bits as thirty-two halves.
#[inline(always)]
const fn as_halves(a: __m512) -> __m512bh {
    // SAFETY: both types are 64 bytes of plain bits.
    unsafe { core::mem::transmute(a) }
}

/// The steps of what is above: methods, not closures, because a closure cannot be `inline(always)`.
impl<const BF16: bool> Avx512<BF16> {
    #[inline(always)]
    fn widen_bf16(self, halves: __m256i) -> __m512 {
        isa!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))))
    }

    /// Each lane plus the one as far from it as the mask's runs are long: of `b` where the mask holds, else of `a`.
    #[inline(always)]
    fn fold<const MASK: u16>(self, a: __m512, b: __m512) -> __m512 {
        isa!({
            let others = _mm512_mask_blend_ps(MASK, b, a);
            let others = match MASK {
                0xAAAA => _mm512_permute_ps::<0b10_11_00_01>(others),
                0xCCCC => _mm512_permute_ps::<0b01_00_11_10>(others),
                0xF0F0 => _mm512_shuffle_f32x4::<0b10_11_00_01>(others, others),
                _ => _mm512_shuffle_f32x4::<0b01_00_11_10>(others, others),
            };
            _mm512_add_ps(_mm512_mask_blend_ps(MASK, a, b), others)
        })
    }

    /// Rows 0 to 3, eight floats each, with rows 8 to 11 in the upper halves.
    ///
    /// # Safety
    /// `p` is valid for reading eight floats, and so are the addresses 1, 2, 3 and 8, 9, 10, 11 rows further.
    #[inline(always)]
    unsafe fn load_rows(self, p: *const f32, stride: usize) -> [__m512; 4] {
        // SAFETY: the same contract.
        unsafe {
            [
                self.load_eights(p, p.add(8 * stride)),
                self.load_eights(p.add(stride), p.add(9 * stride)),
                self.load_eights(p.add(2 * stride), p.add(10 * stride)),
                self.load_eights(p.add(3 * stride), p.add(11 * stride)),
            ]
        }
    }

    /// # Safety
    /// `lower` and `upper` are valid for reading eight floats.
    #[inline(always)]
    unsafe fn load_eights(self, lower: *const f32, upper: *const f32) -> __m512 {
        // SAFETY: the same contract.
        unsafe { _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm256_loadu_ps(lower)), _mm256_loadu_ps(upper)) }
    }

    /// From quarters `a0 a1 a2 a3` and `b0 b1 b2 b3`: `a0 b0 a2 b2` and `a1 b1 a3 b3`.
    #[inline(always)]
    fn exchange_quarters(self, a: __m512, b: __m512) -> [__m512; 2] {
        isa!({
            // Lanes of `b` count from 16.
            let even = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
            let odd = _mm512_setr_epi32(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
            [_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b)]
        })
    }

    /// Transposes the 4 x 4 block in each 128-bit part.
    #[inline(always)]
    fn transpose_fours(self, [a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        isa!({
            let ab01 = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
            let ab23 = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
            let cd01 = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
            let cd23 = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
            [
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab01, cd01)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab01, cd01)),
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab23, cd23)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab23, cd23)),
            ]
        })
    }
}

/// The mask of the first `n` lanes; `n <= LANES`.
#[inline(always)]
const fn first_lanes(n: usize) -> __mmask16 {
    ((1_u32 << n) - 1) as __mmask16
}

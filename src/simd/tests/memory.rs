//! Loads, stores, widening and transposition: the right values, and nothing touched beside them.

use super::dot::every_dot;
use super::*;

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
#[path = "../../../tests/common/island.rs"]
mod island;

/// No load, sum or widening gives this value by chance.
const GUARD: f32 = 1.234_567_9e-33;
const MARGIN: usize = 20;

every_level! {
    fn loads_at_every_length_and_offset<S>(s) {
        let buffer: Vec<f32> = (0..64).map(|i| i as f32 + 0.25).collect();
        for offset in 0..20 {
            let values = &buffer[offset..];
            // SAFETY: 44 floats are left at least.
            let whole = get(s, unsafe { s.load(values.as_ptr()) });
            assert_same(s, "load", &whole, &values[..S::LANES]);
            for n in 0..=S::LANES {
                // SAFETY: 44 floats are left at least.
                let first = get(s, unsafe { s.load_first(values.as_ptr(), n) });
                assert_same(s, "load_first", &first[..n], &values[..n]);
                assert_same(s, "load_first, the rest", &first[n..], &vec![0.0; S::LANES - n]);
            }
        }
    }
}

every_level! {
    fn stores_at_every_length_and_offset<S>(s) {
        let values: Vec<f32> = (0..S::LANES).map(|i| i as f32 + 0.25).collect();
        for offset in 0..MARGIN {
            for n in 0..=S::LANES {
                let mut buffer = vec![GUARD; offset + S::LANES + MARGIN];
                let mut expected = buffer.clone();
                expected[offset..offset + n].copy_from_slice(&values[..n]);
                // SAFETY: there is a margin after the lanes.
                unsafe { s.store_first(buffer.as_mut_ptr().add(offset), n, set(s, &values)) };
                assert_same(s, "store_first", &buffer, &expected);
            }
            let mut buffer = vec![GUARD; offset + S::LANES + MARGIN];
            let mut expected = buffer.clone();
            expected[offset..offset + S::LANES].copy_from_slice(&values);
            // SAFETY: there is a margin after the lanes.
            unsafe { s.store(buffer.as_mut_ptr().add(offset), set(s, &values)) };
            assert_same(s, "store", &buffer, &expected);
        }
    }
}

/// Binary16 by its definition: sign, five bits of exponent, ten of mantissa.
fn exact_f16(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => mantissa * (-24_f32).exp2(),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + mantissa) * ((exponent - 25) as f32).exp2(),
    }
}

every_level! {
    fn widens_every_f16<S>(s) {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        for halves in halves.chunks_exact(S::LANES) {
            // SAFETY: a chunk has the length.
            let got = get(s, unsafe { s.load_f16(halves.as_ptr()) });
            let expected: Vec<f32> = halves.iter().map(|h| exact_f16(h.to_bits())).collect();
            assert_same(s, "load_f16", &got, &expected);
        }
    }
}

every_level! {
    fn widens_every_bf16<S>(s) {
        let halves: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        for halves in halves.chunks_exact(S::LANES) {
            // SAFETY: a chunk has the length.
            let got = get(s, unsafe { s.load_bf16(halves.as_ptr()) });
            let expected: Vec<f32> = halves.iter().map(|h| f32::from_bits(u32::from(h.to_bits()) << 16)).collect();
            assert_same(s, "load_bf16", &got, &expected);
        }
    }
}

every_dot! {
    /// Every pattern stands once in either place of a pair, beside another one.
    fn widens_every_bf16_of_pairs<S>(s) {
        let widen = |bits: u16| f32::from_bits(u32::from(bits) << 16);
        let partner = |bits: u16| bits.wrapping_mul(40_503).wrapping_add(1);
        for start in (0..=u16::MAX).step_by(S::LANES) {
            let bits: Vec<u16> = (start..=start + (S::LANES - 1) as u16).collect();
            for [first, second] in [[(|x| x) as fn(u16) -> u16, partner], [partner, |x| x]] {
                let pairs: Vec<bf16> = bits.iter().flat_map(|&x| [first(x), second(x)].map(bf16::from_bits)).collect();
                // Also from an odd element on.
                let mut shifted = vec![bf16::NAN];
                shifted.extend(&pairs);
                for p in [pairs.as_ptr(), shifted[1..].as_ptr()] {
                    // SAFETY: there are as many pairs as lanes.
                    let loaded = unsafe { s.load_pairs(p) };
                    let (firsts, seconds) = (s.first_of_pairs(loaded), s.second_of_pairs(loaded));
                    let expected: Vec<f32> = bits.iter().map(|&x| widen(first(x))).collect();
                    assert_same(s, "first_of_pairs", &get(s, firsts), &expected);
                    let expected: Vec<f32> = bits.iter().map(|&x| widen(second(x))).collect();
                    assert_same(s, "second_of_pairs", &get(s, seconds), &expected);
                }
            }
        }
    }
}

every_level! {
    fn half_loads_at_every_length_and_offset<S>(s) {
        // Every bit pattern goes through the tails too.
        for start in (0..=u16::MAX).step_by(41) {
            let bits: Vec<u16> = (0..32).map(|i| start.wrapping_add(i * 2053)).collect();
            let f16s: Vec<f16> = bits.iter().map(|&b| f16::from_bits(b)).collect();
            let bf16s: Vec<bf16> = bits.iter().map(|&b| bf16::from_bits(b)).collect();
            let offset = usize::from(start) % 16;
            for n in 0..=S::LANES {
                let expected = |widen: fn(u16) -> f32| -> Vec<f32> {
                    (0..S::LANES).map(|i| if i < n { widen(bits[offset + i]) } else { 0.0 }).collect()
                };
                // SAFETY: 17 halves are left at least.
                let got = get(s, unsafe { s.load_f16_first(f16s.as_ptr().add(offset), n) });
                assert_same(s, "load_f16_first", &got, &expected(exact_f16));
                // SAFETY: 17 halves are left at least.
                let got = get(s, unsafe { s.load_bf16_first(bf16s.as_ptr().add(offset), n) });
                assert_same(s, "load_bf16_first", &got, &expected(|bits| f32::from_bits(u32::from(bits) << 16)));
            }
        }
    }
}

every_level! {
    fn transposes_and_leaves_the_gaps<S>(s) {
        let n = S::LANES;
        for (src_stride, dst_stride, offset) in [(n, n, 0), (n + 1, n, 1), (n, n + 5, 3), (3 * n, 2 * n + 1, 2)] {
            let src: Vec<f32> = (0..offset + n * src_stride).map(|i| i as f32).collect();
            let mut dst = vec![GUARD; offset + n * dst_stride + MARGIN];
            let mut expected = dst.clone();
            for i in 0..n {
                for j in 0..n {
                    expected[offset + j * dst_stride + i] = src[offset + i * src_stride + j];
                }
            }
            let (from, to) = (src[offset..].as_ptr(), dst[offset..].as_mut_ptr());
            // SAFETY: n rows of n floats lie in both, at their strides.
            unsafe { s.transpose(from, src_stride, to, dst_stride) };
            assert_same(s, "transpose", &dst, &expected);
        }
    }
}

every_level! {
    fn sums_each_row<S>(s) {
        let n = S::LANES;
        for offset in [0, 1, 3] {
            // Small integers: every order of adding gives the same.
            let rows: Vec<f32> = (0..offset + n * n).map(|i| (i * i % 97) as f32).collect();
            let expected: Vec<f32> = rows[offset..].chunks(n).map(|row| row.iter().sum()).collect();
            // SAFETY: n rows of n floats.
            let got = get(s, unsafe { s.sum_rows(rows[offset..].as_ptr()) });
            assert_same(s, "sum_rows", &got, &expected);
        }
    }
}

every_level! {
    fn prefetch_takes_any_address<S>(s) {
        let value = 1_u8;
        for p in [&raw const value, core::ptr::null(), core::ptr::without_provenance(usize::MAX)] {
            s.prefetch::<0>(p);
            s.prefetch::<64>(p);
        }
    }
}

/// Loads and tails that end where readable memory ends: one byte too far and the process dies.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod edge {
    use super::island::Island;
    use super::*;

    every_level! {
        fn whole_loads_stay_inside<S>(s) {
            let island = Island::new(0);
            for p in island.edges::<f16>(S::LANES) {
                // SAFETY: a register of halves lies in the open page.
                let (f16s, bf16s) = unsafe { (s.load_f16(p), s.load_bf16(p.cast())) };
                assert_same(s, "zeros", &get(s, s.add(f16s, bf16s)), &vec![0.0; S::LANES]);
            }
        }
    }

    every_dot! {
        fn pairs_stay_inside<S>(s) {
            let island = Island::new(0);
            for p in island.edges::<bf16>(2 * S::LANES) {
                // SAFETY: as many pairs as lanes lie in the open page.
                assert_same(s, "zeros", &get(s, unsafe { s.load_pairs(p) }), &vec![0.0; S::LANES]);
            }
            for p in island.edges::<bf16>(2) {
                // SAFETY: a pair lies in the open page.
                assert_same(s, "zeros", &get(s, unsafe { s.splat_pair(p) }), &vec![0.0; S::LANES]);
            }
        }
    }

    every_level! {
        fn tails_stay_inside<S>(s) {
            let island = Island::new(0);
            for n in 0..=S::LANES {
                for p in island.edges::<f32>(n) {
                    // SAFETY: n floats lie in the open page.
                    unsafe { s.store_first(p, n, s.load_first(p, n)) };
                }
                for p in island.edges::<f16>(n) {
                    // SAFETY: n halves lie in the open page.
                    let (f16s, bf16s) = unsafe { (s.load_f16_first(p, n), s.load_bf16_first(p.cast(), n)) };
                    assert_same(s, "zeros", &get(s, s.add(f16s, bf16s)), &vec![0.0; S::LANES]);
                }
            }
        }
    }
}

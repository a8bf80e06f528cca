//! The machine's roofs: loops that do nothing but multiply-add, or nothing but read.

use core::hint::black_box;

use crate::kernel::ahead::{BEFORE, FAR};
use crate::kernel::map::registers;
use crate::simd::{Op, Simd};

/// Chains of multiply-adds side by side: more than latency times issue width on any CPU so far (Zen 5: 4 x 2), and few enough
/// for 16 registers.
const CHAINS: usize = 12;

/// `steps` multiply-adds on each of [`CHAINS`] registers; the floating-point operations done.
pub(crate) struct MultiplyAdd {
    pub steps: u64,
}

impl Op for MultiplyAdd {
    type Out = u64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        // Factors near 1 keep every chain among normal numbers.
        let (factor, term) = (s.splat(black_box(0.999_9)), s.splat(black_box(0.000_1)));
        let mut chains = [s.splat(black_box(0.5)); CHAINS];
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = s.fma(*chain, factor, term);
            }
        }
        for chain in chains {
            black_box(s.reduce_add(chain));
        }
        self.steps * (2 * CHAINS * S::LANES) as u64
    }
}

/// Reads all of `data`.
pub(crate) struct Read<'a> {
    pub data: &'a [f32],
}

impl Op for Read<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if size_of_val(self.data) < FAR {
            return self.streams::<S, 1>(s);
        }
        // In a single stream a core waits at the end of each page until the hardware's prefetchers have seen some of the next.
        self.streams::<S, 4>(s);
    }
}

impl Read<'_> {
    /// As `N` streams side by side, which ask for what comes next if they are several.
    #[inline(always)]
    fn streams<S: Simd, const N: usize>(&self, s: S) {
        let mut sums = [s.splat(0.0); CHAINS];
        let at_once = CHAINS / N * S::LANES;
        let part = self.data.len() / N / at_once * at_once;
        let (parts, rest) = self.data.split_at(N * part);
        for at in (0..part).step_by(at_once) {
            for (stream, sums) in sums.chunks_exact_mut(CHAINS / N).enumerate() {
                for (i, sum) in sums.iter_mut().enumerate() {
                    let from = parts.as_ptr().wrapping_add(stream * part + at + i * S::LANES);
                    if N > 1 {
                        s.prefetch::<BEFORE>(from.cast());
                    }
                    // SAFETY: `at_once` more are left of each part.
                    *sum = s.add(*sum, unsafe { s.load(from) });
                }
            }
        }
        for (at, n) in registers::<S>(rest.len()) {
            // SAFETY: `at + n` is at most the length.
            sums[0] = s.add(sums[0], unsafe { s.load_first(rest.as_ptr().add(at), n) });
        }
        for sum in sums {
            black_box(s.reduce_add(sum));
        }
    }
}

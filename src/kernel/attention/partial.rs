//! What few queries have seen of some keys, and what becomes of several such parts.

use core::ops::Range;

use super::block::Block;
use super::queries::{MAX, SUM};
use super::rows::{Rows, most_pairs, rows_len};
use crate::kernel::softmax::finite_max;
use crate::scratch::some;
use crate::simd::{MAX_LANES, Simd, math};

/// What a block leaves when it has seen some of its keys.
#[derive(Clone, Copy)]
pub(crate) struct Partial {
    /// The output, not yet divided, as long as [`rows_len`] says.
    pub output: *mut f32,
    /// A register of maxima and one of sums.
    pub state: *mut f32,
}

impl Partial {
    /// Floats of one, for values of `dv` dimensions.
    pub const fn len(dv: usize, lanes: usize) -> Option<usize> {
        some!(rows_len(dv, lanes)).checked_add(2 * lanes)
    }

    /// In memory as long as [`len`](Self::len) says.
    pub fn at(memory: *mut f32, lanes: usize) -> Self {
        Self { output: memory.wrapping_add(2 * lanes), state: memory }
    }
}

impl<S: Simd> Block<'_, S> {
    #[inline(always)]
    fn as_partial(&self) -> Partial {
        const { assert!(MAX == 0 && SUM == 1) };
        Partial { output: self.buffers.output, state: self.buffers.state }
    }

    /// Part `i` of the keys, from nothing.
    #[inline(always)]
    pub unsafe fn part(&self, i: usize, keys: Range<usize>) {
        // SAFETY: see `Queries`.
        unsafe {
            self.start::<Rows>(i == 0);
            self.walk::<Rows>(keys);
        }
    }

    /// Makes `partial` what this block has seen.
    #[inline(always)]
    pub unsafe fn save(&self, partial: Partial) {
        // SAFETY: both are as long as `Partial::len` says.
        unsafe { copy(self.s, self.head.heads.dv, self.as_partial(), partial) }
    }

    /// As if this block had seen what `partial` has.
    #[inline(always)]
    pub unsafe fn restore(&self, partial: Partial) {
        // SAFETY: both are as long as `Partial::len` says.
        unsafe { copy(self.s, self.head.heads.dv, partial, self.as_partial()) }
    }

    /// What this block and another have seen, in this one.
    #[inline(always)]
    pub unsafe fn merge(&self, other: Partial) {
        let (s, stride) = (self.s, self.head.heads.dv.next_multiple_of(S::LANES));
        let this = self.as_partial();
        // SAFETY: both are as long as `Partial::len` says.
        unsafe {
            let (max, sum) = (s.load(this.state), s.load(this.state.add(S::LANES)));
            let (other_max, other_sum) = (s.load(other.state), s.load(other.state.add(S::LANES)));
            let new = s.max(max, other_max);
            let finite = finite_max(s, new);
            let [factor, other_factor] = math::exp2_bounded(s, [s.sub(max, finite), s.sub(other_max, finite)]);
            s.store(this.state, new);
            s.store(this.state.add(S::LANES), s.fma(sum, factor, s.mul(other_sum, other_factor)));
            let mut factors = [[0.0_f32; MAX_LANES]; 2];
            s.store(factors[0].as_mut_ptr(), factor);
            s.store(factors[1].as_mut_ptr(), other_factor);
            for (row, (&factor, &other_factor)) in factors[0].iter().zip(&factors[1]).enumerate().take(self.pairs.len())
            {
                let [factor, other_factor] = [s.splat(factor), s.splat(other_factor)];
                for at in (row * stride..(row + 1) * stride).step_by(S::LANES) {
                    let x = s.mul(s.load(other.output.add(at)), other_factor);
                    s.store(this.output.add(at), s.fma(s.load(this.output.add(at)), factor, x));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn copy<S: Simd>(s: S, dv: usize, from: Partial, to: Partial) {
    let rows = most_pairs(S::LANES) * dv.next_multiple_of(S::LANES);
    // SAFETY: both are as long as `Partial::len` says.
    unsafe {
        for at in (0..rows).step_by(S::LANES) {
            s.store(to.output.add(at), s.load(from.output.add(at)));
        }
        for at in [0, S::LANES] {
            s.store(to.state.add(at), s.load(from.state.add(at)));
        }
    }
}

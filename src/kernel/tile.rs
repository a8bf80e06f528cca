//! The tile: the inner loop of matmul and of both products of attention.
//!
//! `MR` rows of A stand in memory at any strides, one element broadcast at a time; B is a panel, `k` lines of `NV` registers
//! one after the other. Each step of `k` costs `NV` loads, `MR` broadcasts and `MR * NV` fused multiply-adds into
//! accumulators that never leave the registers. Every element of the result is one chain of multiply-adds in the order of
//! `k`: its bits do not depend on the number of rows, nor on where in the tile the element lies.

use core::marker::PhantomData;

use half::bf16;

use crate::element::Load;
use crate::kernel::ahead::Asks;
use crate::kernel::{Strided, each};
use crate::simd::{Bf16Dot, Simd};

/// What a step of the tile makes of elements of A and lines of a panel.
pub(crate) trait Terms<S: Simd> {
    /// Element of A.
    type A: Copy;
    /// Element of the panel.
    type B: Copy;

    /// Steps taken at a time, 1 or 2.
    const STEPS: usize;

    /// The next `steps` steps of `k`: [`Self::STEPS`], or what is left of them at the end.
    ///
    /// # Safety
    /// `a` is readable over `MR x steps`, `b` for [`Self::STEPS`] lines of `NV` registers.
    unsafe fn step<const MR: usize, const NV: usize>(
        s: S,
        acc: &mut Accumulators<S, MR, NV>,
        a: Strided<Self::A>,
        b: *const Self::B,
        steps: usize,
    );
}

/// Where a tile finds its lines of B.
#[derive(Clone, Copy)]
pub(crate) struct Lines<B> {
    pub ptr: *const B,
    /// Elements from one step of `k` to the next: those of a panel, or of more if the tile is narrower than its panel.
    pub step: usize,
    /// Elements from a panel to the one beside it.
    pub panel: usize,
}

impl<B> Lines<B> {
    /// Where those of the `j`-th panel begin.
    #[inline(always)]
    pub fn panel(&self, j: usize) -> *const B {
        self.ptr.wrapping_add(j * self.panel)
    }
}

/// The sums of a tile.
pub(crate) type Accumulators<S, const MR: usize, const NV: usize> = [[<S as Simd>::F32; NV]; MR];

/// `acc` plus `MR x k` of A times `k x (NV * LANES)` of B.
///
/// # Safety
/// `a` is readable over `MR x k`, `b` for `k` lines of `NV * LANES` elements.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, T: Terms<S>, A: Asks, const MR: usize, const NV: usize>(
    s: S,
    acc: Accumulators<S, MR, NV>,
    k: usize,
    a: Strided<T::A>,
    b: Lines<T::B>,
    ahead: &mut A,
) -> Accumulators<S, MR, NV> {
    // SAFETY: the same contract.
    let [acc] = unsafe { tiles_abreast::<S, T, A, MR, NV, 1>(s, [acc], k, a, b, ahead) };
    acc
}

/// As [`tile`], over `P` panels at once.
///
/// # Safety
/// As [`tile`], for each panel.
#[inline(always)]
pub(crate) unsafe fn tiles_abreast<S: Simd, T: Terms<S>, A: Asks, const MR: usize, const NV: usize, const P: usize>(
    s: S,
    mut acc: [Accumulators<S, MR, NV>; P],
    k: usize,
    a: Strided<T::A>,
    b: Lines<T::B>,
    ahead: &mut A,
) -> [Accumulators<S, MR, NV>; P] {
    let mut lines = b;
    let by = T::STEPS * b.step;
    let mut a = a;
    let asks = S::PREFETCH && A::AT_STEPS;
    let mut whole = k / T::STEPS;
    while whole > 0 {
        let mut turns = if asks { ahead.turns(T::STEPS, whole) } else { whole };
        whole -= turns;
        // Counted down by hand: of a range, a compiler for Cortex-M4F makes an instruction more a turn.
        while turns > 0 {
            for (j, acc) in acc.iter_mut().enumerate() {
                // SAFETY: at least as many steps are left.
                unsafe { T::step(s, acc, a, lines.panel(j), T::STEPS) };
            }
            if asks {
                ahead.at_steps(s, T::STEPS, lines);
            }
            (a, lines.ptr) = (a.at(0, T::STEPS), lines.ptr.wrapping_add(by));
            turns -= 1;
        }
    }
    let left = k % T::STEPS;
    // Behind the loop: a condition inside it costs registers, and there are none left.
    if left > 0 {
        for (j, acc) in acc.iter_mut().enumerate() {
            // SAFETY: as many steps are left; a panel has whole groups of lines.
            unsafe { T::step(s, acc, a, lines.panel(j), left) };
        }
    }
    acc
}

/// Multiply-adds in f32, the panel widened as it is loaded.
pub(crate) struct MultiplyAdd<E>(PhantomData<E>);

impl<S: Simd, E: Load> Terms<S> for MultiplyAdd<E> {
    type A = f32;
    type B = E;
    const STEPS: usize = 1;

    #[inline(always)]
    unsafe fn step<const MR: usize, const NV: usize>(
        s: S,
        acc: &mut Accumulators<S, MR, NV>,
        a: Strided,
        b: *const E,
        _steps: usize,
    ) {
        // SAFETY: the line has NV registers, and the column MR elements.
        unsafe { multiply_add(s, acc, a, each!(s.splat(0.0); NV, j => E::load(s, b.add(j * S::LANES)))) }
    }
}

/// Multiply-adds in f32, the panel one of bf16 pairs.
pub(crate) struct MultiplyAddPairs;

impl<S: Bf16Dot> Terms<S> for MultiplyAddPairs {
    type A = f32;
    type B = bf16;
    const STEPS: usize = 2;

    #[inline(always)]
    unsafe fn step<const MR: usize, const NV: usize>(
        s: S,
        acc: &mut Accumulators<S, MR, NV>,
        a: Strided,
        b: *const bf16,
        steps: usize,
    ) {
        // SAFETY: the line has NV registers, and `steps` columns MR elements each.
        unsafe {
            let at = |j: usize| 2 * j * S::LANES;
            multiply_add(s, acc, a, each!(s.splat(0.0); NV, j => s.first_of_pairs(s.load_pairs(b.add(at(j))))));
            if steps == 2 {
                // The pairs are loaded again, not kept: there is no register for them.
                let mut b = b;
                for sum in acc.as_flattened_mut() {
                    (*sum, b) = s.behind(*sum, b);
                }
                let line = each!(s.splat(0.0); NV, j => s.second_of_pairs(s.load_pairs(b.add(at(j)))));
                multiply_add(s, acc, a.at(0, 1), line);
            }
        }
    }
}

/// Dot products of bf16 pairs: two steps in one instruction, where the CPU has it.
pub(crate) struct Dot;

impl<S: Bf16Dot> Terms<S> for Dot {
    type A = bf16;
    type B = bf16;
    const STEPS: usize = 2;

    #[inline(always)]
    unsafe fn step<const MR: usize, const NV: usize>(
        s: S,
        acc: &mut Accumulators<S, MR, NV>,
        a: Strided<bf16>,
        b: *const bf16,
        steps: usize,
    ) {
        // SAFETY: two lines of NV registers are readable, and `steps` contiguous elements of MR rows.
        unsafe {
            let pairs = each!(s.splat(0.0); NV, j => s.load_pairs(b.add(2 * j * S::LANES)));
            for (i, row) in acc.iter_mut().enumerate() {
                let offset = i.wrapping_mul(a.row);
                let x = if steps == 2 { s.pair_at(a.ptr, offset) } else { s.splat_half(*a.ptr.add(offset)) };
                for (sum, &pair) in row.iter_mut().zip(&pairs) {
                    *sum = s.dot_by(x, pair, *sum);
                }
            }
        }
    }
}

/// Evaluates `$body` with `$i` and `$row` bound to each row of a tile's sums and its number. Where code is to be small it is
/// written out for the rows of [`Scalar`](crate::simd::Scalar): a compiler that saves space keeps a loop, and the sums go through
/// memory.
macro_rules! for_each_row {
    ($S:ty, $acc:expr, $i:ident, $row:ident => $body:expr) => {
        match $acc.as_mut_slice() {
            [a, b, c, d] if <$S>::SMALL => {
                $crate::kernel::tile::for_each_row!(@ $i, $row => $body; (0, a) (1, b) (2, c) (3, d));
            }
            rows => {
                for ($i, $row) in rows.iter_mut().enumerate() {
                    $body
                }
            }
        }
    };
    (@ $i:ident, $row:ident => $body:expr; $(($number:literal, $one:ident))*) => {
        $({
            let ($i, $row): (usize, _) = ($number, $one);
            $body
        })*
    };
}
pub(crate) use for_each_row;

/// A column of A times a line of the panel.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut Accumulators<S, MR, NV>,
    a: Strided,
    line: [S::F32; NV],
) {
    for_each_row!(S, acc, i, row => {
        // SAFETY: the column has MR elements.
        let x = unsafe { s.splat_at(a.ptr, i.wrapping_mul(a.row)) };
        for (sum, &register) in row.iter_mut().zip(&line) {
            *sum = s.fma(x, register, *sum);
        }
    });
}

/// Whether there are tiles of a power of two of rows only, beside the full ones (feature `small`): half as many.
pub(crate) const FEW_TILES: bool = cfg!(feature = "small");

/// The rows of the next tile where `left` are left: as many as a tile can have, or one by one at last where code is to be
/// small. The last two tiles share what is left: one of a single row has too few sums to hide what each takes, and would ask
/// for all that [`Ahead`] has for it at once.
pub(crate) const fn rows_of_tile<S: Simd>(left: usize) -> usize {
    match left {
        left if left > S::MR && left < 2 * S::MR && !S::SMALL && !FEW_TILES => left.div_ceil(2),
        left if left >= S::MR => S::MR,
        _ if S::SMALL => 1,
        4.. if FEW_TILES => 4,
        2.. if FEW_TILES => 2,
        left => left,
    }
}

/// Calls `$body` with the constant `$MR` bound to `$rows`, one of the numbers that [`rows_of_tile`] gives; `$S::MR` is at most 8.
macro_rules! with_rows {
    ($S:ty, $rows:expr, $MR:ident => $body:expr) => {
        $crate::kernel::tile::with_rows!(@ $S, $rows, $MR => $body; 8 7 6 5 4 3 2)
    };
    (@ $S:ty, $rows:expr, $MR:ident => $body:expr; $($n:literal)*) => {
        match $rows {
            $($n if <$S>::MR == $n
                || <$S>::MR > $n && !<$S>::SMALL && (!$crate::kernel::tile::FEW_TILES || usize::is_power_of_two($n)) =>
            {
                const $MR: usize = $n;
                $body
            })*
            _ => {
                const $MR: usize = 1;
                $body
            }
        }
    };
}
pub(crate) use with_rows;

/// Calls `$body` with the constant `$NV` bound to `$registers`, which is between 1 and `$S::NV`, itself at most 3.
macro_rules! with_registers {
    ($S:ty, $registers:expr, $NV:ident => $body:expr) => {
        match $registers {
            3 if <$S>::NV >= 3 => {
                const $NV: usize = 3;
                $body
            }
            2 if <$S>::NV >= 2 => {
                const $NV: usize = 2;
                $body
            }
            _ => {
                const $NV: usize = 1;
                $body
            }
        }
    };
}
pub(crate) use with_registers;

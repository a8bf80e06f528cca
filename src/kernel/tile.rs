//! The tile: the inner loop of matmul and of both products of attention.
//!
//! `MR` rows of A stand in memory at any strides, one element broadcast at a time; B is a panel, `k` lines of `NV` registers
//! one after the other. Each step of `k` costs `NV` loads, `MR` broadcasts and `MR * NV` fused multiply-adds into
//! accumulators that never leave the registers. Every element of the result is one chain of multiply-adds in the order of
//! `k`: its bits do not depend on the number of rows, nor on where in the tile the element lies.

use crate::element::Load;
use crate::kernel::Strided;
use crate::simd::Simd;

/// Steps of `k` between two visits to [`Ahead`].
const STRIDE: usize = 4;
/// Bytes of a cache line.
const LINE: usize = 64;

/// What will be needed soon: the tiles of one panel bring the next one nearer, each its share, a few lines at a time.
///
/// Weights are used once in a forward pass, so they come from memory, and the hardware's own prefetchers start anew at each
/// panel.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    next: *const u8,
    /// Bytes for each tile.
    share: usize,
}

impl Ahead {
    pub const NONE: Self = Self { next: core::ptr::null(), share: 0 };

    /// `len` elements from `next`, spread over `tiles` tiles.
    pub fn new<E>(next: *const E, len: usize, tiles: usize) -> Self {
        Self { next: next.cast(), share: (len * size_of::<E>()).div_ceil(tiles).next_multiple_of(LINE) }
    }

    /// The share of the next tile.
    #[inline(always)]
    pub fn next(self) -> Self {
        Self { next: self.next.wrapping_add(self.share), ..self }
    }
}

/// `MR x k` of A times `k x (NV * LANES)` of B.
///
/// # Safety
/// `a` is readable over `MR x k`, `b` for `k * NV * LANES` elements.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, E: Load, const MR: usize, const NV: usize>(
    s: S,
    k: usize,
    a: Strided,
    b: *const E,
    ahead: Ahead,
) -> [[S::F32; NV]; MR] {
    let mut acc = [[s.splat(0.0); NV]; MR];
    let step = NV * S::LANES;
    let (mut a, mut b, mut next) = (a, b, ahead.next);
    let strides = k / STRIDE;
    let lines = (ahead.share / LINE).div_ceil(strides.max(1));
    for _ in 0..strides {
        for _ in 0..lines {
            s.prefetch(next);
            next = next.wrapping_add(LINE);
        }
        for _ in 0..STRIDE {
            // SAFETY: fewer than `k` steps have been made.
            unsafe { accumulate(s, &mut acc, a, b) };
            (a, b) = (a.at(0, 1), b.wrapping_add(step));
        }
    }
    for _ in 0..k % STRIDE {
        // SAFETY: fewer than `k` steps have been made.
        unsafe { accumulate(s, &mut acc, a, b) };
        (a, b) = (a.at(0, 1), b.wrapping_add(step));
    }
    acc
}

/// One step of `k`: a column of A times a line of the panel.
#[inline(always)]
unsafe fn accumulate<S: Simd, E: Load, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut [[S::F32; NV]; MR],
    a: Strided,
    b: *const E,
) {
    let mut line = [s.splat(0.0); NV];
    for (j, register) in line.iter_mut().enumerate() {
        // SAFETY: the line has NV registers.
        *register = unsafe { E::load(s, b.add(j * S::LANES)) };
    }
    for (i, row) in acc.iter_mut().enumerate() {
        // SAFETY: the column has MR elements.
        let x = s.splat(unsafe { *a.at(i, 0).ptr });
        for (sum, &register) in row.iter_mut().zip(&line) {
            *sum = s.fma(x, register, *sum);
        }
    }
}

/// Calls `$body` with the constant `$MR` bound to `$rows`, which is between 1 and `$S::MR`, itself at most 8.
macro_rules! with_rows {
    ($S:ty, $rows:expr, $MR:ident => $body:expr) => {
        $crate::kernel::tile::with_rows!(@ $S, $rows, $MR => $body; 8 7 6 5 4 3 2)
    };
    (@ $S:ty, $rows:expr, $MR:ident => $body:expr; $($n:literal)*) => {
        match $rows {
            $($n if <$S>::MR >= $n => {
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

//! The products of attention for so few queries that lanes would stay empty: a query's and an output's coordinates are in the
//! lanes, and keys and values are read as they lie, whatever their type. This is what decoding does, where reading them is all
//! the time there is.

mod scores;
mod together;
mod values;

use self::scores::scores;
use self::values::{SUMS, accumulate, accumulate_masked};
use super::block::{Block, Products};
use super::head::for_each_operand;
use super::place::Segment;
use crate::kernel::map::{self, load, registers};
use crate::kernel::tile::FEW_TILES;
use crate::scratch::some;
use crate::simd::{MAX_LANES, Simd};

/// Keys, and values, from those at hand to those that are asked for. With a whole block of them an Intel Xeon reads memory a little slower.
const BEFORE: usize = 16;

/// Products row by row.
pub(crate) struct Rows;

/// Whether the level ever takes this way: where it does not, there is to be no code for it.
#[inline(always)]
pub(crate) const fn exist<S: Simd>() -> bool {
    !S::SMALL
}

/// The most pairs of a query and a head for which rows are faster than lanes: those of half a register, and of a whole one at `avx2`,
/// whose blocks of two registers would stay half empty.
pub(crate) const fn most_pairs(lanes: usize) -> usize {
    if lanes == 8 && !FEW_TILES { lanes } else { lanes / 2 }
}

/// Floats of the queries and of the output: rows of whole registers.
pub(crate) const fn rows_len(d: usize, lanes: usize) -> Option<usize> {
    some!(d.checked_next_multiple_of(lanes)).checked_mul(most_pairs(lanes))
}

/// Calls `$body` with the constants `$R` bound to 1, 2, 4 or 8, at least `$rows` but no more than the level's pairs need, and `$C` to
/// the registers of columns for which that many rows leave room among [`SUMS`].
macro_rules! with_pairs {
    (@ $R:ident = $rows:literal, $C:ident => $body:expr) => {{
        const $R: usize = $rows;
        const $C: usize = SUMS / $R;
        $body
    }};
    ($S:ty, $rows:expr, $R:ident => $body:expr) => {
        with_pairs!($S, $rows, $R, _C => $body)
    };
    ($S:ty, $rows:expr, $R:ident, $C:ident => $body:expr) => {
        match $rows {
            0..=1 => with_pairs!(@ $R = 1, $C => $body),
            // The rows behind the last pair's are zeros.
            2.. if FEW_TILES && most_pairs(<$S>::LANES) >= 8 => with_pairs!(@ $R = 8, $C => $body),
            2.. if FEW_TILES && most_pairs(<$S>::LANES) >= 4 => with_pairs!(@ $R = 4, $C => $body),
            3..=4 if most_pairs(<$S>::LANES) >= 4 => with_pairs!(@ $R = 4, $C => $body),
            5.. if most_pairs(<$S>::LANES) >= 8 => with_pairs!(@ $R = 8, $C => $body),
            _ => with_pairs!(@ $R = 2, $C => $body),
        }
    };
}

/// The rows of queries of a block.
#[inline(always)]
fn rows_of<S: Simd>(block: &Block<'_, S>) -> usize {
    with_pairs!(S, block.pairs.len(), R => R)
}

impl<S: Simd> Products<S> for Rows {
    #[inline(always)]
    unsafe fn start(block: &Block<'_, S>) {
        let (s, d) = (block.s, block.head.heads.d);
        let stride = d.next_multiple_of(S::LANES);
        // SAFETY: see `Queries`, here and in all that follows.
        unsafe {
            for row in 0..most_pairs(S::LANES) {
                let to = block.buffers.queries.add(row * stride);
                for (at, count) in registers::<S>(d) {
                    let x = if row < block.pairs.len() {
                        let (query, head) = block.pair(row);
                        for_each_operand!(block.head.q, q => load(s, q.at(query, head * d + at).ptr, count))
                    } else {
                        s.splat(0.0)
                    };
                    s.store(to.add(at), s.mul(x, s.splat(block.factor())));
                }
            }
            let len = most_pairs(S::LANES) * block.head.heads.dv.next_multiple_of(S::LANES);
            for at in (0..len).step_by(S::LANES) {
                s.store(block.buffers.output.add(at), s.splat(0.0));
            }
        }
    }

    #[inline(always)]
    unsafe fn scores(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let row = block.head.ring.row(segment.keys.start);
        // SAFETY: the keys exist.
        unsafe {
            for_each_operand!(block.head.k.at(row, 0), k => {
                with_pairs!(S, block.pairs.len(), R => scores::<S, _, R>(block, k, segment.keys.len(), line));
            });
        }
    }

    #[inline(always)]
    unsafe fn to_lines(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: the same contract, here and below.
        unsafe { together::to_lines(block, segment.keys.len(), line, rows_of(block)) }
    }

    #[inline(always)]
    unsafe fn from_lines(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: as above.
        unsafe { together::from_lines(block, segment.keys.len(), line, rows_of(block)) }
    }

    #[inline(always)]
    unsafe fn top(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: as above.
        unsafe { together::top(block, segment.keys.len(), line, rows_of(block)) }
    }

    #[inline(always)]
    unsafe fn weigh(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: as above.
        unsafe {
            if FEW_TILES {
                return together::exponentials_one_by_one(block, segment.keys.len(), line, rows_of(block));
            }
            with_pairs!(S, block.pairs.len(), R => together::exponentials::<S, R>(block, segment.keys.len(), line));
        }
    }

    #[inline(always)]
    unsafe fn weigh_masked(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: as above.
        unsafe { Self::weigh(block, segment, line) }
    }

    #[inline(always)]
    unsafe fn accumulate(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let (row, keys) = (block.head.ring.row(segment.keys.start), segment.keys.len());
        // SAFETY: the values exist.
        unsafe {
            for_each_operand!(block.head.v.at(row, 0), v => {
                with_pairs!(S, block.pairs.len(), R, C => accumulate::<S, _, R, C>(block, v, keys, line));
            });
        }
    }

    #[inline(always)]
    unsafe fn accumulate_masked(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let (row, keys) = (block.head.ring.row(segment.keys.start), segment.keys.len());
        // SAFETY: the values exist.
        unsafe {
            for_each_operand!(block.head.v.at(row, 0), v => {
                accumulate_masked(block, v, keys, line, rows_of(block));
            });
        }
    }

    #[inline(always)]
    unsafe fn rescale(block: &Block<'_, S>, _: usize, factor: S::F32) {
        let s = block.s;
        let stride = block.head.heads.dv.next_multiple_of(S::LANES);
        let mut factors = [1.0; MAX_LANES];
        // SAFETY: a row of whole registers for each pair.
        unsafe {
            s.store(factors.as_mut_ptr(), factor);
            for (row, &factor) in factors.iter().enumerate().take(block.pairs.len()) {
                for at in (0..stride).step_by(S::LANES) {
                    let p = block.buffers.output.add(row * stride + at);
                    s.store(p, s.mul(s.load(p), s.splat(factor)));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish(block: &Block<'_, S>, inverse: &[S::F32]) {
        let (s, dv) = (block.s, block.head.heads.dv);
        let mut factors = [0.0; MAX_LANES];
        // SAFETY: a row of whole registers for each pair; the rows of the result are this task's.
        unsafe {
            s.store(factors.as_mut_ptr(), inverse[0]);
            for (row, &factor) in factors.iter().enumerate().take(block.pairs.len()) {
                let (query, head) = block.pair(row);
                let from = block.buffers.output.add(row * dv.next_multiple_of(S::LANES)).cast_const();
                let to = block.head.out.add(query * block.head.out_stride + head * dv);
                for (at, count) in registers::<S>(dv) {
                    map::store(s, to.add(at), count, s.mul(s.load(from.add(at)), s.splat(factor)));
                }
            }
        }
    }
}

//! The products of attention on the matmul tile: keys and values are its rows, read in place or widened; the queries and the
//! exponentials are its panels.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::block::{Block, Products};
use super::head::for_each_operand;
use super::place::Segment;
use crate::element::Load;
use crate::engine::div_rem;
use crate::kernel::Strided;
use crate::kernel::ahead::{Ahead, Asks, Soon};
use crate::kernel::block::{Block as Tiles, Kind};
use crate::kernel::map::{self, load, registers};
use crate::kernel::output::Output;
use crate::kernel::pack::transpose_block;
use crate::kernel::tile::{FEW_TILES, Lines, MultiplyAdd};
use crate::scratch::some;
use crate::simd::{MAX_LANES, Simd};

/// Columns of values that are widened together: whole tiles, and whole registers on every level.
pub(crate) const fn columns(rows: usize) -> usize {
    4 * rows
}

/// Products in f32.
pub(crate) struct Lanes;

/// Floats that [`Block::fetch`] needs for the products: rows of keys for a tile of `rows`, or [`columns`] of a block's
/// values.
pub(crate) const fn fetched_len(d: usize, keys: usize, rows: usize) -> Option<usize> {
    let (values, rows) = (some!(keys.checked_mul(columns(rows))), some!(rows.checked_mul(d)));
    Some(if values > rows { values } else { rows })
}

impl<S: Simd> Products<S> for Lanes {
    #[inline(always)]
    unsafe fn start(block: &Block<'_, S>) {
        // SAFETY: see `Queries`, here and in all that follows.
        unsafe {
            turn_queries(block);
            // Small code always clears it, and knows that when it is compiled.
            if S::SMALL || block.begins.is_none() {
                clear_output(block);
            }
        }
    }

    #[inline(always)]
    unsafe fn scores(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let d = block.head.heads.d;
        let all = segment.keys.len();
        let rows = if block.are_whole(block.head.k) {
            all
        } else {
            (div_rem(fetched_len(d, block.keys, S::MR).unwrap_or(0), d).0 / S::MR * S::MR).min(all)
        };
        for i in (0..all).step_by(rows.max(1)) {
            let count = (all - i).min(rows);
            // SAFETY: the keys exist, and the panel has `d` lines.
            unsafe {
                let k = block.keys(segment.keys.start + i, count);
                let to = block.at(block.buffers.scores, line + i, segment.registers.start);
                let (size, panel) = ([count, d], (block.buffers.queries, to));
                let soon = if i == 0 { block.soon_after_scores(segment) } else { Soon::NOTHING };
                multiply(block, tiles(block, segment, size, (k, soon), panel, false));
            }
        }
    }

    #[inline(always)]
    unsafe fn take_keys(block: &Block<'_, S>, keys: &Range<usize>) {
        // SAFETY: the keys exist.
        unsafe { block.take_keys(keys) }
    }

    #[inline(always)]
    unsafe fn take_values(block: &Block<'_, S>, keys: &Range<usize>) {
        // SAFETY: the values exist.
        unsafe { block.take_values(keys) }
    }

    #[inline(always)]
    unsafe fn accumulate(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let keys = segment.keys.len();
        let p = block.at(block.buffers.scores, line, 0);
        for columns in parts_of_values(block) {
            // SAFETY: the values exist, and the panel has a line for each.
            unsafe {
                let v = values(block, segment, &columns);
                let to = block.at(block.buffers.output, columns.start, segment.registers.start);
                let (soon, size) = (block.soon_after_values(segment, &columns), [columns.len(), keys]);
                let add = S::SMALL || !block.begins_with(segment);
                multiply(block, tiles(block, segment, size, (v, soon), (p, to), add));
            }
        }
    }

    /// A weight of 0 times a value of NaN would not be 0.
    #[inline(always)]
    unsafe fn accumulate_masked(block: &Block<'_, S>, segment: &Segment, line: usize) {
        let s = block.s;
        for columns in parts_of_values(block) {
            // SAFETY: the values exist, and the panel has a line for each.
            let v = unsafe { values(block, segment, &columns) };
            for (row, column) in columns.enumerate() {
                for j in segment.registers.clone() {
                    // SAFETY: as above.
                    unsafe {
                        let mut sum = block.load(block.buffers.output, column, j);
                        for key in 0..segment.keys.len() {
                            let p = block.load(block.buffers.scores, line + key, j);
                            sum = s.select(block.is_masked(p), sum, s.fma(s.splat(*v.at(row, key).ptr), p, sum));
                        }
                        block.store(block.buffers.output, column, j, sum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn rescale(block: &Block<'_, S>, j: usize, factor: S::F32) {
        // SAFETY: see `Queries`.
        unsafe { rescale(block, j, factor) }
    }

    #[inline(always)]
    unsafe fn finish(block: &Block<'_, S>, inverse: &[S::F32]) {
        // SAFETY: see `Queries`.
        unsafe { turn_output(block, inverse) }
    }
}

/// The product of `size[0]` rows of `a`, `size[1]` long, and the lines of a panel over the segment's registers, to lines of the
/// result.
#[inline(always)]
pub(super) fn tiles<S: Simd, K: Kind, A: Asks>(
    block: &Block<'_, S>,
    segment: &Segment,
    size: [usize; 2],
    (a, ahead): (Strided<K::A>, A),
    (panel, to): (*mut f32, *mut f32),
    add: bool,
) -> Tiles<K, A> {
    let registers = segment.registers.len();
    let ptr = block.at(panel, 0, segment.registers.start).cast_const().cast();
    Tiles {
        size: [size[0], registers * S::LANES],
        steps: size[1],
        registers,
        panels: 1,
        far: false,
        a,
        b: Lines { ptr, step: block.width, panel: 0 },
        ahead,
        c: Output::plain(to, block.width),
        add,
        kind: PhantomData,
    }
}

/// The product in f32. Where nothing is asked for, and where code is to be small, by that of other products.
#[inline(always)]
fn multiply<S: Simd>(block: &Block<'_, S>, product: Tiles<MultiplyAdd<f32>, Soon>) {
    if S::PREFETCH && !FEW_TILES {
        return block.s.call(product);
    }
    let ahead = if S::PREFETCH {
        product.ahead.spread([product.size[0].div_ceil(S::MR), product.steps], block.buffers.scores)
    } else {
        Ahead::none(block.buffers.scores)
    };
    block.s.call(product.asking(ahead));
}

/// The columns of the values that are taken together: all if they are in f32, else as many as are widened.
#[inline(always)]
fn parts_of_values<S: Simd>(block: &Block<'_, S>) -> impl Iterator<Item = Range<usize>> + use<S> {
    let dv = block.head.heads.dv;
    let columns = if block.are_whole(block.head.v) { dv } else { columns(S::MR) };
    (0..dv).step_by(columns.max(1)).map(move |j| j..dv.min(j + columns))
}

/// Some columns of the segment's values in f32, a row each.
#[inline(always)]
unsafe fn values<S: Simd>(block: &Block<'_, S>, segment: &Segment, columns: &Range<usize>) -> Strided {
    // SAFETY: the values exist.
    unsafe { block.values(segment.keys.start, segment.keys.len(), columns).transposed() }
}

/// Turns the queries, times the factor, into a panel; lanes without a query are zero.
#[inline(always)]
unsafe fn turn_queries<S: Simd>(block: &Block<'_, S>) {
    let (s, d) = (block.s, block.head.heads.d);
    if S::SMALL {
        for lane in 0..block.width {
            // SAFETY: the panel has `d` lines.
            unsafe { turn_query(block, lane) }
        }
        return;
    }
    for j in 0..block.sight.registers() {
        let lanes = (block.pairs.len() - j * S::LANES).min(S::LANES);
        for p in (0..d).step_by(S::LANES) {
            let columns = (d - p).min(S::LANES);
            // SAFETY: the square lies within the queries and the panel.
            unsafe {
                let to = block.at(block.buffers.queries, p, j);
                for_each_operand!(block.head.q, rows => turn_square(block, rows, j * S::LANES, [lanes, columns], p, to));
                for i in 0..columns {
                    let line = to.add(i * block.width);
                    s.store(line, s.mul(s.load(line), s.splat(block.factor())));
                }
            }
        }
    }
}

/// One lane of the panel, number by number.
#[inline(always)]
unsafe fn turn_query<S: Simd>(block: &Block<'_, S>, lane: usize) {
    let d = block.head.heads.d;
    let exists = lane < block.pairs.len();
    let (query, head) = if exists { block.pair(lane) } else { (0, 0) };
    // SAFETY: the query exists, and the panel has `d` lines. `fetched` has room for a row of keys, so for one of queries.
    unsafe {
        let q = block.fetch(block.head.q.at(query, head * d), [1, d]);
        for p in 0..d {
            let x = if exists { *q.at(0, p).ptr * block.factor() } else { 0.0 };
            block.buffers.queries.add(p * block.width + lane).write(x);
        }
    }
}

/// `size[0]` lanes from `first` on, `size[1]` columns from `p` on.
#[inline(always)]
unsafe fn turn_square<S: Simd, E: Load>(
    block: &Block<'_, S>,
    q: Strided<E>,
    first: usize,
    size: [usize; 2],
    p: usize,
    to: *mut f32,
) {
    let (s, d) = (block.s, block.head.heads.d);
    // SAFETY: the square lies within the queries and the panel.
    unsafe {
        if block.head.heads.group() == 1 {
            return transpose_block(s, q.at(block.pair(first).0, p).ptr, q.row, size, to, block.width);
        }
        let mut square = [0.0_f32; MAX_LANES * MAX_LANES];
        for lane in 0..size[0] {
            let (query, head) = block.pair(first + lane);
            s.store(square.as_mut_ptr().add(lane * S::LANES), load(s, q.at(query, head * d + p).ptr, size[1]));
        }
        transpose_block(s, square.as_ptr(), S::LANES, size, to, block.width);
    }
}

#[inline(always)]
pub(super) unsafe fn clear_output<S: Simd>(block: &Block<'_, S>) {
    for line in 0..block.head.heads.dv {
        for j in 0..block.sight.registers() {
            // SAFETY: the output has `dv` lines.
            unsafe { block.store(block.buffers.output, line, j, block.s.splat(0.0)) }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn rescale<S: Simd>(block: &Block<'_, S>, j: usize, factor: S::F32) {
    for line in 0..block.head.heads.dv {
        // SAFETY: the output has `dv` lines.
        unsafe {
            let x = block.load(block.buffers.output, line, j);
            block.store(block.buffers.output, line, j, block.s.mul(x, factor));
        }
    }
}

/// Columns of a register's rows of output that are turned together, at the widest level. Rows at the same place of their pages share a set
/// of the first-level cache, which has fewer lines than a register has lanes: so each is written some lines at a time.
const TURNED: usize = 64;

/// Divides by the sums and turns the output back into rows.
#[inline(always)]
pub(super) unsafe fn turn_output<S: Simd>(block: &Block<'_, S>, inverse: &[S::F32]) {
    let (s, dv) = (block.s, block.head.heads.dv);
    if S::SMALL {
        // SAFETY: as below.
        return unsafe { turn_output_one_by_one(block, inverse) };
    }
    let mut rows = MaybeUninit::<[f32; MAX_LANES * TURNED]>::uninit();
    let (rows, most) = (rows.as_mut_ptr().cast::<f32>(), MAX_LANES * TURNED / S::LANES);
    let mut factors = [0.0; MAX_LANES];
    for (j, &inverse) in inverse.iter().enumerate().take(block.sight.registers()) {
        let lanes = (block.pairs.len() - j * S::LANES).min(S::LANES);
        for first in (0..dv).step_by(most) {
            let columns = (dv - first).min(most);
            // SAFETY: the output has `dv` lines, and `rows` a register's lanes of rows; the rows of these pairs are this task's, over
            // `dv` columns.
            unsafe {
                for (at, count) in registers::<S>(columns) {
                    let from = block.at(block.buffers.output, first + at, j).cast_const();
                    transpose_block(s, from, block.width, [count, S::LANES], rows.add(at), most);
                }
                s.store(factors.as_mut_ptr(), inverse);
                for (lane, &factor) in factors.iter().enumerate().take(lanes) {
                    let (query, head) = block.pair(j * S::LANES + lane);
                    let to = block.head.out.add(query * block.head.out_stride + head * dv + first);
                    for (at, count) in registers::<S>(columns) {
                        let x = s.mul(s.load(rows.add(lane * most + at)), s.splat(factor));
                        map::store(s, to.add(at), count, x);
                    }
                }
            }
        }
    }
}

/// As [`turn_output`], number by number.
#[inline(always)]
unsafe fn turn_output_one_by_one<S: Simd>(block: &Block<'_, S>, inverse: &[S::F32]) {
    let (s, dv) = (block.s, block.head.heads.dv);
    let mut factors = [0.0; MAX_LANES];
    // SAFETY: the output has `dv` lines; the rows of these pairs are this task's, over `dv` columns.
    unsafe {
        for (j, &inverse) in inverse.iter().enumerate().take(block.sight.registers()) {
            s.store(factors.as_mut_ptr(), inverse);
            for (lane, &factor) in (j * S::LANES..block.pairs.len()).zip(factors.iter().take(S::LANES)) {
                let (query, head) = block.pair(lane);
                let to = block.head.out.add(query * block.head.out_stride + head * dv);
                for p in 0..dv {
                    to.add(p).write(*block.buffers.output.add(p * block.width + lane) * factor);
                }
            }
        }
    }
}

//! The memory of attention: how much it takes, and which part of it is whose.

use core::ptr::slice_from_raw_parts_mut;

use super::partial::Partial;
use super::queries::{Buffers, STATE, Way};
use super::rows::rows_len;
use super::{PARTS, lanes, pairs, plain};
use crate::scratch::{self, some};
use crate::simd::Level;

/// Buffers: queries, scores, output, state and what is fetched, of each task; and partial results.
pub(crate) const BUFFERS: usize = 6;
const FETCHED: usize = 4;

/// Blocks of queries that take each block of keys in turn, so that it comes from afar once for all of them.
pub(super) const ABREAST: usize = 3;
/// The same where blocks are narrow, so that keys and values are put side by side for as many queries; and at levels that have tiles, which
/// are so fast that to make pairs of values for three blocks takes half as long as their products, on CPUs that have 2 MiB of
/// second-level cache.
pub(super) const MANY_ABREAST: usize = 8;
/// Blocks of keys that tiles multiply as one: every visit to the output loads and stores all of it.
const KEYS_OF_TILES: usize = 2;

/// Columns of a tile up to which all of them have memory of their own, with a block of keys and values; at wider levels from so many
/// dimensions on. Heads of fewer are to do with 64 KiB: a second block stands where keys and values are widened, or behind values in
/// pairs, so only those that are not widened are taken in turn.
pub(super) const NARROW: usize = 16;
const DIMS_APART: usize = 65;

/// The blocks of queries that have memory of their own.
const fn apart(level: Level, [d, dv]: [usize; 2]) -> usize {
    let few_dims = d < DIMS_APART || dv < DIMS_APART;
    match level.tile().1 {
        _ if level.is_small() => 1,
        ..=NARROW => MANY_ABREAST,
        _ if level.has_tiles() => MANY_ABREAST,
        _ if few_dims => 1,
        _ => ABREAST,
    }
}

/// Keys to a block of pairs, of `keys` to one of others; `None` on overflow.
pub(super) const fn keys_in_pairs(level: Level, keys: usize) -> Option<usize> {
    if level.has_tiles() { keys.checked_mul(KEYS_OF_TILES) } else { Some(keys) }
}

/// Keys to a block, unless the caller says otherwise. 64 x 48 scores are 12 KiB: with the queries, the output and the block's
/// keys they stay in the first-level cache. Where registers are few, memory is too.
pub(crate) const fn default_keys(level: Level) -> usize {
    if level.is_small() { 16 } else { 64 }
}

/// Floats of the buffers, of heads of `d` dimensions and values of `dv`, for so many threads; `None` on overflow.
pub(crate) const fn buffer_lens(
    level: Level,
    dims: [usize; 2],
    keys: usize,
    threads: usize,
) -> Option<[usize; BUFFERS]> {
    let [queries, scores, output, state, fetched] = some!(scratch::for_threads(block_lens(level, dims, keys), threads));
    let [queries, output, state] = some!(scratch::for_threads(Some([queries, output, state]), apart(level, dims)));
    let partial = match partials(level, threads) {
        0 => 0,
        count => some!(some!(Partial::len(dims[1], level.lanes())).checked_mul(count)),
    };
    Some([queries, scores, output, state, fetched, partial])
}

/// Partial results that have a place of their own: of all parts of the keys, if threads share them. One thread has a single one, and
/// widens nothing meanwhile. Small levels divide no keys.
const fn partials(level: Level, threads: usize) -> usize {
    if level.is_small() || threads == 1 { 0 } else { max(threads, PARTS) }
}

/// Floats of the buffers of one block of queries.
const fn block_lens(level: Level, [d, dv]: [usize; 2], keys: usize) -> Option<[usize; BUFFERS - 1]> {
    let ((rows, width), lanes) = (level.tile(), level.lanes());
    let queries = max(some!(d.checked_mul(width)), some!(rows_len(d, lanes)));
    let in_pairs = some!(keys_in_pairs(level, keys));
    let scores = some!(some!(in_pairs.checked_add(1)).checked_mul(width));
    let output = max(some!(dv.checked_mul(width)), some!(rows_len(dv, lanes)));
    let state = STATE * width;
    let mut fetched = some!(lanes::fetched_len(d, keys, rows));
    if !level.is_small() {
        // Small levels take all queries as many, one block at a time.
        fetched = max(fetched, some!(Partial::len(dv, lanes)));
        let second = if apart(level, [d, dv]) > 1 { 0 } else { some!(output.checked_add(state)) };
        if second > 0 {
            fetched = max(fetched, some!(second.checked_add(queries)));
        } else {
            fetched = max(fetched, some!(some!(d.checked_add(dv)).checked_mul(keys)));
        }
        if level.has_bf16_dot() {
            // Queries of bf16 take half as much.
            let queries = if second > 0 { some!(d.div_ceil(2).checked_mul(width)) } else { 0 };
            let values = some!(pairs::values_len(dv, in_pairs, lanes));
            fetched = max(fetched, some!(values.checked_add(some!(second.checked_add(queries)))));
        }
    }
    Some([queries, scores, output, state, fetched])
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The caller's memory, as long as [`buffer_lens`] says.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    all: [*mut f32; BUFFERS],
    /// Of one block of queries.
    lens: [usize; BUFFERS - 1],
    /// Blocks of queries that have memory of their own.
    apart: usize,
    /// Floats of the values of a block of keys, in pairs.
    values: usize,
    /// Floats of a partial.
    partial: usize,
    lanes: usize,
}

impl Memory {
    /// In memory as long as [`buffer_lens`] says; `None` if that overflows.
    #[inline(always)]
    pub fn new(
        level: Level,
        dims: [usize; 2],
        [keys, threads]: [usize; 2],
        mut all: [*mut f32; BUFFERS],
    ) -> Option<Self> {
        let (lens, lanes) = (block_lens(level, dims, keys)?, level.lanes());
        let partial = if level.is_small() { 0 } else { Partial::len(dims[1], lanes)? };
        if !level.is_small() && partials(level, threads) == 0 {
            all[BUFFERS - 1] = all[FETCHED];
        }
        let in_pairs = keys_in_pairs(level, keys)?;
        let values = if level.has_bf16_dot() { pairs::values_len(dims[1], in_pairs, lanes)? } else { 0 };
        Some(Self { all, lens, apart: apart(level, dims), values, partial, lanes })
    }

    /// Whether there is room for a block of keys and values in f32.
    pub fn takes(&self) -> bool {
        self.apart > 1
    }

    /// How many blocks of queries a task can have at a time, if keys or values are widened or not.
    pub fn abreast(&self, widened: bool) -> usize {
        match self.apart {
            1 if widened => 1,
            1 => 2,
            all => all,
        }
    }

    /// The parts for block `i` of those that a task has at a time. They share the scores and what is fetched.
    pub fn buffers(&self, task: usize, i: usize, way: Way) -> Buffers {
        let part = |buffer: usize, i: usize| self.all[buffer].wrapping_add(self.lens[buffer] * i);
        let (scores, fetched) = (part(1, task), part(FETCHED, task));
        if i > 0 && self.apart == 1 {
            let output = fetched.wrapping_add(if way == Way::Dots { self.values } else { 0 });
            let state = output.wrapping_add(self.lens[2]);
            return Buffers { queries: state.wrapping_add(self.lens[3]), scores, output, state, fetched };
        }
        let own = task * self.apart + i;
        Buffers { queries: part(0, own), scores, output: part(2, own), state: part(3, own), fetched }
    }

    /// The same memory of a task for the plain algorithm; `None` if one of its buffers is longer than that in whose place it is.
    pub fn plain(&self, task: usize, lens: [usize; plain::BUFFERS]) -> Option<[*mut [f32]; plain::BUFFERS]> {
        let part = |buffer: usize, count: usize, len: usize| {
            let all = self.lens[buffer] * count;
            (len <= all).then_some(slice_from_raw_parts_mut(self.all[buffer].wrapping_add(task * all), len))
        };
        let [scores, widened, panels, sums] = lens;
        let (widened, panels) = (part(FETCHED, 1, widened)?, part(2, self.apart, panels)?);
        Some([part(0, self.apart, scores)?, widened, panels, part(3, self.apart, sums)?])
    }

    pub fn partial(&self, i: usize) -> Partial {
        Partial::at(self.all[BUFFERS - 1].wrapping_add(self.partial * i), self.lanes)
    }
}

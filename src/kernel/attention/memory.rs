//! The memory of attention: how much it takes, and which part of it is whose.

use super::PARTS;
use super::lanes;
use super::queries::{Buffers, STATE};
use super::rows::{Partial, rows_len};
use crate::scratch::{self, some};
use crate::simd::Level;

/// Buffers: queries, scores, output, state and what is fetched, of each task; and partial results.
pub(crate) const BUFFERS: usize = 6;

/// Blocks of queries that take each block of keys in turn, so that it comes from afar once for all of them.
pub(super) const MAX_ABREAST: usize = 2;

/// The fewest dimensions where that is worth its memory: with 64 nothing is gained at 2048 keys, and 64 KiB are to do for them.
const DIMS_ABREAST: usize = 65;

/// The blocks of queries that a task has memory for.
const fn most_abreast(level: Level, [d, dv]: [usize; 2]) -> usize {
    if level.is_small() || d < DIMS_ABREAST || dv < DIMS_ABREAST { 1 } else { MAX_ABREAST }
}

/// Keys to a block, unless the caller says otherwise. 64 x 48 scores are 12 KiB: with the queries, the output and the block's
/// keys they stay in the first-level cache. Where registers are few, memory is too.
pub(crate) const fn default_keys(level: Level) -> usize {
    if level.is_small() { 16 } else { 64 }
}

/// Floats of the buffers, of heads of `d` dimensions and values of `dv`, for so many threads; `None` on overflow.
pub(crate) const fn buffer_lens(
    level: Level,
    [d, dv]: [usize; 2],
    keys: usize,
    threads: usize,
) -> Option<[usize; BUFFERS]> {
    let partials = if threads == 1 { 1 } else { max(threads, PARTS) };
    let partial = some!(some!(Partial::len(dv, level.lanes())).checked_mul(partials));
    let [queries, scores, output, state, fetched] =
        some!(scratch::for_threads(block_lens(level, [d, dv], keys), threads));
    let [queries, output, state] =
        some!(scratch::for_threads(Some([queries, output, state]), most_abreast(level, [d, dv])));
    Some([queries, scores, output, state, fetched, partial])
}

/// Floats of the buffers of one block of queries.
const fn block_lens(level: Level, [d, dv]: [usize; 2], keys: usize) -> Option<[usize; BUFFERS - 1]> {
    let ((rows, width), lanes) = (level.tile(), level.lanes());
    Some([
        max(some!(d.checked_mul(width)), some!(rows_len(d, lanes))),
        some!(some!(keys.checked_add(1)).checked_mul(width)),
        max(some!(dv.checked_mul(width)), some!(rows_len(dv, lanes))),
        some!(STATE.checked_mul(width)),
        some!(lanes::fetched_len(d, keys, rows)),
    ])
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
    /// Blocks of queries that a task has at a time.
    pub abreast: usize,
    /// Floats of a partial.
    partial: usize,
    lanes: usize,
}

impl Memory {
    /// In memory as long as [`buffer_lens`] says; `None` if that overflows.
    #[inline(always)]
    pub fn new(level: Level, dims: [usize; 2], keys: usize, all: [*mut f32; BUFFERS]) -> Option<Self> {
        let (lens, lanes) = (block_lens(level, dims, keys)?, level.lanes());
        Some(Self { all, lens, abreast: most_abreast(level, dims), partial: Partial::len(dims[1], lanes)?, lanes })
    }

    /// The parts for block `i` of those that a task has at a time. They share the scores and what is fetched.
    pub fn buffers(&self, task: usize, i: usize) -> Buffers {
        let own = task * self.abreast + i;
        let part = |buffer: usize, i: usize| self.all[buffer].wrapping_add(self.lens[buffer] * i);
        Buffers {
            queries: part(0, own),
            scores: part(1, task),
            output: part(2, own),
            state: part(3, own),
            fetched: part(4, task),
        }
    }

    pub fn partial(&self, i: usize) -> Partial {
        Partial::at(self.all[BUFFERS - 1].wrapping_add(self.partial * i), self.lanes)
    }
}

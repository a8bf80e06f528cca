//! A block of queries: which they are, the keys that they see, and the memory that a task has for them.

use core::ops::Range;

use super::head::{Head, Lse};
use super::place::{Segment, Sight};
use crate::engine::div_rem;
use crate::kernel::ahead::Soon;
use crate::simd::Level;

/// One task's memory: lines of `width` floats.
#[derive(Clone, Copy)]
pub(crate) struct Buffers {
    /// `d` lines: the queries, as the products want them.
    pub queries: *mut f32,
    /// A line for each key of a block: scores, then exponentials. Behind them the largest scores.
    pub scores: *mut f32,
    /// `dv` lines: the output, as the products want it, not yet divided.
    pub output: *mut f32,
    /// [`STATE`] lines.
    pub state: *mut f32,
    /// Keys and values that are not read in place.
    pub fetched: *mut f32,
}

/// Lines of the state: the maximum (in powers of two), the sum, the place of the query from that of the block's first, and the slope
/// of the head.
pub(crate) const STATE: usize = 4;
pub(crate) const MAX: usize = 0;
pub(crate) const SUM: usize = 1;
pub(crate) const PLACE: usize = 2;
pub(crate) const SLOPE: usize = 3;

/// How the products of a block are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Few queries: [`Rows`](super::rows::Rows).
    Rows,
    /// [`Lanes`](super::lanes::Lanes).
    Lanes,
    /// The same, of keys and values that are put side by side in f32 first, once for all blocks of queries that take them in turn.
    Taken,
    /// bf16, at a level that multiplies pairs of it: [`Dots`](super::dots::Dots).
    Dots,
}

/// Blocks of queries that take the keys in turn and ask for what comes next: which of them this is, of how many, and the queries that the
/// task has next in its place.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub index: usize,
    pub count: usize,
    pub next: Soon,
}

/// Pairs of a query and a head, at least one and at most as many as a tile is wide, and the keys they see. The pointers are valid
/// over the sizes; no other task writes the rows of these pairs.
#[derive(Clone)]
pub(crate) struct Queries<'a> {
    pub level: Level,
    pub way: Way,
    pub head: Head<'a>,
    pub pairs: Range<usize>,
    pub sight: Sight,
    /// Floats of a line.
    pub width: usize,
    /// Keys to a block.
    pub keys: usize,
    pub buffers: Buffers,
    /// The first key, if each sees all of the first block of keys, and nothing but their places may hide one: the first product with values
    /// is the output so far.
    pub begins: Option<usize>,
    /// `None` if nothing is to be asked for.
    pub turn: Option<Turn>,
}

impl<'a> Queries<'a> {
    /// With the keys to a block, and the memory.
    pub fn new(level: Level, way: Way, head: Head<'a>, pairs: Range<usize>, (keys, buffers): (usize, Buffers)) -> Self {
        let lanes = level.lanes();
        let sight = Sight::new(&head.limits, &pairs, head.heads.group(), lanes, head.n_k);
        let width = sight.registers() * lanes;
        let mut queries = Self { level, way, width, head, pairs, sight, keys, buffers, begins: None, turn: None };
        if !level.is_small() {
            queries.begins = queries.begins();
        }
        queries
    }

    fn begins(&self) -> Option<usize> {
        let Self { head, sight, .. } = self;
        if head.mask.is_some() || head.bias.is_some() {
            return None;
        }
        let keys = head.blocks(self.multiplied(), self.keys).next()?;
        let whole = Segment { keys: keys.clone(), registers: 0..sight.registers(), whole: true };
        (sight.segments(keys.clone(), keys.len()).next()? == whole).then_some(keys.start)
    }

    /// The keys that are multiplied: those seen, in pairs the other of each pair too. Not only where that one is read for others anyway: a
    /// term of 0 may change the sign of a sum of 0.
    #[inline(always)]
    pub fn multiplied(&self) -> Range<usize> {
        let (seen, together) = (self.sight.keys(), if self.way == Way::Dots { 2 } else { 1 });
        if seen.is_empty() || together == 1 {
            return seen;
        }
        seen.start - seen.start % together..seen.end.next_multiple_of(together).min(self.head.n_k)
    }

    /// The queries of these pairs.
    pub fn rows(&self) -> Range<usize> {
        rows_of(&self.pairs, self.head.heads.group())
    }

    /// Whether a segment's product with values is the output so far.
    pub fn begins_with(&self, segment: &Segment) -> bool {
        self.begins == Some(segment.keys.start)
    }

    /// The factor of the queries that makes logits powers of two.
    #[inline(always)]
    pub fn factor(&self) -> f32 {
        self.head.heads.scale * core::f32::consts::LOG2_E
    }

    /// The query of a lane, and its head within the group.
    #[inline(always)]
    pub fn pair(&self, lane: usize) -> (usize, usize) {
        match self.head.heads.group() {
            1 => (self.pairs.start + lane, 0),
            group => div_rem(self.pairs.start + lane, group),
        }
    }
}

/// The queries of pairs of one and a head of `group`.
pub(crate) fn rows_of(pairs: &Range<usize>, group: usize) -> Range<usize> {
    div_rem(pairs.start, group).0..div_rem(pairs.end.saturating_sub(1), group).0 + 1
}

/// Writes the logarithm of every query's sum.
///
/// # Safety
/// The state has the maxima and the sums; the rows of `lse` are this task's.
pub(crate) unsafe fn write_lse(queries: &Queries<'_>, lse: &Lse) {
    for lane in 0..queries.pairs.len() {
        let (query, head) = queries.pair(lane);
        // SAFETY: the state has these lines; the rows are this task's.
        unsafe {
            let state = |line: usize| *queries.buffers.state.add(line * queries.width + lane);
            let max = state(MAX).max(f32::MIN) * core::f32::consts::LN_2;
            lse.to.add(query * lse.stride + head).write(logarithm(max, state(SUM)));
        }
    }
}

/// `ln(sum) + max`, or -inf for a query that saw nothing.
pub(super) fn logarithm(max: f32, sum: f32) -> f32 {
    match sum {
        0.0 => f32::NEG_INFINITY,
        sum if sum.is_nan() => sum,
        sum => max + libm::logf(sum),
    }
}

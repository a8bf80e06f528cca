//! Attention of some queries of one head over all their keys, block of keys by block of keys, without the matrix of scores (Dao et
//! al. 2022, arXiv 2205.14135; Rabe & Staats 2021, arXiv 2112.05682), with the queries in the lanes.
//!
//! A lane is a pair of a query and a head of the group that shares the keys. For each block of keys:
//!
//! ```text
//! S^T  = K Q^T          a line of scores for each key
//! P^T  = exp2(S^T - m)  down the columns: one register of maxima and one of sums, no step across lanes
//! O^T += V^T P^T
//! ```
//!
//! and at the end O^T is divided by the sums. How the two products are computed is the [`Products`]' affair. Logits are
//! in powers of two.

use core::ops::{Deref, Range};

use super::logits::Ask;
use super::online::{reciprocal, sink_in_powers_of_two, weight_of_sink};
use super::place::Segment;
use super::queries::{MAX, PLACE, Queries, SLOPE, SUM};
use super::within;
use crate::engine::div_rem;
use crate::simd::Simd;

/// Keys looked at together where not every query sees every key: the most rows of a tile of registers.
pub(super) const CHUNK: usize = 8;

/// The products of a block of queries with keys and with values, and the lines they keep.
pub(crate) trait Products<S: Simd> {
    /// Keys looked at together where not every query sees every key.
    #[inline(always)]
    fn chunk(_: &Block<'_, S>) -> usize {
        CHUNK
    }
    /// Takes the queries, times [`Block::factor`] or a part of it, and clears the output, unless the first product with values
    /// [is the output so far](Queries::begins).
    unsafe fn start(block: &Block<'_, S>);
    /// What scores still have to be multiplied by, a positive number; `None` if they never have to. In a step of its own, which
    /// rounds: the largest score is the maximum then, and its weight 1.
    #[inline(always)]
    fn rest(_: &Block<'_, S>) -> Option<f32> {
        None
    }
    /// Scores of the segment into its lines, of which `line` is the first.
    unsafe fn scores(block: &Block<'_, S>, segment: &Segment, line: usize);
    /// Scores as lines, where they are none, for what looks at them there.
    #[inline(always)]
    unsafe fn to_lines(_: &Block<'_, S>, _: &Segment, _: usize) {}
    /// Takes lines back as scores.
    #[inline(always)]
    unsafe fn from_lines(_: &Block<'_, S>, _: &Segment, _: usize) {}
    /// The largest scores of the segment, and of those before it.
    #[inline(always)]
    unsafe fn top(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: the same contract.
        unsafe { block.top(segment, line) }
    }
    /// Exponentials of the segment's scores, as the product with values wants them, and the sums of them.
    #[inline(always)]
    unsafe fn weigh(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: the same contract.
        unsafe { block.exponentials(segment, line) }
    }
    /// The same for [`Self::accumulate_masked`]: what is masked is marked.
    #[inline(always)]
    unsafe fn weigh_masked(block: &Block<'_, S>, segment: &Segment, line: usize)
    where
        Self: Sized,
    {
        // SAFETY: the same contract.
        unsafe { block.exponentials_or_masked::<Self>(segment, line) }
    }
    /// The keys of a block of them, as the product with them wants them: for all blocks of queries that take the keys in turn.
    #[inline(always)]
    unsafe fn take_keys(_: &Block<'_, S>, _: &Range<usize>) {}
    /// The same of values.
    #[inline(always)]
    unsafe fn take_values(_: &Block<'_, S>, _: &Range<usize>) {}
    /// The output plus the segment's values times its exponentials.
    unsafe fn accumulate(block: &Block<'_, S>, segment: &Segment, line: usize);
    /// As that, without those that [are masked](Block::is_masked), or whose lines say that they are.
    unsafe fn accumulate_masked(block: &Block<'_, S>, segment: &Segment, line: usize);
    /// The output times a factor for each lane of register `j`.
    unsafe fn rescale(block: &Block<'_, S>, j: usize, factor: S::F32);
    /// The output times a factor for each lane, to where it belongs.
    unsafe fn finish(block: &Block<'_, S>, inverse: &[S::F32]);
}

/// What attention does with a block of queries, at the level of a token.
pub(crate) struct Block<'a, S> {
    pub s: S,
    queries: Queries<'a>,
}

impl<'a, S> Deref for Block<'a, S> {
    type Target = Queries<'a>;

    #[inline(always)]
    fn deref(&self) -> &Queries<'a> {
        &self.queries
    }
}

/// What has been taken of a block of keys and their values: [`Products::take_keys`], [`Products::take_values`].
#[derive(Clone, Copy, Default)]
struct Taken {
    keys: bool,
    values: bool,
}

/// Blocks of the same head of keys, over all keys that their queries see: each block of keys in turn for all of them. A block of
/// queries takes the keys that it would take alone, so its bits do not depend on those beside it. The level has not to be small.
///
/// # Safety
/// See [`Queries`].
#[inline(always)]
pub(crate) unsafe fn run_in_turn<S: Simd, P: Products<S>>(s: S, blocks: &[Queries<'_>]) {
    let all = blocks.iter().map(Queries::multiplied).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    let Some((first, all)) = blocks.first().zip(all) else { return };
    // SAFETY: the same contract, here and in all that follows.
    unsafe {
        for queries in blocks {
            Block::new(s, queries.clone()).start::<P>(true);
        }
        for all in first.head.blocks(all, first.keys) {
            let mut taken = Taken::default();
            for queries in blocks {
                let keys = within(&queries.multiplied(), all.clone());
                if !keys.is_empty() {
                    // A copy: what lies behind a reference, the compiler would keep nothing of in registers.
                    taken = Block::new(s, queries.clone()).step::<P>(keys, &all, taken);
                }
            }
        }
        for queries in blocks {
            Block::new(s, queries.clone()).finish::<P>();
        }
    }
}

impl<'a, S: Simd> Block<'a, S> {
    #[inline(always)]
    pub fn new(s: S, queries: Queries<'a>) -> Self {
        Self { s, queries }
    }

    /// Over all keys that the queries see.
    ///
    /// # Safety
    /// See [`Queries`].
    #[inline(always)]
    pub unsafe fn run<P: Products<S>>(&self) {
        // SAFETY: the same contract.
        unsafe {
            self.start::<P>(true);
            self.walk::<P>(self.sight.keys());
            self.finish::<P>();
        }
    }

    /// Block by block over some of the keys. The first must be one that begins a block, or the first that any query sees.
    #[inline(always)]
    pub unsafe fn walk<P: Products<S>>(&self, keys: Range<usize>) {
        for keys in self.head.blocks(keys, self.keys) {
            // SAFETY: see `Queries`.
            unsafe { self.step::<P>(keys.clone(), &keys, Taken::default()) };
        }
    }

    /// Some keys of `all` of a block of them; what has been taken of it before, and now.
    #[inline(always)]
    unsafe fn step<P: Products<S>>(&self, keys: Range<usize>, all: &Range<usize>, mut taken: Taken) -> Taken {
        let s = self.s;
        // SAFETY: see `Queries`.
        unsafe {
            self.fill(self.tops(), s.splat(f32::NEG_INFINITY));
            for segment in self.sight.segments(keys.clone(), P::chunk(self)) {
                let line = segment.keys.start - keys.start;
                if self.head.mask.is_some() && self.ask(&segment, line, Ask::IsHidden) {
                    continue;
                }
                if !taken.keys {
                    P::take_keys(self, all);
                    taken.keys = true;
                }
                P::scores(self, &segment, line);
                if self.adjusts(&segment) {
                    P::to_lines(self, &segment, line);
                    self.ask(&segment, line, Ask::Adjust);
                    P::from_lines(self, &segment, line);
                }
                P::top(self, &segment, line);
            }
            for j in 0..self.sight.registers() {
                self.raise::<P>(j);
            }
            for segment in self.sight.segments(keys.clone(), P::chunk(self)) {
                let line = segment.keys.start - keys.start;
                if self.head.mask.is_some() && self.ask(&segment, line, Ask::IsHidden) {
                    continue;
                }
                if !taken.values {
                    P::take_values(self, all);
                    taken.values = true;
                }
                if self.may_hide(&segment) && self.ask(&segment, line, Ask::AccumulateSeen) {
                    continue;
                }
                P::weigh(self, &segment, line);
                P::accumulate(self, &segment, line);
            }
        }
        taken
    }

    /// Keys from the first of a block of them, wherever that is, to this one.
    #[inline(always)]
    pub fn place_in_block(&self, key: usize) -> usize {
        div_rem(key, self.keys).1
    }

    /// Register `j` of line `line` of a buffer.
    #[inline(always)]
    pub fn at(&self, buffer: *mut f32, line: usize, j: usize) -> *mut f32 {
        buffer.wrapping_add(line * self.width + j * S::LANES)
    }

    #[inline(always)]
    pub unsafe fn load(&self, buffer: *mut f32, line: usize, j: usize) -> S::F32 {
        // SAFETY: the buffer has that line.
        unsafe { self.s.load(self.at(buffer, line, j)) }
    }

    #[inline(always)]
    pub unsafe fn store(&self, buffer: *mut f32, line: usize, j: usize, x: S::F32) {
        // SAFETY: the buffer has that line.
        unsafe { self.s.store(self.at(buffer, line, j), x) }
    }

    /// A line of the state.
    #[inline(always)]
    fn line(&self, line: usize) -> *mut f32 {
        self.at(self.buffers.state, line, 0)
    }

    /// The line of the largest scores of the block of keys at hand.
    #[inline(always)]
    pub fn tops(&self) -> *mut f32 {
        self.at(self.buffers.scores, self.keys, 0)
    }

    /// The same register all along a line.
    #[inline(always)]
    unsafe fn fill(&self, line: *mut f32, x: S::F32) {
        for j in 0..self.sight.registers() {
            // SAFETY: the line is as long.
            unsafe { self.store(line, 0, j, x) }
        }
    }

    /// No key seen yet: maxima of -inf and sums of 0, unless `sinks` are to count, which are keys without a value.
    #[inline(always)]
    pub unsafe fn start<P: Products<S>>(&self, sinks: bool) {
        let s = self.s;
        // SAFETY: the state has these lines.
        unsafe {
            P::start(self);
            self.fill(self.line(MAX), s.splat(f32::NEG_INFINITY));
            self.fill(self.line(SUM), s.splat(0.0));
            let first = self.pair(0).0;
            for lane in 0..self.pairs.len() {
                let (query, head) = self.pair(lane);
                let head = self.head.first + head;
                let put = |line: usize, x: f32| self.buffers.state.add(line * self.width + lane).write(x);
                put(PLACE, (query - first) as f32);
                if let Some(slope) = self.head.terms.alibi.and_then(|slopes| slopes.get(head)) {
                    put(SLOPE, -slope * core::f32::consts::LOG2_E);
                }
                if let Some(sink) = self.head.terms.sinks.filter(|_| sinks).and_then(|sinks| sinks.get(head)) {
                    put(MAX, sink_in_powers_of_two(*sink));
                    put(SUM, weight_of_sink(*sink));
                }
            }
        }
    }

    /// Whether the options may hide a key of the segment from a query of it.
    #[inline(always)]
    fn may_hide(&self, segment: &Segment) -> bool {
        !segment.whole || self.head.mask.is_some() || self.head.bias.is_some()
    }

    /// Whether the options do something to the scores of a segment.
    #[inline(always)]
    fn adjusts(&self, segment: &Segment) -> bool {
        let terms = &self.head.terms;
        terms.options.is_some() && (!segment.whole || terms.change_all())
    }

    /// Has the options do something; the answer is no where there are none.
    #[inline(always)]
    unsafe fn ask(&self, segment: &Segment, line: usize, ask: Ask) -> bool {
        let Some(options) = self.head.terms.options else { return false };
        // SAFETY: the same contract.
        unsafe {
            if S::SMALL {
                return options(&self.queries, segment, line, ask);
            }
            // A copy: of what another function has seen, the compiler would keep nothing in registers.
            options(&self.queries.clone(), segment, line, ask)
        }
    }

    #[inline(always)]
    pub unsafe fn finish<P: Products<S>>(&self) {
        let s = self.s;
        let mut inverse = [s.splat(0.0); super::place::MAX_REGISTERS];
        // SAFETY: the state has these lines; the rows are this task's.
        unsafe {
            for (j, inverse) in inverse.iter_mut().enumerate().take(self.sight.registers()) {
                *inverse = reciprocal(s, self.load(self.buffers.state, SUM, j));
            }
            P::finish(self, &inverse);
            if let Some(lse) = &self.head.lse {
                (lse.write)(&self.queries, lse);
            }
        }
    }
}

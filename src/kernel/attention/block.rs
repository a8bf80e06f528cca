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
//! in powers of two. The running output is rescaled only when a maximum has risen by more than [`LAZY`] (FlashAttention-4's
//! idea): until then the exponentials are relative to the older maximum, which is exact as long as they do not overflow. That
//! is decided lane by lane, so a query's bits do not depend on those beside it.

use core::ops::{Deref, Range};

use super::head::{Head, Lse, Operand, for_each_operand};
use super::logits::Ask;
use super::place::{Segment, Sight};
use super::within;
use crate::element::Load;
use crate::engine::div_rem;
use crate::kernel::map::{load, registers, store};
use crate::kernel::softmax::finite_max;
use crate::kernel::tile::Ahead;
use crate::kernel::{Strided, each};
use crate::simd::math::{self, Exp2Bounded};
use crate::simd::{Level, Op, Simd};

/// A maximum that rises by less (in powers of two) does not rescale: exponentials stay below 2^8, far from overflow.
const LAZY: f32 = 8.0;

/// Below this power of two a factor is subnormal, and has few bits, while what it multiplies may be 2^8 times the values: it is
/// applied in two steps, each by its root.
const LEAST_NORMAL: f32 = -126.0;

/// Below this one it is 0, and 0 it stays.
const LEAST: f32 = -150.0;

/// Keys looked at together where not every query sees every key: the most rows of a tile.
pub(super) const CHUNK: usize = 8;

/// Lines whose exponentials are computed in step with each other.
pub(super) const STEP: usize = 4;

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

/// The products of a block of queries with keys and with values, and the lines they keep.
pub(crate) trait Products<S: Simd> {
    /// Takes the queries, times [`Block::factor`] or a part of it, and clears the output.
    unsafe fn start(block: &Block<'_, S>);
    /// What scores still have to be multiplied by, a positive number; `None` if they never have to. In a step of its own, which
    /// rounds: the largest score is the maximum then, and its weight 1.
    #[inline(always)]
    fn rest(_: &Block<'_, S>) -> Option<f32> {
        None
    }
    /// Scores of the segment into its lines, of which `line` is the first.
    unsafe fn scores(block: &Block<'_, S>, segment: &Segment, line: usize);
    /// Exponentials of the segment's scores, as the product with values wants them, and the sums of them.
    #[inline(always)]
    unsafe fn weigh(block: &Block<'_, S>, segment: &Segment, line: usize) {
        // SAFETY: the same contract.
        unsafe { block.exponentials(segment, line) }
    }
    /// The output plus the segment's values times its exponentials.
    unsafe fn accumulate(block: &Block<'_, S>, segment: &Segment, line: usize);
    /// As that, without those that [are masked](Block::is_masked).
    unsafe fn accumulate_masked(block: &Block<'_, S>, segment: &Segment, line: usize);
    /// The output times a factor for each lane of register `j`.
    unsafe fn rescale(block: &Block<'_, S>, j: usize, factor: S::F32);
    /// The output times a factor for each lane, to where it belongs.
    unsafe fn finish(block: &Block<'_, S>, inverse: &[S::F32]);
}

/// How the products of a block are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Few queries: [`Rows`](super::rows::Rows).
    Rows,
    /// [`Lanes`](super::lanes::Lanes).
    Lanes,
    /// bf16, at a level that multiplies pairs of it: [`Dots`](super::dots::Dots).
    Dots,
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

impl<'a> Queries<'a> {
    /// With the keys to a block, and the memory.
    pub fn new(level: Level, way: Way, head: Head<'a>, pairs: Range<usize>, (keys, buffers): (usize, Buffers)) -> Self {
        let lanes = level.lanes();
        let sight = Sight::new(&head.limits, &pairs, head.heads.group(), lanes, head.n_k);
        Self { level, way, width: sight.registers() * lanes, head, pairs, sight, keys, buffers }
    }

    /// The factor of the queries that makes logits powers of two.
    #[inline(always)]
    pub fn factor(&self) -> f32 {
        self.head.heads.scale * core::f32::consts::LOG2_E
    }

    /// The query of a lane, and its head within the group.
    #[inline(always)]
    pub fn pair(&self, lane: usize) -> (usize, usize) {
        div_rem(self.pairs.start + lane, self.head.heads.group())
    }
}

/// Blocks of the same head of keys, over all keys that their queries see: each block of keys in turn for all of them. A block of
/// queries takes the keys that it would take alone, so its bits do not depend on those beside it. The level has not to be small.
///
/// # Safety
/// See [`Queries`].
#[inline(always)]
pub(crate) unsafe fn run_in_turn<S: Simd, P: Products<S>>(s: S, blocks: &[Queries<'_>]) {
    let seen = blocks.iter().map(|queries| queries.sight.keys()).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    let Some((first, seen)) = blocks.first().zip(seen) else { return };
    // SAFETY: the same contract, here and in all that follows.
    unsafe {
        for queries in blocks {
            Block::new(s, queries.clone()).start::<P>(true);
        }
        for keys in first.head.blocks(seen, first.keys) {
            for queries in blocks {
                let keys = within(&queries.sight.keys(), keys.clone());
                if !keys.is_empty() {
                    // A copy: what lies behind a reference, the compiler would keep nothing of in registers.
                    Block::new(s, queries.clone()).step::<P>(keys);
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
            unsafe { self.step::<P>(keys) };
        }
    }

    #[inline(always)]
    unsafe fn step<P: Products<S>>(&self, keys: Range<usize>) {
        let s = self.s;
        // SAFETY: see `Queries`.
        unsafe {
            self.fill(self.tops(), s.splat(f32::NEG_INFINITY));
            for segment in self.sight.segments(keys.clone(), CHUNK) {
                let line = segment.keys.start - keys.start;
                if self.head.mask.is_some() && self.ask(&segment, line, Ask::IsHidden) {
                    continue;
                }
                P::scores(self, &segment, line);
                self.ask(&segment, line, Ask::Adjust);
                self.top(&segment, line);
            }
            for j in 0..self.sight.registers() {
                self.raise::<P>(j);
            }
            for segment in self.sight.segments(keys.clone(), CHUNK) {
                let line = segment.keys.start - keys.start;
                if self.head.mask.is_some() && self.ask(&segment, line, Ask::IsHidden)
                    || self.may_hide(&segment) && self.ask(&segment, line, Ask::AccumulateSeen)
                {
                    continue;
                }
                P::weigh(self, &segment, line);
                P::accumulate(self, &segment, line);
            }
        }
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
    fn tops(&self) -> *mut f32 {
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

    /// Has the options do something; the answer is no where there are none.
    #[inline(always)]
    unsafe fn ask(&self, segment: &Segment, line: usize, ask: Ask) -> bool {
        let Some(options) = self.head.terms.options else { return false };
        if matches!(ask, Ask::Adjust) && segment.whole && !self.head.terms.change_all() {
            return false;
        }
        // SAFETY: the same contract.
        unsafe {
            if S::SMALL {
                return options(&self.queries, segment, line, ask);
            }
            // A copy: of what another function has seen, the compiler would keep nothing in registers.
            options(&self.queries.clone(), segment, line, ask)
        }
    }

    /// The largest scores of the segment.
    #[inline(always)]
    unsafe fn top(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let lines = segment.keys.len();
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe {
                let scores = self.at(self.buffers.scores, line, j).cast_const();
                let mut top = s.splat(f32::NEG_INFINITY);
                let whole = if S::SMALL { 0 } else { lines - lines % STEP };
                if whole > 0 {
                    let mut tops = [top; STEP];
                    for i in (0..whole).step_by(STEP) {
                        tops = each!(top; STEP, t => s.max(tops[t], s.load(scores.add((i + t) * self.width))));
                    }
                    top = s.max(s.max(tops[0], tops[1]), s.max(tops[2], tops[3]));
                }
                for i in whole..lines {
                    top = s.max(top, s.load(scores.add(i * self.width)));
                }
                self.store(self.tops(), 0, j, s.max(self.load(self.tops(), 0, j), top));
            }
        }
    }

    /// Makes the maxima of register `j` those of the new block, if they have risen enough.
    #[inline(always)]
    unsafe fn raise<P: Products<S>>(&self, j: usize) {
        let s = self.s;
        let state = self.buffers.state;
        // SAFETY: the state has these lines.
        unsafe {
            let (old, mut top) = (self.load(state, MAX, j), self.load(self.tops(), 0, j));
            if let Some(rest) = P::rest(self) {
                top = s.mul(top, s.splat(rest));
            }
            let risen = s.lt(s.add(old, s.splat(LAZY)), top);
            if !s.any(risen) {
                return;
            }
            // The lanes that have not are rescaled by 1.
            let new = s.select(risen, top, old);
            self.store(state, MAX, j, new);
            // `old`, not its finite form: where nothing was seen yet it is -inf, and the factor 0.
            let change = s.sub(old, finite_max(s, new));
            let is_subnormal = s.lt(change, s.splat(LEAST_NORMAL));
            let root = s.select(is_subnormal, s.mul(change, s.splat(0.5)), change);
            let mut factor = s.apply::<Exp2Bounded>(s.select(s.lt(change, s.splat(LEAST)), change, root));
            for _ in 0..if s.any(is_subnormal) { 2 } else { 1 } {
                self.store(state, SUM, j, s.mul(self.load(state, SUM, j), factor));
                P::rescale(self, j, factor);
                factor = s.select(is_subnormal, factor, s.splat(1.0));
            }
        }
    }

    /// P^T = exp2(S^T - m), and the sums of it.
    #[inline(always)]
    pub unsafe fn exponentials(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let lines = segment.keys.len();
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe {
                let max = finite_max(s, self.load(self.buffers.state, MAX, j));
                let mut sum = self.load(self.buffers.state, SUM, j);
                let scores = self.at(self.buffers.scores, line, j);
                let whole = if S::SMALL { 0 } else { lines - lines % STEP };
                for i in (0..whole).step_by(STEP) {
                    let x = each!(max; STEP, t => s.load(scores.add((i + t) * self.width)));
                    let p = math::exp2_bounded(s, each!(max; STEP, t => s.sub(x[t], max)));
                    for (t, p) in p.into_iter().enumerate() {
                        sum = s.add(sum, p);
                        s.store(scores.add((i + t) * self.width), p);
                    }
                }
                for i in whole..lines {
                    let at = scores.add(i * self.width);
                    let p = s.apply::<Exp2Bounded>(s.sub(s.load(at), max));
                    sum = s.add(sum, p);
                    s.store(at, p);
                }
                self.store(self.buffers.state, SUM, j, sum);
            }
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

    /// What a product of `product[0]` rows of as many steps brings nearer: `size[0]` rows of keys or values from `key` on,
    /// `size[1]` columns. Long sequences come from memory for each block of queries anew, and rows of heads side by side lie
    /// pages apart, where the hardware's own prefetchers do not follow.
    #[inline(always)]
    pub fn ahead(&self, of: Operand, key: usize, size: [usize; 2], product: [usize; 2]) -> Ahead {
        if !S::PREFETCH || key >= self.sight.keys().end {
            return Ahead::none();
        }
        let row = self.head.ring.row(key);
        for_each_operand!(of, rows => Ahead::new(rows.at(row, 0).ptr, size, rows.row, [product[0].div_ceil(S::MR), product[1]]))
    }

    /// `size[0]` rows and `size[1]` columns of an operand in f32: where they are, or widened into `fetched`, which has room for
    /// them.
    #[inline(always)]
    pub unsafe fn fetch(&self, from: Operand, size: [usize; 2]) -> Strided {
        if let Operand::F32(rows) = from {
            return rows;
        }
        let to = self.buffers.fetched;
        self.s.apart(Fetch { from, size, to });
        Strided { ptr: to, row: size[1], col: 1 }
    }
}

/// Widens rows and columns that exist, to where there is room for them.
struct Fetch {
    from: Operand,
    size: [usize; 2],
    to: *mut f32,
}

impl Op for Fetch {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.size;
        // SAFETY: see the type.
        unsafe {
            for_each_operand!(self.from, from => for i in 0..rows {
                if S::SMALL {
                    for j in 0..columns {
                        self.to.add(i * columns + j).write((*from.at(i, j).ptr).widen(s));
                    }
                    continue;
                }
                for (at, count) in registers::<S>(columns) {
                    store(s, self.to.add(i * columns + at), count, load(s, from.at(i, at).ptr, count));
                }
            });
        }
    }
}

/// Writes `ln(sum) + max` of every query, or -inf for one that saw nothing.
///
/// # Safety
/// The state has the maxima and the sums; the rows of `lse` are this task's.
pub(crate) unsafe fn write_lse(queries: &Queries<'_>, lse: &Lse) {
    for lane in 0..queries.pairs.len() {
        let (query, head) = queries.pair(lane);
        // SAFETY: the state has these lines; the rows are this task's.
        unsafe {
            let state = |line: usize| *queries.buffers.state.add(line * queries.width + lane);
            let (max, sum) = (state(MAX), state(SUM));
            let logarithm = if sum == 0.0 {
                f32::NEG_INFINITY
            } else {
                max.max(f32::MIN) * core::f32::consts::LN_2 + libm::logf(sum)
            };
            lse.to.add(query * lse.stride + head).write(if sum.is_nan() { sum } else { logarithm });
        }
    }
}

/// A sink times log2(e): what is finite stays finite.
fn sink_in_powers_of_two(sink: f32) -> f32 {
    let scaled = sink * core::f32::consts::LOG2_E;
    if sink.is_finite() { scaled.clamp(f32::MIN, f32::MAX) } else { scaled }
}

/// What a sink adds to the sum, relative to itself: nothing if it is masked, and NaN if it is no logit at all.
fn weight_of_sink(sink: f32) -> f32 {
    match sink {
        f32::NEG_INFINITY => 0.0,
        sink if sink < f32::INFINITY => 1.0,
        _ => f32::NAN,
    }
}

/// `1 / sum`, 0 for a query that saw nothing. NaN stays.
#[inline(always)]
pub(super) fn reciprocal<S: Simd>(s: S, sum: S::F32) -> S::F32 {
    let inverse = s.div(s.splat(1.0), sum);
    s.select(s.lt(s.splat(f32::MAX), inverse), s.splat(0.0), inverse)
}

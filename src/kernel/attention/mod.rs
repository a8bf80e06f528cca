//! Attention over heads and sequences: how they divide into blocks of queries, and the blocks among threads.

mod block;
mod dots;
mod fetch;
pub(crate) mod head;
mod lanes;
pub(crate) mod logits;
mod memory;
mod online;
mod pairs;
mod partial;
pub(crate) mod place;
mod plain;
pub(crate) mod queries;
mod rows;
mod weigh;
pub(crate) mod weights;

use core::ops::Range;

use self::block::{Block, Products};
use self::dots::Dots;
use self::head::{Operand, Problem, Results, Span};
use self::lanes::Lanes;
use self::memory::{ABREAST, MANY_ABREAST, Memory, keys_in_pairs};
pub(crate) use self::memory::{BUFFERS, buffer_lens, default_keys};
use self::partial::Partial;
use self::queries::{Queries, Turn, Way, rows_of};
use self::rows::{Rows, most_pairs};
use crate::element::Dtype;
use crate::engine::{Engine, div_ceil, div_rem, part_of};
use crate::kernel::ahead::Soon;
use crate::kernel::tile::FEW_TILES;
use crate::kernel::{Shared, tiles};
use crate::simd::{Bf16Dot, DotOp, Level, Op, Simd};
use crate::view::for_each_type;

/// Parts that the keys of few queries are divided into, at most, and the fewest keys to a part. Neither depends on the
/// threads, so the result does not.
const PARTS: usize = 8;
const KEYS_TO_A_PART: usize = 1024;

/// The fewest bytes of keys or values to a dimension that do not stay near from one block of queries to the next.
const BYTES_FAR: usize = 2048;

/// Attention of every head of every sequence, split among the engine's threads. `spans` name rows of the operands, no query
/// twice; `memory` is as long as [`buffer_lens`] says. Arguments that do not fit each other are a mistake of the caller in this
/// crate: nothing is done.
pub(crate) fn attention(
    engine: &Engine<'_>,
    problem: &Problem<'_>,
    keys: usize,
    spans: impl Iterator<Item = Span> + Clone + Sync,
    results: Results,
    memory: &mut [&mut [f32]; BUFFERS],
) {
    let level = engine.level();
    let dims = [problem.heads.d, problem.heads.dv];
    let threads = engine.threads();
    let lens = buffer_lens(level, dims, keys, threads);
    let fits = problem.fits() && keys > 0 && lens == Some(memory.each_ref().map(|part| part.len()));
    debug_assert!(fits, "ops check the sizes");
    if !fits {
        return;
    }
    let all = memory.each_mut().map(|part| part.as_mut_ptr());
    let Some(memory) = Memory::new(level, dims, [keys, threads], all) else { return };
    let work = Work { level, problem, keys, results, memory };
    let items = spans.clone().map(|span| work.blocks(&span) * problem.heads.kv).sum();
    let shared = Shared(work);
    if items < threads && spans.clone().any(|span| work.is_few(&span)) {
        // Too few to go round: the threads share each.
        for span in spans {
            (0..work.blocks(&span) * problem.heads.kv).for_each(|item| work.share(engine, &span, item));
        }
        return;
    }
    engine.split(items, 1, |task, items| {
        let work = shared.get();
        let mut first = 0;
        for span in spans.clone() {
            let last = first + work.blocks(&span) * work.problem.heads.kv;
            let mut left = items.start.max(first)..items.end.min(last);
            while !left.is_empty() {
                let count = work.abreast(&span, left.start - first, left.len());
                work.run(task, &span, left.start - first, count);
                left.start += count;
            }
            first = last;
        }
    });
}

/// What all tasks share.
#[derive(Clone, Copy)]
struct Work<'a> {
    level: Level,
    problem: &'a Problem<'a>,
    keys: usize,
    results: Results,
    memory: Memory,
}

impl<'a> Work<'a> {
    /// Pairs of a query and one of the heads that share keys.
    fn pairs(&self, span: &Span) -> usize {
        span.queries.len() * self.problem.heads.group()
    }

    /// The memory of a task for the plain algorithm, if that is faster and has room.
    fn plain(&self, task: usize, span: &Span) -> Option<[*mut [f32]; plain::BUFFERS]> {
        // Asked for the level first, so that programs for small ones alone do not link it; nor is it there where code is to be small.
        if FEW_TILES || self.level.is_small() || self.in_pairs() || !plain::is_faster(self.level, self.problem, span) {
            return None;
        }
        self.memory.plain(task, plain::lens(self.level, self.problem.heads, span)?)
    }

    /// Blocks of such pairs, or of queries where the algorithm is the plain one.
    fn blocks(&self, span: &Span) -> usize {
        if self.plain(0, span).is_some() {
            return plain::blocks(self.problem.heads, span);
        }
        div_ceil(self.pairs(span), self.level.tile().1)
    }

    /// Whether rows are faster than lanes. Where code is to be small, few queries take the way of many.
    fn is_few(&self, span: &Span) -> bool {
        !self.level.is_small() && self.pairs(span) <= most_pairs(self.level.lanes())
    }

    /// Whether all operands are bf16, at a level that multiplies pairs of it.
    fn in_pairs(&self) -> bool {
        let Problem { q, kv, .. } = self.problem;
        self.level.has_bf16_dot() && [q.dtype(), kv.k.dtype(), kv.v.dtype()] == [Dtype::Bf16; 3]
    }

    /// Whether keys or values are widened.
    fn widens(&self) -> bool {
        let kv = &self.problem.kv;
        !self.in_pairs() && [kv.k, kv.v].iter().any(|of| !matches!(of.dtype(), Dtype::F32))
    }

    /// Whether rows of keys or values have something between them, such as other heads.
    fn are_apart(&self) -> bool {
        let (heads, kv) = (self.problem.heads, &self.problem.kv);
        [(kv.k, heads.d), (kv.v, heads.dv)]
            .iter()
            .any(|(of, columns)| for_each_type!(of, view => view.stride() > *columns))
    }

    /// Whether keys are so many that they do not stay near from one block of queries to the next.
    fn is_far(&self, span: &Span) -> bool {
        span.keys.len().saturating_mul(self.problem.kv.k.dtype().size()) >= BYTES_FAR
    }

    /// How many blocks, of the `left` from `item` on, take the keys in turn: all of the same head.
    fn abreast(&self, span: &Span, item: usize, left: usize) -> usize {
        // Asked for the level, so that programs for small ones alone do not link what takes several.
        if self.level.is_small() || self.plain(0, span).is_some() {
            return 1;
        }
        let most = self.memory.abreast(self.widens());
        if !(self.is_far(span) || self.in_pairs() || self.memory.takes()) {
            return 1;
        }
        let blocks = self.blocks(span);
        (blocks - div_rem(item, blocks).1).min(left).min(most)
    }

    /// How `count` blocks in turn are computed.
    fn way(&self, span: &Span, count: usize) -> Way {
        match self.in_pairs() {
            _ if self.is_few(span) => Way::Rows,
            true => Way::Dots,
            false if self.memory.takes() && (count > 1 && self.widens() || count > 2 && self.are_apart()) => Way::Taken,
            false => Way::Lanes,
        }
    }

    /// The head of block `item` of a sequence, counted through all heads, and the block's pairs.
    #[inline(always)]
    fn place(&self, span: &Span, item: usize) -> (usize, Range<usize>) {
        let (lanes, blocks, pairs) = (self.level.lanes(), self.blocks(span), self.pairs(span));
        let (kv, block) = div_rem(item, blocks);
        // Evenly, in whole registers: a tile of a single one has too few sums to keep the CPU busy.
        let registers = part_of(div_ceil(pairs, lanes), block, blocks);
        (kv, registers.start * lanes..pairs.min(registers.end * lanes))
    }

    /// The queries of block `item`, if the sequence has it.
    fn soon(&self, span: &Span, item: usize) -> Soon {
        let (kv, pairs) = self.place(span, item);
        if kv >= self.problem.heads.kv {
            return Soon::NOTHING;
        }
        let (group, d) = (self.problem.heads.group(), self.problem.heads.d);
        let queries = rows_of(&pairs, group);
        let q = Operand::of(&self.problem.q).at(span.queries.start + queries.start, kv * group * d);
        q.soon([queries.len(), group * d])
    }

    /// Block `item` of a sequence, with the memory of the task's `i`-th.
    fn queries(&self, way: Way, (task, i): (usize, usize), span: &Span, item: usize) -> Queries<'a> {
        let (kv, pairs) = self.place(span, item);
        let head = self.problem.head(span, kv, &self.results);
        let keys = match way {
            // Not more than there is memory for.
            Way::Dots => keys_in_pairs(self.level, self.keys).unwrap_or(self.keys),
            _ => self.keys,
        };
        Queries::new(self.level, way, head, pairs, (keys, self.memory.buffers(task, i, way)))
    }

    /// `count` blocks of a head, from `item` on.
    fn run(&self, task: usize, span: &Span, item: usize, count: usize) {
        if let Some(memory) = self.plain(task, span) {
            // SAFETY: the block is this task's; the memory is as long as it needs.
            let run = unsafe { plain::run(self.level, self.problem, (span, item), &self.results, memory) };
            debug_assert!(run.is_some(), "the views are as large as the sizes say");
            return;
        }
        let way = self.way(span, count);
        let asks =
            matches!(way, Way::Lanes | Way::Taken) && !self.level.is_small() && self.is_far(span) && self.are_apart();
        let block = |index: usize| {
            let mut queries = self.queries(way, (task, index), span, item + index);
            if asks {
                queries.turn = Some(Turn { index, count, next: self.soon(span, item + index + count) });
            }
            queries
        };
        match (way, count) {
            (Way::Rows, _) => {
                let parts = 0..parts(span.keys.len(), self.keys).len();
                self.level.dispatch(Few { queries: block(0), parts, seen: self.memory.partial(task) });
            }
            (_, 1) => self.run_many(way, &[block(0)]),
            (_, ..=ABREAST) => self.run_abreast::<ABREAST>(way, count, block),
            _ => self.run_abreast::<MANY_ABREAST>(way, count, block),
        }
    }

    /// `count` of at most `N` blocks.
    fn run_abreast<const N: usize>(&self, way: Way, count: usize, block: impl Fn(usize) -> Queries<'a>) {
        // The last one stands where there are no more.
        let blocks: [Queries<'_>; N] = core::array::from_fn(|i| block(i.min(count.saturating_sub(1))));
        self.run_many(way, blocks.get(..count).unwrap_or(&blocks));
    }

    fn run_many(&self, way: Way, blocks: &[Queries<'_>]) {
        match way {
            Way::Dots => {
                self.level.dispatch_dot(Many(blocks)).unwrap_or_default();
                tiles::end(self.level);
            }
            _ => self.level.dispatch(Many(blocks)),
        }
    }

    /// As [`run`](Self::run), the keys of few queries divided among the threads.
    fn share(&self, engine: &Engine<'_>, span: &Span, item: usize) {
        let parts = parts(span.keys.len(), self.keys).len();
        if !self.is_few(span) || parts == 1 {
            return self.run(0, span, item, 1);
        }
        let shared = Shared(*self);
        engine.split(parts, 1, |task, parts| {
            let work = shared.get();
            for i in parts {
                let (queries, seen) = (work.queries(Way::Rows, (task, 0), span, item), work.memory.partial(i));
                work.level.dispatch(Few { queries, parts: i..i + 1, seen });
            }
        });
        self.level.dispatch(Join { queries: self.queries(Way::Rows, (0, 0), span, item), memory: &self.memory });
    }
}

/// The parts of `n_k` keys, each of whole blocks; one without keys if there are none.
fn parts(n_k: usize, keys: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    let len = div_ceil(n_k.div_ceil(PARTS).max(KEYS_TO_A_PART), keys) * keys;
    (0..div_ceil(n_k, len).max(1)).map(move |i| i * len..n_k.min((i + 1) * len))
}

/// Blocks of many queries, of the same head of keys.
struct Many<'b, 'a>(&'b [Queries<'a>]);

impl Many<'_, '_> {
    /// # Safety
    /// See [`Queries`].
    #[inline(always)]
    unsafe fn run<S: Simd, P: Products<S>>(self, s: S) {
        // SAFETY: the same contract.
        unsafe {
            if !S::SMALL {
                block::run_in_turn::<S, P>(s, self.0);
            } else if let [queries, ..] = self.0 {
                // Small levels have never more, and alone it is less code.
                Block::new(s, queries.clone()).run::<P>();
            }
        }
    }
}

impl Op for Many<'_, '_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: see `Queries`, and `attention`.
        unsafe { self.run::<S, Lanes>(s) }
    }
}

impl DotOp for Many<'_, '_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Bf16Dot>(self, s: S) {
        // SAFETY: see `Queries`, and `attention`; the operands are bf16.
        unsafe { self.run::<S, Dots>(s) }
    }
}

/// A block of at most [`most_pairs`] pairs, over some parts of its keys, each merged with those before it.
struct Few<'a> {
    queries: Queries<'a>,
    parts: Range<usize>,
    /// What the parts have seen so far; if they are not all there are, the result.
    seen: Partial,
}

impl Op for Few<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if !rows::exist::<S>() {
            return;
        }
        let block = Block::new(s, self.queries);
        let seen = block.sight.keys();
        let all = parts(block.head.n_k, block.keys);
        let is_whole = self.parts.len() == all.len();
        // SAFETY: see `Queries`, and `attention`.
        unsafe {
            for (i, keys) in all.enumerate().skip(self.parts.start).take(self.parts.len()) {
                block.part(i, within(&seen, keys));
                if i > self.parts.start {
                    block.merge(self.seen);
                }
                if !is_whole || i + 1 < self.parts.end {
                    block.save(self.seen);
                }
            }
            if is_whole {
                block.finish::<Rows>();
            }
        }
    }
}

/// The parts' results, merged in their order and written.
struct Join<'a> {
    queries: Queries<'a>,
    memory: &'a Memory,
}

impl Op for Join<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if !rows::exist::<S>() {
            return;
        }
        let block = Block::new(s, self.queries);
        // SAFETY: see `Queries`, and `attention`; each part has left its result.
        unsafe {
            for i in 0..parts(block.head.n_k, block.keys).len() {
                block.restore(self.memory.partial(i));
                if i > 0 {
                    block.merge(self.memory.partial(i - 1));
                    block.save(self.memory.partial(i));
                }
            }
            block.finish::<Rows>();
        }
    }
}

/// What both ranges have, which may be nothing.
#[inline(always)]
fn within(a: &Range<usize>, b: Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

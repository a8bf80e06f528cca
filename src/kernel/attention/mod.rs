//! Attention over heads and sequences: how they divide into blocks of queries, and the blocks among threads.

pub(crate) mod block;
mod dots;
pub(crate) mod head;
mod lanes;
pub(crate) mod logits;
pub(crate) mod place;
mod rows;
mod weigh;
pub(crate) mod weights;

use core::ops::Range;

use self::block::{Block, Buffers, Products, Queries, STATE, Way};
use self::dots::{Dots, are_bf16};
use self::head::{Problem, Results, Span};
use self::lanes::Lanes;
use self::rows::{Partial, Rows, most_pairs, rows_len};
use crate::engine::{Engine, div_ceil, div_rem};
use crate::kernel::Shared;
use crate::scratch::{self, some};
use crate::simd::{Bf16Dot, DotOp, Level, Op, Simd};

/// Buffers: queries, scores, output, state and what is fetched, of each task; and partial results.
pub(crate) const BUFFERS: usize = 6;

/// Parts that the keys of few queries are divided into, at most, and the fewest keys to a part. Neither depends on the
/// threads, so the result does not.
const PARTS: usize = 8;
const KEYS_TO_A_PART: usize = 1024;

/// Blocks of queries that take each block of keys in turn, so that it comes from afar once for all of them.
const MAX_ABREAST: usize = 2;

/// The fewest dimensions where that is worth its memory: 64 gain 6 % at 8192 keys and nothing at 2048, and are to do with 64 KiB.
const DIMS_ABREAST: usize = 65;

/// The fewest bytes of keys or values to a dimension: less stays near from one block of queries to the next.
const BYTES_ABREAST: usize = 2048;

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
    let lens = buffer_lens(level, dims, keys, engine.threads());
    let fits = problem.fits() && keys > 0 && lens == Some(memory.each_ref().map(|part| part.len()));
    debug_assert!(fits, "ops check the sizes");
    if !fits {
        return;
    }
    let memory = Memory {
        all: memory.each_mut().map(|part| part.as_mut_ptr()),
        lens: block_lens(level, dims, keys).unwrap_or_default(),
        partial: Partial::len(problem.heads.dv, level.lanes()).unwrap_or(0),
        abreast: most_abreast(level, dims),
        lanes: level.lanes(),
    };
    let work = Work { level, problem, keys, results, memory };
    let items = spans.clone().map(|span| work.blocks(&span) * problem.heads.kv).sum();
    let shared = Shared(work);
    if items < engine.threads() && spans.clone().any(|span| work.is_few(&span)) {
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

/// The caller's memory, as long as [`buffer_lens`] says.
#[derive(Clone, Copy)]
struct Memory {
    all: [*mut f32; BUFFERS],
    /// Of one block of queries.
    lens: [usize; BUFFERS - 1],
    /// Blocks of queries that a task has at a time.
    abreast: usize,
    /// Floats of a partial.
    partial: usize,
    lanes: usize,
}

impl Memory {
    /// The parts for block `i` of those that a task has at a time. They share the scores and what is fetched.
    fn buffers(&self, task: usize, i: usize) -> Buffers {
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

    fn partial(&self, i: usize) -> Partial {
        Partial::at(self.all[BUFFERS - 1].wrapping_add(self.partial * i), self.lanes)
    }
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

    /// Blocks of such pairs.
    fn blocks(&self, span: &Span) -> usize {
        div_ceil(self.pairs(span), self.level.tile().1)
    }

    /// Whether rows are faster than lanes. Where code is to be small, few queries take the way of many.
    fn is_few(&self, span: &Span) -> bool {
        !self.level.is_small() && self.pairs(span) <= most_pairs(self.level.lanes())
    }

    /// How many blocks, of the `left` from `item` on, take the keys in turn: all of the same head.
    fn abreast(&self, span: &Span, item: usize, left: usize) -> usize {
        // Asked for the level, so that programs for small ones alone do not link what takes several.
        let bytes = span.keys.len().saturating_mul(self.problem.kv.k.dtype().size());
        if self.level.is_small() || bytes < BYTES_ABREAST {
            return 1;
        }
        let blocks = self.blocks(span);
        (blocks - div_rem(item, blocks).1).min(left).min(self.memory.abreast)
    }

    /// Block `item` of a sequence, counted through all its heads, with the memory of the task's `i`-th.
    fn queries(&self, (task, i): (usize, usize), span: &Span, item: usize) -> Queries<'a> {
        let (width, blocks) = (self.level.tile().1, self.blocks(span));
        let (kv, block) = div_rem(item, blocks);
        let pairs = block * width..self.pairs(span).min((block + 1) * width);
        let head = self.problem.head(span, kv, &self.results);
        let way = match self.level.has_bf16_dot() && are_bf16([&head.q, &head.k, &head.v]) {
            _ if self.is_few(span) => Way::Rows,
            true => Way::Dots,
            false => Way::Lanes,
        };
        Queries::new(self.level, way, head, pairs, (self.keys, self.memory.buffers(task, i)))
    }

    /// `count` blocks of a head, from `item` on.
    fn run(&self, task: usize, span: &Span, item: usize, count: usize) {
        let first = self.queries((task, 0), span, item);
        match first.way {
            Way::Rows => {
                let parts = 0..parts(span.keys.len(), self.keys).len();
                self.level.dispatch(Few { queries: first, parts, seen: self.memory.partial(task) });
            }
            way => {
                if count == MAX_ABREAST {
                    let second = self.queries((task, 1), span, item + 1);
                    self.run_many(way, &[first, second]);
                } else {
                    self.run_many(way, &[first]);
                }
            }
        }
    }

    fn run_many(&self, way: Way, blocks: &[Queries<'_>]) {
        match way {
            Way::Dots => self.level.dispatch_dot(Many(blocks)).unwrap_or_default(),
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
                let (queries, seen) = (work.queries((task, 0), span, item), work.memory.partial(i));
                work.level.dispatch(Few { queries, parts: i..i + 1, seen });
            }
        });
        self.level.dispatch(Join { queries: self.queries((0, 0), span, item), memory: &self.memory });
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
            match self.0 {
                [queries, ..] if S::SMALL => Block::new(s, queries.clone()).run::<P>(),
                blocks if !S::SMALL => block::run_in_turn::<S, P>(s, blocks),
                _ => {}
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

//! Attention over heads and sequences: how they divide into blocks of queries, and the blocks among threads.

mod block;
pub(crate) mod head;
mod lanes;
mod logits;
pub(crate) mod place;

use core::ops::Range;

use self::block::{Block, Buffers, STATE};
use self::head::{Head, Heads, Problem, Results, Span};
use self::lanes::Lanes;
use crate::engine::Engine;
use crate::kernel::Shared;
use crate::simd::{Level, Op, Simd};

/// Buffers of a task: queries, scores, output, state, and what is fetched.
pub(crate) const BUFFERS: usize = 5;

/// Keys to a block, unless the caller says otherwise. 64 x 48 scores are 12 KiB: with the queries, the output and the block's
/// keys they stay in the first-level cache. Where registers are few, memory is too.
pub(crate) fn default_keys(level: Level) -> usize {
    if level.tile().1 > 4 { 64 } else { 16 }
}

/// Floats of one task's buffers.
pub(crate) fn buffer_lens(level: Level, heads: &Heads, keys: usize) -> Option<[usize; BUFFERS]> {
    let (rows, width) = level.tile();
    let lines = |count: usize| count.checked_mul(width);
    let fetched = lanes::fetched_len(heads.d, keys, rows)?;
    Some([lines(heads.d)?, lines(keys)?, lines(heads.dv)?, lines(STATE)?, fetched])
}

/// Attention of every head of every sequence, blocks of queries split among the engine's threads. `spans` name rows of the
/// operands, no query twice; `memory` is as long as [`buffer_lens`] times the threads. Arguments that do not fit each other are
/// a mistake of the caller in this crate: nothing is done.
pub(crate) fn attention(
    engine: &Engine<'_>,
    problem: &Problem<'_>,
    keys: usize,
    spans: impl Iterator<Item = Span> + Clone + Sync,
    results: Results,
    memory: &mut [&mut [f32]; BUFFERS],
) {
    let level = engine.level();
    let lens = buffer_lens(level, problem.heads, keys).unwrap_or([usize::MAX; BUFFERS]);
    let fits = problem.fits()
        && keys > 0
        && memory.iter().zip(lens).all(|(part, len)| len.checked_mul(engine.threads()) == Some(part.len()));
    debug_assert!(fits, "ops check the sizes");
    if !fits {
        return;
    }
    let (width, group) = (level.tile().1, problem.heads.group());
    let blocks_of = |span: &Span| (span.queries.len() * group).div_ceil(width);
    let items = spans.clone().map(|span| blocks_of(&span) * problem.heads.kv).sum();
    let shared = Shared((results, memory.each_mut().map(|part| part.as_mut_ptr())));
    engine.split(items, 1, |task, items| {
        let (results, memory) = shared.get();
        let buffers = part(memory, lens, task);
        let mut first = 0;
        for span in spans.clone() {
            let blocks = blocks_of(&span);
            let last = first + blocks * problem.heads.kv;
            for item in items.start.max(first)..items.end.min(last) {
                let (kv, block) = ((item - first) / blocks, (item - first) % blocks);
                let head = problem.head(&span, kv, &results);
                let pairs = block * width..(head.n_q * group).min((block + 1) * width);
                level.dispatch(Pairs { head, pairs, keys, buffers });
            }
            first = last;
        }
    });
}

/// A block of pairs of a query and a head, at least one and at most as many as a tile is wide. No other task writes their
/// rows.
struct Pairs<'a> {
    head: Head<'a>,
    pairs: Range<usize>,
    keys: usize,
    buffers: Buffers,
}

impl Op for Pairs<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: see the type, and `attention`.
        unsafe { Block::new(s, self.head, self.pairs, self.keys, self.buffers).run::<Lanes>() }
    }
}

/// The part of each buffer that belongs to one task.
fn part(memory: [*mut f32; BUFFERS], lens: [usize; BUFFERS], task: usize) -> Buffers {
    let [queries, scores, output, state, fetched] = core::array::from_fn(|i| memory[i].wrapping_add(lens[i] * task));
    Buffers { queries, scores, output, state, fetched }
}

//! The weights themselves, for who wants to see them, without the matrix of them: how queries and keys divide into blocks, whose
//! weights are [weighed](super::weigh) and then shown or added up.

use core::ops::Range;

use super::head::{Head, Heads, Problem, Results, Span};
use super::memory::Memory;
use super::place::Sight;
use super::queries::{Queries, Way};
use super::rows::most_pairs;
use super::weigh::{Given, To, Weigh};
use super::{BUFFERS, Few, Many, parts, within};
use crate::engine::{Engine, div_ceil, div_rem};
use crate::kernel::{Shared, Strided};
use crate::simd::Level;
use crate::view::{MatMut, MatRef};

/// Some of the weights that one query gives in one head.
#[derive(Clone, Debug)]
pub struct AttentionWeights<'a> {
    /// The head of the query.
    pub head: usize,
    /// The row of `q`.
    pub query: usize,
    /// The rows of `k`; of a cache, the tokens in their order.
    pub keys: Range<usize>,
    /// One for each of the keys: from 0 to 1, or NaN.
    pub weights: &'a [f32],
}

/// Whose weights are looked at.
#[derive(Clone)]
pub(crate) struct Choice<'a> {
    /// Its values have no dimensions.
    pub problem: &'a Problem<'a>,
    /// Keys to a block.
    pub keys: usize,
    /// Rows of the queries.
    pub queries: Range<usize>,
    /// Heads of the queries.
    pub heads: Range<usize>,
    /// The logarithm of the sum of exponentials of every query and head, chosen or not.
    pub lse: Option<MatRef<'a>>,
}

/// The buffers of attention over values of no dimension, and rows of weights.
pub(crate) const WEIGHTS_BUFFERS: usize = BUFFERS + 1;

/// Their floats; `None` on overflow.
pub(crate) fn buffer_lens(level: Level, d: usize, keys: usize, threads: usize) -> Option<[usize; WEIGHTS_BUFFERS]> {
    let [queries, scores, output, state, fetched, partial] = super::buffer_lens(level, [d, 0], keys, threads)?;
    let rows = row_len(level, keys)?.checked_mul(level.tile().1)?;
    Some([queries, scores, output, state, fetched, partial, rows])
}

/// Floats of a row of weights: whole registers.
fn row_len(level: Level, keys: usize) -> Option<usize> {
    keys.checked_next_multiple_of(level.lanes())
}

/// Calls `each` with the weights of all chosen queries: those of one query in the order of the keys, as many at a time as a
/// block has, without those of keys that its place hides. `memory` is as long as [`buffer_lens`] says. Arguments that do not
/// fit each other are a mistake of the caller in this crate: nothing is done.
pub(crate) fn weights(
    engine: &Engine<'_>,
    choice: &Choice<'_>,
    spans: impl Iterator<Item = Span>,
    memory: &mut [&mut [f32]; WEIGHTS_BUFFERS],
    each: &mut dyn FnMut(AttentionWeights<'_>),
) {
    let Some(work) = Work::new(engine, choice, memory) else { return };
    let [.., rows] = memory;
    let len = row_len(work.level, choice.keys).unwrap_or(0);
    for span in spans {
        for group in work.groups(&span, choice.heads.clone()) {
            for block in 0..group.blocks(&work) {
                work.sums(&group, 0, block);
                for keys in group.head.blocks(group.seen(&work, block), choice.keys) {
                    work.weigh(&group, 0, block, keys.clone(), To::Rows(rows.as_mut_ptr(), len));
                    group.show(&work, &span, block, &keys, rows.chunks_exact(len), each);
                }
            }
        }
    }
}

/// Adds the weights of all chosen queries to `out`: to row `i` those of the `i`-th of as many equal parts of the chosen heads as
/// there are rows, to column `j` those of key `j`. Split among the engine's threads; otherwise as [`weights`].
pub(crate) fn mass(
    engine: &Engine<'_>,
    choice: &Choice<'_>,
    spans: impl Iterator<Item = Span> + Clone + Sync,
    mut out: MatMut<'_>,
    memory: &mut [&mut [f32]; WEIGHTS_BUFFERS],
) {
    let Some(work) = Work::new(engine, choice, memory) else { return };
    let rows = out.rows();
    let heads = div_rem(choice.heads.len(), rows).0;
    // Without the sums, to divide the keys would be to go through all of them once for each part.
    let parts = |span: &Span| if choice.lse.is_some() { parts(span.keys.len(), choice.keys).len() } else { 1 };
    let items = spans.clone().map(|span| parts(&span) * rows).sum();
    // Each row and part of the keys is one task's.
    let shared = Shared((work, out.as_mut_ptr(), out.stride()));
    engine.split(items, 1, |task, items| {
        let (work, out, stride) = shared.get();
        let mut first = 0;
        for span in spans.clone() {
            let parts = parts(&span);
            let last = first + parts * rows;
            for item in items.start.max(first)..items.end.min(last) {
                let (row, part) = div_rem(item - first, parts);
                let start = work.choice.heads.start + row * heads;
                let to = out.wrapping_add(row * stride + span.keys.start);
                work.add_up(task, &span, start..start + heads, [part, parts], to);
            }
            first = last;
        }
    });
}

/// What all tasks share.
#[derive(Clone, Copy)]
struct Work<'a> {
    level: Level,
    choice: &'a Choice<'a>,
    memory: Memory,
}

impl<'a> Work<'a> {
    /// `None` if the arguments do not fit each other.
    fn new(engine: &Engine<'_>, choice: &'a Choice<'a>, memory: &mut [&mut [f32]; WEIGHTS_BUFFERS]) -> Option<Self> {
        let (level, Heads { d, dv, count, .. }) = (engine.level(), *choice.problem.heads);
        let lens = buffer_lens(level, d, choice.keys, engine.threads());
        let n_q = choice.problem.q.rows();
        let fits = choice.problem.fits()
            && choice.keys > 0
            && dv == 0
            && choice.heads.end <= count
            && choice.queries.end <= n_q
            && choice.lse.is_none_or(|lse| lse.rows() == n_q && lse.cols() == count)
            && lens == Some(memory.each_ref().map(|part| part.len()));
        debug_assert!(fits, "ops check the sizes");
        let [queries, scores, output, state, fetched, partial, _] = memory.each_mut().map(|part| part.as_mut_ptr());
        let memory = Memory::new(
            level,
            [d, 0],
            [choice.keys, engine.threads()],
            [queries, scores, output, state, fetched, partial],
        )?;
        fits.then_some(Self { level, choice, memory })
    }

    /// Some heads, those that share keys together, of the chosen queries of a sequence.
    fn groups(&self, span: &Span, heads: Range<usize>) -> impl Iterator<Item = Group<'a>> + use<'a> {
        let (work, span, mut left) = (*self, span.clone(), heads);
        let queries = within(&work.choice.queries, span.queries.clone());
        let queries = queries.start.saturating_sub(span.queries.start)..queries.end.saturating_sub(span.queries.start);
        core::iter::from_fn(move || {
            let group = work.choice.problem.heads.group();
            let kv = div_rem(left.start, group).0;
            let end = left.end.min((kv + 1) * group);
            let heads = left.start..end;
            left.start = end;
            (!heads.is_empty() && !queries.is_empty()).then(|| Group::new(&work, &span, kv, heads, &queries))
        })
    }

    /// Takes the queries of a block, and leaves their maxima and sums in the task's memory.
    fn sums(&self, group: &Group<'_>, task: usize, block: usize) {
        let (queries, few) = (group.block(self, task, block), group.few);
        if let Some(lse) = group.lse {
            self.level.dispatch(Given { queries, few, lse });
        } else if few {
            let parts = 0..parts(group.head.n_k, self.choice.keys).len();
            self.level.dispatch(Few { queries, parts, seen: self.memory.partial(task) });
        } else {
            self.level.dispatch(Many(&[queries]));
        }
    }

    fn weigh(&self, group: &Group<'_>, task: usize, block: usize, keys: Range<usize>, to: To) {
        self.level.dispatch(Weigh { queries: group.block(self, task, block), few: group.few, keys, to });
    }

    /// Part `part[0]` of `part[1]` of the keys; `out` begins with the sequence's first.
    fn add_up(&self, task: usize, span: &Span, heads: Range<usize>, part: [usize; 2], out: *mut f32) {
        let n_k = span.keys.len();
        let keys = if part[1] == 1 { Some(0..n_k) } else { parts(n_k, self.choice.keys).nth(part[0]) };
        for group in self.groups(span, heads) {
            for block in 0..group.blocks(self) {
                let keys = within(&group.seen(self, block), keys.clone().unwrap_or_default());
                if !keys.is_empty() {
                    self.sums(&group, task, block);
                    self.weigh(&group, task, block, keys, To::Sums(out));
                }
            }
        }
    }
}

/// Queries of heads that share keys.
struct Group<'a> {
    /// As if there were no other heads.
    heads: Heads,
    head: Head<'a>,
    /// Pairs of a query and one of the heads.
    pairs: Range<usize>,
    /// Whether rows are faster than lanes.
    few: bool,
    lse: Option<Strided>,
}

impl<'a> Group<'a> {
    fn new(work: &Work<'a>, span: &Span, kv: usize, heads: Range<usize>, queries: &Range<usize>) -> Self {
        let Work { level, choice: &Choice { problem, lse, .. }, .. } = *work;
        let nowhere = Results { out: core::ptr::null_mut(), out_stride: 0, lse: None };
        let mut head = problem.head(span, kv, &nowhere);
        let skipped = heads.start - head.first;
        head.first = heads.start;
        head.q = head.q.at(0, skipped * problem.heads.d);
        head.bias = head.bias.map(|bias| bias.skip_heads(skipped));
        head.mask = head.mask.map(|mask| mask.skip_heads(skipped));
        let lse = lse.map(|lse| Strided::from_rows(&lse).at(span.queries.start, heads.start));
        let count = heads.len();
        let pairs = queries.start * count..queries.end * count;
        Self {
            heads: Heads { count: problem.heads.kv * count, ..*problem.heads },
            head,
            few: !level.is_small() && pairs.len() <= most_pairs(level.lanes()),
            pairs,
            lse,
        }
    }

    /// Blocks of pairs.
    fn blocks(&self, work: &Work<'_>) -> usize {
        div_ceil(self.pairs.len(), work.level.tile().1)
    }

    fn pairs(&self, work: &Work<'_>, block: usize) -> Range<usize> {
        let width = work.level.tile().1;
        let start = self.pairs.start + block * width;
        start..self.pairs.end.min(start + width)
    }

    /// From the first key that any query of the block sees to the last.
    fn seen(&self, work: &Work<'_>, block: usize) -> Range<usize> {
        let (head, pairs) = (&self.head, self.pairs(work, block));
        Sight::new(&head.limits, &pairs, self.heads.group(), work.level.lanes(), head.n_k).keys()
    }

    fn block(&self, work: &Work<'_>, task: usize, block: usize) -> Queries<'_> {
        let head = Head { heads: &self.heads, ..self.head };
        let way = if self.few { Way::Rows } else { Way::Lanes };
        let memory = (work.choice.keys, work.memory.buffers(task, 0, way));
        Queries::new(work.level, way, head, self.pairs(work, block), memory)
    }

    /// Calls `each` with a row of weights for each pair of a block, as far as its place sees these keys.
    fn show<'r>(
        &self,
        work: &Work<'_>,
        span: &Span,
        block: usize,
        keys: &Range<usize>,
        rows: impl Iterator<Item = &'r [f32]>,
        each: &mut dyn FnMut(AttentionWeights<'_>),
    ) {
        for (pair, row) in self.pairs(work, block).zip(rows) {
            let (query, head) = div_rem(pair, self.heads.group());
            let seen = within(keys, self.head.limits.keys(query, self.head.n_k));
            let Some(weights) = row.get(seen.start - keys.start..seen.end - keys.start) else { continue };
            if !weights.is_empty() {
                each(AttentionWeights {
                    head: self.head.first + head,
                    query: span.queries.start + query,
                    keys: span.keys.start + seen.start..span.keys.start + seen.end,
                    weights,
                });
            }
        }
    }
}

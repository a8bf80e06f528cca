//! Attention the plain way: all scores of some queries, a row each, their softmax, and its product with the values. Queries and output stay
//! the rows they are, and come and go between multiply-adds. To turn them for lanes takes longer than it saves where each query meets few
//! keys of many dimensions.

use super::head::{Heads, Lse, Problem, Results, Span};
use super::memory::NARROW;
use super::queries::logarithm;
use crate::element::Dtype;
use crate::engine::{Engine, div_rem, part_of};
use crate::kernel::map::Scale;
use crate::kernel::matmul::{Size, Types, by_plain, memory_lens};
use crate::kernel::output::Output;
use crate::kernel::rhs::{Order, Plain};
use crate::kernel::softmax;
use crate::scratch::some;
use crate::simd::Level;
use crate::view::MatRef;

/// Where it is faster: of more queries, which pay for the work on a key, of so many keys, and of at least so many dimensions. The same in
/// every type: the bits of narrow ones are those of the same numbers in f32.
const FEW_QUERIES: usize = 32;
const FEWEST_KEYS: usize = 16;
const MOST_KEYS: usize = 128;
const FEWEST_DIMS: usize = 128;
/// Where blocks of queries are narrow, as many keys as there are dimensions, up to these.
const MOST_KEYS_IF_NARROW: usize = 256;
/// Queries to a block, at most: keys and values are packed anew for each, and for each head.
const QUERIES: usize = 128;

/// Buffers: scores, queries that are widened, keys or values in panels, and a maximum and a sum for each query.
pub(super) const BUFFERS: usize = 4;

/// Whether a sequence is computed so. How a query is does not depend on threads, or on other sequences.
pub(super) fn is_faster(level: Level, problem: &Problem<'_>, span: &Span) -> bool {
    let Problem { heads, terms, .. } = problem;
    let dims = heads.d.min(heads.dv);
    let most_keys = if level.tile().1 > NARROW { MOST_KEYS } else { dims.min(MOST_KEYS_IF_NARROW) };
    dims >= FEWEST_DIMS
        && (FEWEST_KEYS..=most_keys).contains(&span.keys.len())
        && span.queries.len() > FEW_QUERIES
        && terms.options.is_none()
        && terms.sinks.is_none()
        && problem.keys_and_values(span, 0).is_some()
}

/// Blocks of a sequence's queries, of each of the heads that share keys.
pub(super) fn blocks(heads: &Heads, span: &Span) -> usize {
    span.queries.len().div_ceil(QUERIES) * heads.group()
}

/// Floats of the buffers, as many as types take that are widened; `None` on overflow.
pub(super) fn lens(level: Level, heads: &Heads, span: &Span) -> Option<[usize; BUFFERS]> {
    let (queries, keys) = (span.queries.len().min(QUERIES), span.keys.len());
    let types = Types { a: Dtype::F16, b: Dtype::F16, plain: true };
    let [widened, of_keys] = some!(memory_lens(level, Size { m: queries, k: heads.d, n: keys }, types));
    let [_, of_values] = some!(memory_lens(level, Size { m: queries, k: keys, n: heads.dv }, types));
    Some([some!(queries.checked_mul(keys)), widened, of_keys.max(of_values), 2 * queries])
}

/// Block `item` of a sequence, counted through all heads.
///
/// # Safety
/// No other task writes these rows. The buffers are as long as [`lens`] says.
pub(super) unsafe fn run(
    level: Level,
    problem: &Problem<'_>,
    (span, item): (&Span, usize),
    results: &Results,
    [scores, widened, panels, sums]: [*mut [f32]; BUFFERS],
) -> Option<()> {
    let (heads, n_k) = (problem.heads, span.keys.len());
    let blocks = span.queries.len().div_ceil(QUERIES);
    let (head, block) = div_rem(item, blocks);
    let (k, v) = some!(problem.keys_and_values(span, div_rem(head, heads.group()).0));
    let part = part_of(span.queries.len(), block, blocks);
    let (first, m) = (span.queries.start + part.start, part.len());
    let q = some!(problem.q.part(first..first + m, head * heads.d..(head + 1) * heads.d));
    let out = results.out.wrapping_add(first * results.out_stride + head * heads.dv);
    let engine = Engine::of_task(level);
    // SAFETY: the same contract.
    unsafe {
        by_plain(
            &engine,
            q,
            Plain::new(k, Order::OutIn),
            Output::plain(scores.cast(), n_k),
            [&mut *widened, &mut *panels],
        );
        let weights = core::slice::from_raw_parts_mut(scores.cast(), m * n_k);
        let sums = core::slice::from_raw_parts_mut(sums.cast(), m);
        level.dispatch(Scale { factor: heads.scale, row: weights });
        softmax::of_rows(level, weights, n_k, sums);
        let weights = some!(MatRef::new(weights, m, n_k).ok()).into();
        let out = Output::plain(out, results.out_stride);
        by_plain(&engine, weights, Plain::new(v, Order::InOut), out, [&mut *widened, &mut *panels]);
        if let Some(Lse { to, stride, .. }) = results.lse {
            for (row, [max, sum]) in (first..).zip(&*sums) {
                to.add(row * stride + head).write(logarithm(*max, *sum));
            }
        }
    }
    Some(())
}

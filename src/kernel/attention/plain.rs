//! Attention the plain way: all scores of some queries, a row each, their softmax, and its product with the values. Queries and output stay
//! the rows they are, and come and go between multiply-adds. To turn them for lanes takes longer than it saves where each query meets few
//! keys of many dimensions.

use core::ops::Range;

use super::head::{Heads, Problem, Results, Span};
use super::memory::NARROW;
use crate::element::Dtype;
use crate::kernel::map::Scale;
use crate::kernel::matmul::{Size, Types, by_plain, memory_lens};
use crate::kernel::output::Output;
use crate::kernel::rhs::{Order, Plain};
use crate::kernel::softmax;
use crate::scratch::some;
use crate::simd::Level;
use crate::view::{MatRef, Matrix};

/// Where it is faster: of more queries, which pay for the work on a key, of so many keys, and of at least so many dimensions. The same in
/// every type: the bits of narrow ones are those of the same numbers in f32.
const FEW_QUERIES: usize = 32;
const FEWEST_KEYS: usize = 16;
const KEYS: usize = 128;
const DIMS: usize = 128;
/// The same where blocks of queries are narrow: as many keys as there are dimensions, up to these.
const KEYS_IF_NARROW: usize = 256;
/// Queries to a block, at most: keys and values are packed anew for each.
const QUERIES: usize = 128;

/// Buffers: scores, queries that are widened, keys or values in panels, and a maximum and a sum for each query.
pub(super) const BUFFERS: usize = 4;

/// Whether a sequence is computed so. How a query is does not depend on threads, or on other sequences.
pub(super) fn is_faster(level: Level, problem: &Problem<'_>, span: &Span) -> bool {
    let Problem { heads, terms, .. } = problem;
    let dims = heads.d.min(heads.dv);
    let most_keys = if level.tile().1 > NARROW { KEYS } else { dims.min(KEYS_IF_NARROW) };
    dims >= DIMS
        && (FEWEST_KEYS..=most_keys).contains(&span.keys.len())
        && span.queries.len() > FEW_QUERIES
        && terms.options.is_none()
        && terms.sinks.is_none()
        && problem.keys_and_values(span, 0).is_some()
}

/// Blocks of a sequence's queries.
pub(super) fn blocks(span: &Span) -> usize {
    span.queries.len().div_ceil(QUERIES)
}

/// Floats of the buffers, as many as types take that are widened; `None` on overflow.
pub(super) fn lens(level: Level, heads: &Heads, span: &Span) -> Option<[usize; BUFFERS]> {
    let (queries, keys) = (span.queries.len().min(QUERIES), span.keys.len());
    let types = Types { a: Dtype::F16, b: Dtype::F16, plain: true };
    let [widened, of_keys] = some!(memory_lens(level, Size { m: queries, k: heads.d, n: keys }, types));
    let [_, of_values] = some!(memory_lens(level, Size { m: queries, k: keys, n: heads.dv }, types));
    Some([some!(queries.checked_mul(keys)), widened, of_keys.max(of_values), 2 * queries])
}

/// Some queries of a sequence, of all heads that share keys.
///
/// # Safety
/// They exist, and no other task writes their rows. The buffers are as long as [`lens`] says.
pub(super) unsafe fn run(
    level: Level,
    problem: &Problem<'_>,
    (span, kv, queries): (&Span, usize, Range<usize>),
    results: &Results,
    [scores, widened, panels, sums]: [*mut f32; BUFFERS],
) -> Option<()> {
    let (heads, group) = (problem.heads, problem.heads.group());
    let (k, v) = some!(problem.keys_and_values(span, kv));
    let rows = span.queries.start + queries.start..span.queries.start + queries.end;
    let [m, n_k] = [queries.len(), span.keys.len()];
    for head in kv * group..(kv + 1) * group {
        let q = some!(problem.q.part(rows.clone(), head * heads.d..(head + 1) * heads.d));
        let out = results.out.wrapping_add(rows.start * results.out_stride + head * heads.dv);
        // SAFETY: the same contract.
        unsafe {
            by_plain(level, q, Plain::new(k, Order::OutIn), Output::plain(scores, n_k), [widened, panels]);
            let weights = core::slice::from_raw_parts_mut(scores, m * n_k);
            let sums = core::slice::from_raw_parts_mut(sums.cast(), m);
            level.dispatch(Scale { factor: heads.scale, row: weights });
            softmax::of_rows(level, weights, n_k, sums);
            let weights = Matrix::F32(some!(MatRef::new(weights, m, n_k).ok()));
            by_plain(
                level,
                weights,
                Plain::new(v, Order::InOut),
                Output::plain(out, results.out_stride),
                [widened, panels],
            );
            if let Some(lse) = results.lse {
                for (row, [max, sum]) in rows.clone().zip(&*sums) {
                    lse.put(row, head, [max * core::f32::consts::LOG2_E, *sum]);
                }
            }
        }
    }
    Some(())
}

//! Attention over heads and sequences: how they divide into blocks of queries, and the blocks among threads.

use core::ops::Range;

use crate::engine::Engine;
use crate::kernel::flash::{Buffers, Head, QueryBlock, buffer_lens};
use crate::kernel::{Shared, Strided};
use crate::view::{MatMut, MatRef};

/// Dimensions and options that all heads share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub count: usize,
    /// Dimensions of a query and a key.
    pub d: usize,
    /// Dimensions of a value.
    pub dv: usize,
    /// The factor of the logits.
    pub scale: f32,
    pub causal: bool,
}

/// The rows of one sequence: its queries, and the keys they may see.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

/// `q`, `k` and `v`, head by head in their columns.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub q: MatRef<'a>,
    pub k: MatRef<'a>,
    pub v: MatRef<'a>,
}

/// Attention of every head of every sequence, blocks of queries split among the engine's threads. `spans` name rows of the
/// inputs, no query twice; `memory` is as long as [`buffer_lens`] times the threads. Arguments that do not fit each other are
/// a mistake of the caller in this crate: nothing is done.
pub(crate) fn attention(
    engine: &Engine<'_>,
    heads: &Heads,
    spans: impl Iterator<Item = Span> + Clone + Sync,
    inputs: Inputs<'_>,
    mut out: MatMut<'_>,
    memory: &mut [&mut [f32]; 4],
) {
    let lanes = engine.level().tile().1;
    let lens = buffer_lens(heads.d, heads.dv, lanes).unwrap_or([usize::MAX; 4]);
    let fits = inputs.fit(heads, &out)
        && spans.clone().all(|span| span.queries.end <= inputs.q.rows() && span.keys.end <= inputs.k.rows())
        && memory.iter().zip(lens).all(|(part, len)| len.checked_mul(engine.threads()) == Some(part.len()));
    debug_assert!(fits, "ops check the sizes");
    if !fits {
        return;
    }
    let blocks = |span: &Span| span.queries.len().div_ceil(lanes) * heads.count;
    let shared = Shared((inputs.head(heads, &mut out), memory.each_mut().map(|part| part.as_mut_ptr())));
    engine.split(spans.clone().map(|span| blocks(&span)).sum(), 1, |task, items| {
        let (whole, memory) = shared.get();
        let buffers = part(memory, lens, task);
        let mut first = 0;
        for span in spans.clone() {
            let last = first + blocks(&span);
            let per_head = span.queries.len().div_ceil(lanes);
            for item in items.start.max(first)..items.end.min(last) {
                let (head, block) = ((item - first) / per_head, (item - first) % per_head);
                let head = whole.of(&span, head);
                let queries = block * lanes..head.n_q.min((block + 1) * lanes);
                engine.level().dispatch(QueryBlock { head, queries, buffers });
            }
            first = last;
        }
    });
}

impl Inputs<'_> {
    fn fit(&self, heads: &Heads, out: &MatMut<'_>) -> bool {
        let Self { q, k, v } = self;
        let (keys, values) = (heads.count.checked_mul(heads.d), heads.count.checked_mul(heads.dv));
        keys == Some(q.cols())
            && keys == Some(k.cols())
            && values == Some(v.cols())
            && values == Some(out.cols())
            && (v.rows(), out.rows()) == (k.rows(), q.rows())
    }

    /// The first head over no rows yet.
    fn head(&self, heads: &Heads, out: &mut MatMut<'_>) -> Head {
        Head {
            q: Strided::from_rows(&self.q),
            k: Strided::from_rows(&self.k),
            v: Strided::from_rows(&self.v),
            out_stride: out.stride(),
            out: out.as_mut_ptr(),
            d: heads.d,
            dv: heads.dv,
            n_q: 0,
            n_k: 0,
            causal: heads.causal,
            scale: heads.scale * core::f32::consts::LOG2_E,
        }
    }
}

impl Head {
    /// Head `head` of one sequence, from the first over all rows.
    fn of(&self, span: &Span, head: usize) -> Self {
        Self {
            q: self.q.at(span.queries.start, head * self.d),
            k: self.k.at(span.keys.start, head * self.d),
            v: self.v.at(span.keys.start, head * self.dv),
            out: self.out.wrapping_add(span.queries.start * self.out_stride + head * self.dv),
            n_q: span.queries.len(),
            n_k: span.keys.len(),
            ..*self
        }
    }
}

/// The part of each buffer that belongs to one task.
fn part(memory: [*mut f32; 4], lens: [usize; 4], task: usize) -> Buffers {
    let [queries, scores, output, state] = core::array::from_fn(|i| memory[i].wrapping_add(lens[i] * task));
    Buffers { queries, scores, output, state }
}

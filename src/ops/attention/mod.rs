//! Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762).

pub(crate) mod cache;
mod inspect;
mod merge;
mod options;
mod sequences;
mod tables;

pub use cache::KvCache;
pub use inspect::Inspection;
pub use options::Attention;
pub use sequences::Sequences;
pub use tables::{Bias, Mask};

pub use crate::kernel::attention::weights::AttentionWeights;

use core::ops::Range;

use crate::element::{Dtype, Element};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::attention::head::{Lse, Problem, Results, Ring, Span, Stored};
use crate::kernel::attention::queries::write_lse;
use crate::kernel::attention::{self as kernel, BUFFERS, buffer_lens, default_keys};
use crate::ops::same;
use crate::profile::{Work, product};
use crate::scratch;
use crate::simd::Level;
use crate::view::{MatMut, MatRef, Matrix};

impl Engine<'_> {
    /// Bytes of scratch that [`Engine::attention`] needs: they depend on the dimensions of a head, the level and the number
    /// of threads, not on the number of queries or keys.
    ///
    /// # Errors
    /// [`Error::Value`] for 0 heads or dimensions, or another option out of its domain; [`Error::Overflow`] if the size does
    /// not fit in `usize`.
    pub fn attention_scratch(&self, attention: &Attention<'_>) -> Result<usize> {
        scratch::bytes(self.attention_lens(attention)?)
    }

    /// The lengths of the buffers.
    fn attention_lens(&self, attention: &Attention<'_>) -> Result<[usize; BUFFERS]> {
        attention.check_options()?;
        let keys = attention.keys_to_a_block(self.level());
        let dims = [attention.heads.d, attention.heads.dv];
        let overflow = Error::Overflow { arg: "attention" };
        let lens = buffer_lens(self.level(), dims, keys, self.threads()).ok_or(overflow)?;
        // Here, so that the call refuses what the query does before it looks at shapes.
        scratch::bytes(lens)?;
        Ok(lens)
    }

    /// Attention, head by head: `q` is `n_q x (heads * head_dim)`, `k` is `n_k x (kv_heads * head_dim)`, `v` is
    /// `n_k x (kv_heads * value_dim)`, `out` is `n_q x (heads * value_dim)`; `q`, `k` and `v` are f32, f16 or bf16, each as it
    /// likes.
    ///
    /// If all three are bf16, the levels `amxbf16`, `avx512bf16` and `neonbf16` multiply them by the CPU's products of bf16, unless there
    /// are few queries: weights are rounded to bf16 before they multiply the values, and subnormal numbers count as 0.
    ///
    /// A result does not depend on the pool, nor on other sequences. Few queries, or few keys to each, are computed in ways of their own: a
    /// query may have other last bits among more queries.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Value`] an option out of its domain,
    /// [`Error::Scratch`] too little scratch.
    pub fn attention<'a>(
        &self,
        attention: &Attention<'_>,
        q: impl Into<Matrix<'a>>,
        k: impl Into<Matrix<'a>>,
        v: impl Into<Matrix<'a>>,
        out: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let stored = Stored { k: k.into(), v: v.into(), head_rows: None, ring: Ring::NONE };
        self.attend(attention, q.into(), stored, out, None, scratch)
    }

    /// As [`Engine::attention`], and the natural logarithm of each query's sum of exponentials, by which partial results can
    /// be [merged](Engine::merge_attention) and weights recomputed: `lse` is `n_q x heads`.
    ///
    /// # Errors
    /// As [`Engine::attention`].
    #[expect(clippy::too_many_arguments, reason = "those of attention and one more")]
    pub fn attention_lse<'a>(
        &self,
        attention: &Attention<'_>,
        q: impl Into<Matrix<'a>>,
        k: impl Into<Matrix<'a>>,
        v: impl Into<Matrix<'a>>,
        out: MatMut<'_>,
        lse: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let stored = Stored { k: k.into(), v: v.into(), head_rows: None, ring: Ring::NONE };
        self.attend_lse(attention, q.into(), stored, out, lse, scratch)
    }

    /// As [`Engine::attention`], over the tokens of a cache, in the order in which they were appended: `q` is
    /// `n_q x (heads * head_dim)`, its last row that of the last token.
    ///
    /// # Errors
    /// As [`Engine::attention`]; [`Error::Value`] if the options divide the rows into several sequences, [`Error::Shape`] if the
    /// cache is for another number of heads.
    pub fn attention_cached<'a, E: Element>(
        &self,
        attention: &Attention<'_>,
        q: impl Into<Matrix<'a>>,
        cache: &KvCache<'_, E>,
        out: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        self.attend(attention, q.into(), cache.stored_for(attention)?, out, None, scratch)
    }

    /// As [`Engine::attention_cached`], with the logarithms of [`Engine::attention_lse`]: `lse` is `n_q x heads`.
    ///
    /// # Errors
    /// As [`Engine::attention_cached`].
    pub fn attention_cached_lse<'a, E: Element>(
        &self,
        attention: &Attention<'_>,
        q: impl Into<Matrix<'a>>,
        cache: &KvCache<'_, E>,
        out: MatMut<'_>,
        lse: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        self.attend_lse(attention, q.into(), cache.stored_for(attention)?, out, lse, scratch)
    }

    /// [`Engine::attention_cached`], or with `lse` [`Engine::attention_cached_lse`], over what a cache of so many heads stores.
    #[cfg(feature = "capi")]
    pub(crate) fn attention_stored(
        &self,
        attention: &Attention<'_>,
        q: Matrix<'_>,
        (heads, stored): (usize, Stored<'_>),
        out: MatMut<'_>,
        lse: Option<MatMut<'_>>,
        scratch: &mut [u8],
    ) -> Result<()> {
        attention.check_cache(heads)?;
        match lse {
            Some(lse) => self.attend_lse(attention, q, stored, out, lse, scratch),
            None => self.attend(attention, q, stored, out, None, scratch),
        }
    }

    fn attend_lse(
        &self,
        attention: &Attention<'_>,
        q: Matrix<'_>,
        kv: Stored<'_>,
        out: MatMut<'_>,
        mut lse: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        // What is refused without it first.
        self.attention_lens(attention)?;
        attention.check(&q, &kv, [out.rows(), out.cols()])?;
        attention.check_lse(q.rows(), [lse.rows(), lse.cols()])?;
        let lse = Lse { stride: lse.stride(), to: lse.as_mut_ptr(), write: write_lse };
        self.attend(attention, q, kv, out, Some(lse), scratch)
    }

    fn attend(
        &self,
        attention: &Attention<'_>,
        q: Matrix<'_>,
        kv: Stored<'_>,
        mut out: MatMut<'_>,
        lse: Option<Lse>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let lens = self.attention_lens(attention)?;
        attention.check(&q, &kv, [out.rows(), out.cols()])?;
        let mut memory = scratch::split(scratch, lens)?;
        let spans = attention.spans(q.rows(), kv.rows());
        let results = Results { out_stride: out.stride(), out: out.as_mut_ptr(), lse };
        let problem = Problem { heads: &attention.heads, terms: &attention.terms, q, kv };
        let span = self.span(|| attention_of(&problem, spans.clone(), lse.is_some()));
        kernel::attention(
            span.engine(),
            &problem,
            attention.keys_to_a_block(self.level()),
            spans,
            results,
            &mut memory,
        );
        Ok(())
    }
}

impl Attention<'_> {
    /// [`Engine::attention_scratch`] at compile time, for one thread and the usual number of keys to a block; `usize::MAX` if it
    /// does not fit in `usize`: no array is as long.
    pub const fn scratch_len(head_dim: usize, value_dim: usize, level: Level) -> usize {
        scratch::len_or_max(match buffer_lens(level, [head_dim, value_dim], default_keys(level), 1) {
            Some(lens) => scratch::checked_bytes(lens),
            None => None,
        })
    }
}

/// Keys of all sequences, and how many of them all queries of one head see together.
fn seen(spans: impl Iterator<Item = Span>, queries: &Range<usize>) -> (usize, u64) {
    let (mut keys, mut pairs) = (0, 0);
    for span in spans {
        let n_k = span.keys.len();
        keys = n_k.saturating_add(keys);
        let chosen = span.queries.start.max(queries.start)..span.queries.end.min(queries.end);
        let pairs_of = |i: usize| span.limits.keys(i.saturating_sub(span.queries.start), n_k).len() as u64;
        pairs = chosen.map(pairs_of).fold(pairs, u64::saturating_add);
    }
    (keys, pairs)
}

/// What all heads of all sequences do.
fn attention_of(problem: &Problem<'_>, spans: impl Iterator<Item = Span>, lse: bool) -> Work {
    let Problem { heads, q, kv, .. } = problem;
    let (keys, pairs) = seen(spans, &(0..q.rows()));
    let bytes = |rows: usize, heads: usize, dim: usize, of: Dtype| product([rows, heads, dim, of.size()]);
    let (queries, types) = (q.rows(), [q.dtype(), kv.k.dtype(), kv.v.dtype()]);
    let read = [
        bytes(queries, heads.count, heads.d, types[0]),
        bytes(keys, heads.kv, heads.d, types[1]),
        bytes(keys, heads.kv, heads.dv, types[2]),
    ];
    let sums = if lse { bytes(queries, heads.count, 1, Dtype::F32) } else { 0 };
    let written = bytes(queries, heads.count, heads.dv, Dtype::F32).saturating_add(sums);
    Work::attention(
        [queries, keys, heads.count],
        [heads.d, heads.dv],
        pairs,
        types,
        [read.into_iter().fold(0, u64::saturating_add), written],
    )
}

fn columns(heads: usize, dim: usize) -> Result<usize> {
    heads.checked_mul(dim).ok_or(Error::Overflow { arg: "heads" })
}

impl Stored<'_> {
    fn heads_in_a_row(&self, all: usize) -> usize {
        if self.head_rows.is_none() { all } else { 1 }
    }

    /// Keys of one head.
    fn rows(&self) -> usize {
        if self.head_rows.is_none() { self.k.rows() } else { self.ring.len }
    }
}

impl Attention<'_> {
    /// Whether the operands fit each other; `out` is the result's rows and columns.
    fn check(&self, q: &Matrix<'_>, kv: &Stored<'_>, out: [usize; 2]) -> Result<()> {
        self.check_q_and_k(q, kv)?;
        same("v", columns(kv.heads_in_a_row(self.heads.kv), self.heads.dv)?, kv.v.cols())?;
        same("v", kv.k.rows(), kv.v.rows())?;
        same("out", columns(self.heads.count, self.heads.dv)?, out[1])?;
        same("out", q.rows(), out[0])?;
        self.check_sequences(q.rows(), kv.rows())
    }

    fn check_q_and_k(&self, q: &Matrix<'_>, kv: &Stored<'_>) -> Result<()> {
        same("q", columns(self.heads.count, self.heads.d)?, q.cols())?;
        same("k", columns(kv.heads_in_a_row(self.heads.kv), self.heads.d)?, kv.k.cols())
    }

    /// Whether that are the rows and columns of logarithms of sums.
    fn check_lse(&self, n_q: usize, lse: [usize; 2]) -> Result<()> {
        same("lse", n_q, lse[0])?;
        same("lse", self.heads.count, lse[1])
    }
}

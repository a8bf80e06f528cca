//! Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762).

use core::ops::Range;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::attention::{Buffers, Head, QueryBlock, scratch_lens};
use crate::kernel::gemv::Gemv;
use crate::kernel::map::Scale;
use crate::kernel::softmax::Softmax;
use crate::kernel::{Shared, Strided};
use crate::ops::{covers, same};
use crate::scratch;
use crate::view::{MatMut, MatRef};

/// What attention computes: `softmax(scale * Q K^T + mask) V` for each head of each sequence.
///
/// The order is scale, mask, softmax. A query that sees no key gives zeros. Keys and values that are masked for a query have no
/// influence on it, whatever they are; a NaN or +inf in a logit it sees makes its whole row NaN. Accumulation is in f32.
///
/// ```
/// use selfattn::{Attention, Engine, MatMut, MatRef};
///
/// let engine = Engine::new();
/// let attention = Attention::new(1, 2).causal(true);
/// let words = [1.0, 0.0, 0.0, 1.0]; // two words, two dimensions
/// let words = MatRef::new(&words, 2, 2)?;
/// let (mut out, mut scratch) = ([0.0; 4], vec![0; engine.attention_scratch(&attention)?]);
/// engine.attention(&attention, words, words, words, MatMut::new(&mut out, 2, 2)?, &mut scratch)?;
/// assert_eq!(out[..2], [1.0, 0.0]); // the first word sees only itself
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    heads: usize,
    head_dim: usize,
    value_dim: usize,
    scale: f32,
    causal: bool,
    sequences: Sequences<'a>,
}

/// How the rows of `q`, `k` and `v` divide into sequences. A query sees keys of its own sequence only.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sequences<'a> {
    /// One sequence; there may be more keys than queries, or fewer.
    #[default]
    One,
    /// Sequences of these lengths, end to end, without padding; as many queries as keys.
    Packed(&'a [usize]),
    /// As many blocks of equal size as there are key lengths; the first `key_lengths[i]` keys of block `i` are seen.
    Padded {
        /// Keys seen in each block.
        key_lengths: &'a [usize],
    },
}

impl<'a> Attention<'a> {
    /// `heads` heads of `head_dim` dimensions, the scale `1 / sqrt(head_dim)`, no mask, one sequence.
    pub fn new(heads: usize, head_dim: usize) -> Self {
        let scale = 1.0 / libm::sqrtf(head_dim.max(1) as f32);
        Self { heads, head_dim, value_dim: head_dim, scale, causal: false, sequences: Sequences::One }
    }

    /// The dimensions of a head's values, if not those of its keys.
    #[must_use]
    pub fn value_dim(self, value_dim: usize) -> Self {
        Self { value_dim, ..self }
    }

    /// The factor of the logits.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// Whether a query sees only the keys up to its own place. Places are counted from the end: the last query sees every key.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        Self { causal, ..self }
    }

    /// How the rows divide into sequences.
    #[must_use]
    pub fn sequences(self, sequences: Sequences<'a>) -> Self {
        Self { sequences, ..self }
    }

    fn check_sequences(&self, n_q: usize, n_k: usize) -> Result<()> {
        match self.sequences {
            Sequences::One => Ok(()),
            Sequences::Packed(lengths) => {
                same("k", n_q, n_k)?;
                covers("sequences", lengths, n_q)
            }
            Sequences::Padded { key_lengths } => {
                let count = key_lengths.len();
                for (arg, rows) in [("q", n_q), ("k", n_k)] {
                    if rows.checked_rem(count).unwrap_or(rows) != 0 {
                        return Err(Error::Shape { arg, expected: count, got: rows });
                    }
                }
                let most = n_k.checked_div(count).unwrap_or(0);
                match key_lengths.iter().find(|&&len| len > most) {
                    Some(&got) => Err(Error::Shape { arg: "key_lengths", expected: most, got }),
                    None => Ok(()),
                }
            }
        }
    }

    /// The rows of the queries and of the visible keys of every sequence.
    fn spans(&self, n_q: usize, n_k: usize) -> impl Iterator<Item = Span> + use<'a> {
        let (sequences, mut start) = (self.sequences, 0);
        let count = match sequences {
            Sequences::One => 1,
            Sequences::Packed(lengths) => lengths.len(),
            Sequences::Padded { key_lengths } => key_lengths.len(),
        };
        (0..count).map(move |i| match sequences {
            Sequences::One => Span { queries: 0..n_q, keys: 0..n_k },
            Sequences::Packed(lengths) => {
                let rows = start..start + lengths[i];
                start = rows.end;
                Span { queries: rows.clone(), keys: rows }
            }
            Sequences::Padded { key_lengths } => {
                let (q, k) = (n_q / count, n_k / count);
                Span { queries: i * q..(i + 1) * q, keys: i * k..i * k + key_lengths[i] }
            }
        })
    }
}

/// The rows of one sequence.
struct Span {
    queries: Range<usize>,
    keys: Range<usize>,
}

impl Engine<'_> {
    /// Bytes of scratch that [`Engine::attention`] needs: they depend on the dimensions of a head, the level and the number
    /// of threads, not on the number of queries or keys.
    ///
    /// # Errors
    /// [`Error::Value`] for 0 heads or dimensions, [`Error::Overflow`] if the size does not fit in `usize`.
    pub fn attention_scratch(&self, attention: &Attention<'_>) -> Result<usize> {
        scratch::bytes(self.attention_lens(attention)?)
    }

    /// The lengths of one task's buffers, times the threads.
    fn attention_lens(&self, attention: &Attention<'_>) -> Result<[usize; 4]> {
        let Attention { heads, head_dim: d, value_dim: dv, .. } = *attention;
        if let Some((arg, _)) = [("heads", heads), ("head_dim", d), ("value_dim", dv)].into_iter().find(|x| x.1 == 0) {
            return Err(Error::Value { arg });
        }
        let overflow = Error::Overflow { arg: "attention" };
        let mut lens = scratch_lens(d, dv, self.level().tile().1).ok_or(overflow)?;
        for len in &mut lens {
            *len = len.checked_mul(self.threads()).ok_or(overflow)?;
        }
        Ok(lens)
    }

    /// Attention, head by head: `q` is `n_q x (heads * head_dim)`, `k` is `n_k x (heads * head_dim)`, `v` is
    /// `n_k x (heads * value_dim)`, `out` is `n_q x (heads * value_dim)`.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Value`] an option out of its domain,
    /// [`Error::Scratch`] too little scratch.
    pub fn attention(
        &self,
        attention: &Attention<'_>,
        q: MatRef<'_>,
        k: MatRef<'_>,
        v: MatRef<'_>,
        mut out: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let lens = self.attention_lens(attention)?;
        attention.check(&q, &k, &v, &out)?;
        let buffers = scratch::split(scratch, lens)?.map(|buffer| Shared(buffer.as_mut_ptr()));
        let Attention { heads, head_dim: d, value_dim: dv, causal, .. } = *attention;
        let lanes = self.level().tile().1;
        let whole = Head {
            q: Strided::from_rows(&q),
            k: Strided::from_rows(&k),
            v: Strided::from_rows(&v),
            // SAFETY (of sharing): a task writes the rows of its queries in the columns of its head, and its own buffers.
            out: Shared(out.as_mut_ptr()),
            out_stride: out.stride(),
            d,
            dv,
            n_q: 0,
            n_k: 0,
            causal,
            scale: attention.scale * core::f32::consts::LOG2_E,
        };
        let whole = Shared(whole);
        let blocks = |span: &Span| span.queries.len().div_ceil(lanes) * heads;
        let items = attention.spans(q.rows(), k.rows()).map(|span| blocks(&span)).sum();
        self.split(items, 1, |task, items| {
            let buffers = task_buffers(&buffers, lens, self.threads(), task);
            let mut first = 0;
            for span in attention.spans(q.rows(), k.rows()) {
                let last = first + blocks(&span);
                let per_head = span.queries.len().div_ceil(lanes);
                for item in items.start.max(first)..items.end.min(last) {
                    let (head, block) = ((item - first) / per_head, (item - first) % per_head);
                    let head = whole.get().of(&span, head);
                    let queries = block * lanes..head.n_q.min((block + 1) * lanes);
                    self.level().dispatch(QueryBlock { head, queries, buffers });
                }
                first = last;
            }
        });
        Ok(())
    }

    /// The weights that one query of one head gives to all keys: `softmax(scale * K q)`, for inspection. `q` is `head_dim`
    /// long, `k` is `n_k x head_dim`, the columns of that head; `out` is `n_k` long. Masks and sequences are not applied.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit.
    pub fn attention_weights(
        &self,
        attention: &Attention<'_>,
        q: &[f32],
        k: MatRef<'_>,
        out: &mut [f32],
    ) -> Result<()> {
        same("q", attention.head_dim, q.len())?;
        same("k", attention.head_dim, k.cols())?;
        same("out", k.rows(), out.len())?;
        self.level().dispatch(Gemv { w: k, x: q, y: out });
        self.level().dispatch(Scale { factor: attention.scale, row: out });
        self.level().dispatch(Softmax { row: out });
        Ok(())
    }
}

impl Attention<'_> {
    fn check(&self, q: &MatRef<'_>, k: &MatRef<'_>, v: &MatRef<'_>, out: &MatMut<'_>) -> Result<()> {
        let width = |dim: usize| self.heads.checked_mul(dim).ok_or(Error::Overflow { arg: "heads" });
        same("q", width(self.head_dim)?, q.cols())?;
        same("k", width(self.head_dim)?, k.cols())?;
        same("v", width(self.value_dim)?, v.cols())?;
        same("v", k.rows(), v.rows())?;
        same("out", width(self.value_dim)?, out.cols())?;
        same("out", q.rows(), out.rows())?;
        self.check_sequences(q.rows(), k.rows())
    }
}

impl Head {
    /// Head `head` of one sequence, from the matrices of all.
    fn of(&self, span: &Span, head: usize) -> Self {
        Self {
            q: self.q.at(span.queries.start, head * self.d),
            k: self.k.at(span.keys.start, head * self.d),
            v: self.v.at(span.keys.start, head * self.dv),
            out: Shared(self.out.0.wrapping_add(span.queries.start * self.out_stride + head * self.dv)),
            n_q: span.queries.len(),
            n_k: span.keys.len(),
            ..*self
        }
    }
}

/// The part of each buffer that belongs to one task.
fn task_buffers(buffers: &[Shared<*mut f32>; 4], lens: [usize; 4], threads: usize, task: usize) -> Buffers {
    let part = |i: usize| buffers[i].0.wrapping_add(lens[i] / threads * task);
    Buffers { queries: part(0), scores: part(1), output: part(2), state: part(3) }
}

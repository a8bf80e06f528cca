//! Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762).

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::attention::{self as kernel, Heads, Inputs, Span};
use crate::kernel::flash::buffer_lens;
use crate::kernel::gemv::gemv;
use crate::kernel::map::Scale;
use crate::ops::{covers, same};
use crate::scratch;
use crate::view::{MatMut, MatRef, Matrix};

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
    heads: Heads,
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
        let heads = Heads { count: heads, d: head_dim, dv: head_dim, scale, causal: false };
        Self { heads, sequences: Sequences::One }
    }

    /// The dimensions of a head's values, if not those of its keys.
    #[must_use]
    pub fn value_dim(self, value_dim: usize) -> Self {
        Self { heads: Heads { dv: value_dim, ..self.heads }, ..self }
    }

    /// The factor of the logits.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { heads: Heads { scale, ..self.heads }, ..self }
    }

    /// Whether a query sees only the keys up to its own place. Places are counted from the end: the last query sees every key.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        Self { heads: Heads { causal, ..self.heads }, ..self }
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
    fn spans(&self, n_q: usize, n_k: usize) -> impl Iterator<Item = Span> + Clone + Sync + use<'a> {
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
        let Heads { count: heads, d, dv, .. } = attention.heads;
        if let Some((arg, _)) = [("heads", heads), ("head_dim", d), ("value_dim", dv)].into_iter().find(|x| x.1 == 0) {
            return Err(Error::Value { arg });
        }
        let overflow = Error::Overflow { arg: "attention" };
        let mut lens = buffer_lens(d, dv, self.level().tile().1).ok_or(overflow)?;
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
        out: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let lens = self.attention_lens(attention)?;
        attention.check(&q, &k, &v, &out)?;
        let mut memory = scratch::split(scratch, lens)?;
        let spans = attention.spans(q.rows(), k.rows());
        kernel::attention(self, &attention.heads, spans, Inputs { q, k, v }, out, &mut memory);
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
        same("q", attention.heads.d, q.len())?;
        same("k", attention.heads.d, k.cols())?;
        same("out", k.rows(), out.len())?;
        gemv(self, &Matrix::F32(k).into(), q, out);
        self.level().dispatch(Scale { factor: attention.heads.scale, row: out });
        let keys = out.len();
        self.softmax(MatMut::new(out, 1, keys)?);
        Ok(())
    }
}

impl Attention<'_> {
    fn check(&self, q: &MatRef<'_>, k: &MatRef<'_>, v: &MatRef<'_>, out: &MatMut<'_>) -> Result<()> {
        let width = |dim: usize| self.heads.count.checked_mul(dim).ok_or(Error::Overflow { arg: "heads" });
        same("q", width(self.heads.d)?, q.cols())?;
        same("k", width(self.heads.d)?, k.cols())?;
        same("v", width(self.heads.dv)?, v.cols())?;
        same("v", k.rows(), v.rows())?;
        same("out", width(self.heads.dv)?, out.cols())?;
        same("out", q.rows(), out.rows())?;
        self.check_sequences(q.rows(), k.rows())
    }
}

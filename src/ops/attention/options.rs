//! What attention computes: one builder, whose options compose.

use super::sequences::{Sequences, check_tables};
use super::tables::{Bias, Mask};
use crate::error::{Error, Result};
use crate::kernel::attention::default_keys;
use crate::kernel::attention::head::{Heads, Terms};
use crate::kernel::attention::logits;
use crate::simd::Level;

/// The most keys to a block.
const MAX_KEYS: usize = 1024;

/// What attention computes: `softmax(logits) V` for each head of each sequence, where the logits are those of
/// `scale * Q K^T`, then capped, then biased, then masked.
///
/// A query that sees no key gives zeros, and -inf for the logarithm of its sum. Keys and values that are masked for a query
/// have no influence on it, whatever they are. A logit of -inf counts as masked; a NaN or +inf in a logit that a query sees
/// makes its whole row NaN. Logits are computed in powers of two, so that a product of more than `f32::MAX * ln(2)`, 2.3e38, with
/// the scale or without it, may count as infinite; finite biases and sinks beyond that count as that much. Accumulation is in f32, whatever the storage types.
///
/// The place of a query among the keys, which causality, windows and ALiBi go by, is counted from the end, unless
/// [`query_offset`](Self::query_offset) says otherwise: the last query stands at the last key.
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
    pub(super) heads: Heads,
    pub(super) terms: Terms<'a>,
    pub(super) sequences: Sequences<'a>,
    causal: bool,
    window: [Option<usize>; 2],
    offset: Option<usize>,
    keys: Option<usize>,
    /// Whether tables fit the rows: set with one, so that a program without does not link it.
    pub(super) check_tables: Option<CheckTables>,
}

/// Of so many queries and keys.
pub(super) type CheckTables = fn(&Attention<'_>, usize, usize) -> Result<()>;

/// What options that change or hide logits need.
const OPTIONS: Option<logits::Options> = Some(logits::options);

impl<'a> Attention<'a> {
    /// `heads` heads of `head_dim` dimensions, the scale `1 / sqrt(head_dim)`, no mask, one sequence.
    pub fn new(heads: usize, head_dim: usize) -> Self {
        let scale = 1.0 / libm::sqrtf(head_dim.max(1) as f32);
        Self {
            heads: Heads { count: heads, kv: heads, d: head_dim, dv: head_dim, scale },
            terms: Terms::default(),
            sequences: Sequences::One,
            causal: false,
            window: [None; 2],
            offset: None,
            keys: None,
            check_tables: None,
        }
    }

    /// Heads of keys and values, if fewer than those of queries (Shazeer 2019, arXiv 1911.02150; Ainslie et al. 2023, arXiv
    /// 2305.13245): query head `h` reads head `h / (heads / kv_heads)`.
    #[must_use]
    pub fn kv_heads(self, kv_heads: usize) -> Self {
        Self { heads: Heads { kv: kv_heads, ..self.heads }, ..self }
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

    /// Whether a query sees only the keys up to its own place.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        let options = if causal { OPTIONS } else { self.terms.options };
        Self { causal, terms: Terms { options, ..self.terms }, ..self }
    }

    /// How many keys before its own place a query sees, and how many behind it; `None` for all of them.
    #[must_use]
    pub fn window(self, left: Option<usize>, right: Option<usize>) -> Self {
        let options = if left.is_some() || right.is_some() { OPTIONS } else { self.terms.options };
        Self { window: [left, right], terms: Terms { options, ..self.terms }, ..self }
    }

    /// The place of the first query of every sequence among the sequence's keys.
    #[must_use]
    pub fn query_offset(self, place: usize) -> Self {
        Self { offset: Some(place), ..self }
    }

    /// How the rows divide into sequences.
    #[must_use]
    pub fn sequences(self, sequences: Sequences<'a>) -> Self {
        Self { sequences, ..self }
    }

    /// Numbers added to the logits; -inf masks.
    #[must_use]
    pub fn bias(self, bias: Bias<'a>) -> Self {
        let terms = Terms { bias: Some(bias.0), options: OPTIONS, ..self.terms };
        Self { terms, check_tables: Some(check_tables), ..self }
    }

    /// Which keys are seen.
    #[must_use]
    pub fn mask(self, mask: Mask<'a>) -> Self {
        let terms = Terms { mask: Some(mask.0), options: OPTIONS, ..self.terms };
        Self { terms, check_tables: Some(check_tables), ..self }
    }

    /// ALiBi (Press et al. 2021, arXiv 2108.12409): the distance between a query's place and a key, times minus the slope of
    /// the head, is added to the logit. One slope a head.
    #[must_use]
    pub fn alibi(self, slopes: &'a [f32]) -> Self {
        Self { terms: Terms { alibi: Some(slopes), options: OPTIONS, ..self.terms }, ..self }
    }

    /// Logits become `cap * tanh(logit / cap)`, before anything is added to them (Gemma 2, arXiv 2408.00118).
    #[must_use]
    pub fn softcap(self, cap: f32) -> Self {
        Self { terms: Terms { softcap: Some(cap), options: OPTIONS, ..self.terms }, ..self }
    }

    /// One more logit a head, of a key without a value: it takes its part of the softmax and adds nothing to the result (Xiao
    /// et al. 2023, arXiv 2309.17453; learned, as in gpt-oss).
    #[must_use]
    pub fn sinks(self, logits: &'a [f32]) -> Self {
        Self { terms: Terms { sinks: Some(logits), ..self.terms }, ..self }
    }

    /// Keys worked on at a time, at most 1024, where keys are many: fewer need less scratch and rescale more often. Unless given, 64, or 16 where
    /// registers are few. The level `amxbf16` works on twice as many where all operands are bf16.
    #[must_use]
    pub fn key_block(self, keys: usize) -> Self {
        Self { keys: Some(keys), ..self }
    }

    pub(super) fn keys_to_a_block(&self, level: Level) -> usize {
        self.keys.unwrap_or(default_keys(level))
    }

    /// Keys before and behind its place that a query sees.
    pub(super) fn window_of_keys(&self) -> [Option<usize>; 2] {
        let [left, right] = self.window;
        [left, if self.causal { Some(0) } else { right }]
    }

    pub(super) fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// Whether the options lie in their domains, whatever the operands.
    pub(super) fn check_options(&self) -> Result<()> {
        let Heads { count, kv, d, dv, .. } = self.heads;
        let value = |arg| Err(Error::Value { arg });
        if let Some((arg, _)) =
            [("heads", count), ("kv_heads", kv), ("head_dim", d), ("value_dim", dv)].into_iter().find(|x| x.1 == 0)
        {
            return value(arg);
        }
        if !count.is_multiple_of(kv) {
            return value("kv_heads");
        }
        if self.terms.softcap.is_some_and(|cap| !(cap > 0.0 && cap.is_finite())) {
            return value("softcap");
        }
        if self.keys.is_some_and(|keys| keys == 0 || keys > MAX_KEYS) {
            return value("key_block");
        }
        for (arg, row) in [("alibi", self.terms.alibi), ("sinks", self.terms.sinks)] {
            if let Some(row) = row {
                super::super::same(arg, count, row.len())?;
            }
        }
        Ok(())
    }
}

//! What attention looks at: its weights, some at a time, and what each key gets of them.

use core::ops::Range;

use super::cache::KvCache;
use super::options::Attention;
use crate::element::Element;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::attention::head::{Heads, Problem, Ring, Stored};
use crate::kernel::attention::weights::{self as kernel, AttentionWeights, Choice, WEIGHTS_BUFFERS, buffer_lens};
use crate::ops::same;
use crate::scratch;
use crate::simd::Level;
use crate::view::{MatMut, MatRef, Matrix, within};

/// Which weights of an attention are to be seen: those that its queries give to its keys, all of them, or those of some
/// queries or heads.
///
/// A weight is `exp(logit - lse)`, and the logits are those of all the options of [`Attention`]. Of a masked key it is exactly 0,
/// so it is for a query that sees no key. A NaN or +inf in a logit that a query sees makes all its weights of keys that it sees
/// NaN. With [sinks](Attention::sinks) the weights of a query do not add up to 1: the rest is the sink's.
///
/// Without the [logarithms of the sums](Self::lse), they are computed first, by one more pass over the keys.
#[derive(Clone, Debug)]
pub struct Inspection<'a> {
    attention: &'a Attention<'a>,
    q: Matrix<'a>,
    k: Matrix<'a>,
    head_rows: Option<usize>,
    ring: Ring,
    queries: Range<usize>,
    heads: Range<usize>,
    lse: Option<MatRef<'a>>,
}

impl<'a> Inspection<'a> {
    /// Of the operands of [`Engine::attention`]: `q` is `n_q x (heads * head_dim)`, `k` is `n_k x (kv_heads * head_dim)`. Values
    /// are not needed, nor is their dimension.
    pub fn new(attention: &'a Attention<'a>, q: impl Into<Matrix<'a>>, k: impl Into<Matrix<'a>>) -> Self {
        Self::over(attention, q.into(), k.into(), None, Ring::NONE)
    }

    /// Of the operands of [`Engine::attention_cached`]; the keys are the tokens of the cache in the order in which they were
    /// appended.
    ///
    /// # Errors
    /// [`Error::Value`] if the options divide the rows into several sequences or lie out of their domain, [`Error::Shape`] if the
    /// cache is for another number of heads.
    pub fn cached<E: Element>(
        attention: &'a Attention<'a>,
        q: impl Into<Matrix<'a>>,
        cache: &'a KvCache<'_, E>,
    ) -> Result<Self>
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        let Stored { k, head_rows, ring, .. } = cache.stored_for(attention)?;
        Ok(Self::over(attention, q.into(), k, head_rows, ring))
    }

    fn over(attention: &'a Attention<'a>, q: Matrix<'a>, k: Matrix<'a>, head_rows: Option<usize>, ring: Ring) -> Self {
        let (queries, heads) = (0..q.rows(), 0..attention.heads.count);
        Self { attention, q, k, head_rows, ring, queries, heads, lse: None }
    }

    /// Only these rows of `q`.
    #[must_use]
    pub fn queries(self, rows: Range<usize>) -> Self {
        Self { queries: rows, ..self }
    }

    /// Only these heads of the queries.
    #[must_use]
    pub fn heads(self, heads: Range<usize>) -> Self {
        Self { heads, ..self }
    }

    /// The natural logarithms of the sums of exponentials, `n_q x heads`, whichever queries and heads are chosen: from
    /// [`Engine::attention_lse`] or [`Engine::attention_cached_lse`] with the same options, or those of several of their results
    /// [merged](Engine::merge_attention), of which the keys at hand are a part. It saves half of the work. A logarithm of `x`
    /// is rounded, which makes weights uncertain by about `x * 1e-7`, relatively.
    #[must_use]
    pub fn lse(self, lse: MatRef<'a>) -> Self {
        Self { lse: Some(lse), ..self }
    }

    /// The keys as the kernel wants them: with values of no dimension.
    fn stored(&self) -> Result<Stored<'a>> {
        let v = MatRef::<f32>::new(&[], self.k.rows(), 0)?.into();
        Ok(Stored { k: self.k, v, head_rows: self.head_rows, ring: self.ring })
    }

    /// Whether all fits; `kv` are its own.
    fn check(&self, kv: &Stored<'_>) -> Result<()> {
        self.attention.check_q_and_k(&self.q, kv)?;
        if let Some(lse) = &self.lse {
            self.attention.check_lse(self.q.rows(), [lse.rows(), lse.cols()])?;
        }
        within("queries", &self.queries, self.q.rows())?;
        within("heads", &self.heads, self.attention.heads.count)?;
        self.attention.check_sequences(self.q.rows(), kv.rows())
    }

    fn problem<'p>(&'p self, heads: &'p Heads, kv: Stored<'p>) -> Problem<'p> {
        Problem { heads, terms: &self.attention.terms, q: self.q, kv }
    }

    fn choice<'p>(&'p self, problem: &'p Problem<'p>, level: Level) -> Choice<'p> {
        Choice {
            problem,
            keys: self.attention.keys_to_a_block(level),
            queries: self.queries.clone(),
            heads: self.heads.clone(),
            lse: self.lse,
        }
    }
}

impl Engine<'_> {
    /// Bytes of scratch that [`Engine::attention_weights`] and [`Engine::attention_mass`] need: as for attention, they depend on
    /// the dimensions of a head, the level and the number of threads, not on the number of queries or keys.
    ///
    /// # Errors
    /// As [`Engine::attention_scratch`].
    pub fn inspection_scratch(&self, attention: &Attention<'_>) -> Result<usize> {
        scratch::bytes(self.inspection_lens(attention)?)
    }

    fn inspection_lens(&self, attention: &Attention<'_>) -> Result<[usize; WEIGHTS_BUFFERS]> {
        attention.check_options()?;
        let keys = attention.keys_to_a_block(self.level());
        let lens = buffer_lens(self.level(), attention.heads.d, keys, self.threads());
        let lens = lens.ok_or(Error::Overflow { arg: "attention" })?;
        scratch::bytes(lens)?;
        Ok(lens)
    }

    /// Shows the weights that each chosen query gives in each chosen head to `each`, some keys at a time: a query's in the order of
    /// the keys, those of other queries in between. Keys that a query's place hides (causality, windows, other sequences) are
    /// left out, so a query that sees none is never shown; keys that are masked otherwise are shown with weights of 0.
    ///
    /// It runs on the thread of the caller.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Value`] an option out of its domain, [`Error::Scratch`]
    /// too little scratch. Nothing has been shown then.
    ///
    /// ```
    /// use selfattn::{Attention, Engine, Inspection, MatRef};
    ///
    /// let engine = Engine::new();
    /// let attention = Attention::new(1, 2).causal(true);
    /// let words = [1.0, 0.0, 0.0, 1.0, 0.9, 0.1]; // three words, two dimensions
    /// let words = MatRef::new(&words, 3, 2)?;
    /// let mut scratch = vec![0; engine.inspection_scratch(&attention)?];
    /// let mut matrix = [[0.0; 3]; 3];
    /// engine.attention_weights(&Inspection::new(&attention, words, words), &mut scratch, &mut |piece| {
    ///     matrix[piece.query][piece.keys].copy_from_slice(piece.weights);
    /// })?;
    /// assert_eq!(matrix[0], [1.0, 0.0, 0.0]); // the first word sees only itself
    /// assert!(matrix[2][0] > matrix[2][1]); // the third is more like the first than like the second
    /// # Ok::<(), selfattn::Error>(())
    /// ```
    pub fn attention_weights(
        &self,
        inspection: &Inspection<'_>,
        scratch: &mut [u8],
        each: &mut dyn FnMut(AttentionWeights<'_>),
    ) -> Result<()> {
        let (lens, kv) = (self.inspection_lens(inspection.attention)?, inspection.stored()?);
        inspection.check(&kv)?;
        let mut memory = scratch::split(scratch, lens)?;
        let spans = inspection.attention.spans(inspection.q.rows(), kv.rows());
        let heads = Heads { dv: 0, ..inspection.attention.heads };
        let problem = inspection.problem(&heads, kv);
        kernel::weights(self, &inspection.choice(&problem, self.level()), spans, &mut memory, each);
        Ok(())
    }

    /// Adds to `out` what each key gets of the chosen queries: the sum of its weights, the attention mass by which caches are
    /// thinned out (H2O: Zhang et al. 2023, arXiv 2306.14048; of the last queries only, SnapKV: Li et al. 2024, arXiv 2404.14469).
    /// `out` is `rows x n_k`, a column for each row of `k` or token of the cache; row `i` is for the `i`-th of as many equal
    /// parts of the chosen heads: one row for each head, for each head of keys (whose query heads stand together), or a single
    /// one for all.
    ///
    /// What is in `out` stays in the sum, so calls for one block of queries, or one token, after the other go on from each other;
    /// it must be cleared at first. The threads divide the rows of `out` among them and, if the [logarithms](Inspection::lse) are
    /// given, the keys.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit: `out` too, if its rows do not divide the chosen heads; [`Error::Value`]
    /// an option out of its domain, [`Error::Scratch`] too little scratch. Nothing has been added then.
    ///
    /// ```
    /// use selfattn::{Attention, Engine, Inspection, MatMut, MatRef};
    ///
    /// let engine = Engine::new();
    /// let attention = Attention::new(1, 2).causal(true);
    /// let words = [1.0, 0.0, 0.0, 1.0, 0.9, 0.1]; // three words, two dimensions
    /// let words = MatRef::new(&words, 3, 2)?;
    /// let mut scratch = vec![0; engine.inspection_scratch(&attention)?];
    /// let mut mass = [0.0; 3];
    /// let inspection = Inspection::new(&attention, words, words);
    /// engine.attention_mass(&inspection, MatMut::new(&mut mass, 1, 3)?, &mut scratch)?;
    /// assert!(mass[0] > mass[1] && mass[1] > mass[2]); // the first word is seen by all, and by itself alone
    /// assert!((mass.iter().sum::<f32>() - 3.0).abs() < 1e-6); // each of the three gives 1
    /// # Ok::<(), selfattn::Error>(())
    /// ```
    pub fn attention_mass(&self, inspection: &Inspection<'_>, out: MatMut<'_>, scratch: &mut [u8]) -> Result<()> {
        let (lens, kv) = (self.inspection_lens(inspection.attention)?, inspection.stored()?);
        inspection.check(&kv)?;
        same("out", kv.rows(), out.cols())?;
        if !inspection.heads.len().is_multiple_of(out.rows()) {
            return Err(Error::Shape { arg: "out", expected: inspection.heads.len(), got: out.rows() });
        }
        let mut memory = scratch::split(scratch, lens)?;
        let spans = inspection.attention.spans(inspection.q.rows(), kv.rows());
        let heads = Heads { dv: 0, ..inspection.attention.heads };
        let problem = inspection.problem(&heads, kv);
        kernel::mass(self, &inspection.choice(&problem, self.level()), spans, out, &mut memory);
        Ok(())
    }
}

//! The way of data through an encoder, in groups of sequences that fit the scratch.

use core::ops::Range;

use crate::block::batch::Batch;
use crate::block::encoder::Encoder;
use crate::block::linear::Workspace;
use crate::block::self_attention::{Projected, SelfAttention};
use crate::element::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::attention::{buffer_lens, default_keys};
use crate::kernel::matmul::{Size, Types, memory_lens};
use crate::ops::attention::{Attention, Sequences};
use crate::ops::rows::check_ids;
use crate::ops::same;
use crate::profile::Work;
use crate::scratch::{self, some};
use crate::simd::Level;
use crate::view::{MatMut, MatRef, range};
use crate::weights::EncoderConfig;

/// What can be seen of one layer at work: the projections that attention is about to use.
#[derive(Clone, Debug)]
pub struct Probe<'a> {
    /// The layer, from 0.
    pub layer: usize,
    /// The tokens of the batch that the rows stand for: a batch is worked on in groups of whole sequences.
    pub tokens: Range<usize>,
    /// Queries, `tokens x hidden`; head `h` has the columns `h * head_dim..(h + 1) * head_dim`.
    pub q: MatRef<'a>,
    /// Keys, likewise.
    pub k: MatRef<'a>,
    /// Values, likewise.
    pub v: MatRef<'a>,
}

/// Sizes of the buffers for a group of sequences.
struct Plan {
    /// Floats: the hidden state, the sum that a norm is about to take, the widest thing (projections and context, or inner
    /// layers of some tokens), and two vectors.
    floats: [usize; 5],
    /// Bytes for attention and for products with plain weights.
    scratch: usize,
}

/// A group's memory.
struct Buffers<'a> {
    sum: &'a mut [f32],
    wide: &'a mut [f32],
    work: Workspace<'a>,
}

/// Which tokens of the batch a group is.
struct Group<'a> {
    batch: Batch<'a>,
    start: usize,
}

impl Plan {
    /// For `tokens` at a time; `None` on overflow. `packs` is whether any weights are packed or widened on the way:
    /// then memory is that for plain ones, which is no less.
    const fn new(config: &EncoderConfig, tokens: usize, packs: bool, level: Level, threads: usize) -> Option<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let head = buffer_lens(level, [config.head_dim(); 2], default_keys(level), threads);
        let mut scratch = some!(scratch::checked_bytes(some!(head)));
        let linears = [(hidden, hidden), (inner, hidden), (hidden, inner)];
        let types = Types { a: Dtype::F32, b: Dtype::F32, plain: packs };
        let mut rest = linears.as_slice();
        while let &[(n, k), ref others @ ..] = rest {
            let lens = scratch::for_threads(memory_lens(level, Size { m: tokens, k, n }, types), threads);
            scratch = max(scratch, some!(scratch::checked_bytes(some!(lens))));
            rest = others;
        }
        let states = some!(tokens.checked_mul(hidden));
        let projections = some!(states.checked_mul(SelfAttention::WIDTH));
        // The feed-forward network goes by fewer tokens where they do not fit: a wide inner layer takes no more memory with more of
        // them, and four times the hidden size is what most models have.
        let wide = max(projections, inner);
        let vector = max(hidden, inner);
        Some(Self { floats: [states, states, wide, vector, vector], scratch })
    }

    const fn bytes(&self) -> Option<usize> {
        scratch::checked_bytes_and(self.floats, self.scratch)
    }

    /// The hidden state, and the other buffers.
    fn split<'a>(&self, engine: Engine<'a>, memory: &'a mut [u8]) -> Result<(&'a mut [f32], Buffers<'a>)> {
        let ([hidden, sum, wide, first, second], scratch) = scratch::split_and(memory, self.floats, self.scratch)?;
        Ok((hidden, Buffers { sum, wide, work: Workspace { engine, vectors: [first, second], scratch } }))
    }
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

impl Encoder<'_, '_> {
    /// Bytes of scratch to work on `tokens` tokens at once. That must be at least the longest sequence; with more, a batch
    /// is worked on in fewer, larger groups, which is faster up to some hundreds of tokens.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the size does not fit in `usize`.
    pub fn scratch_bytes(&self, engine: &Engine<'_>, tokens: usize) -> Result<usize> {
        Ok(self.plan(engine, tokens)?.1)
    }

    /// [`Encoder::scratch_bytes`] at compile time, for one thread; `usize::MAX` if it does not fit in `usize`: no array is as
    /// long. Weights are those of files; packed ones need less.
    ///
    /// ```
    /// use selfattn::Level;
    /// use selfattn::block::Encoder;
    /// use selfattn::weights::{Activation, EncoderConfig, Family};
    ///
    /// const CONFIG: EncoderConfig = EncoderConfig {
    ///     family: Family::Bert,
    ///     vocab_size: 1000,
    ///     hidden_size: 64,
    ///     layers: 2,
    ///     heads: 4,
    ///     intermediate_size: 256,
    ///     max_positions: 64,
    ///     position_offset: 0,
    ///     token_types: 2,
    ///     norm_eps: 1e-12,
    ///     activation: Activation::Gelu,
    /// };
    /// const LEN: usize = Encoder::scratch_len(&CONFIG, 16, Level::SCALAR); // 16 tokens
    /// static SCRATCH: [u8; LEN] = [0; LEN];
    /// assert!(SCRATCH.len() < 32 * 1024);
    /// ```
    pub const fn scratch_len(config: &EncoderConfig, tokens: usize, level: Level) -> usize {
        scratch::len_or_max(match Plan::new(config, tokens, true, level, 1) {
            Some(plan) => plan.bytes(),
            None => None,
        })
    }

    /// The plan for `tokens` tokens at once, and its bytes.
    fn plan(&self, engine: &Engine<'_>, tokens: usize) -> Result<(Plan, usize)> {
        let mut linears = self.layers.iter().flat_map(|layer| layer.linears());
        let packs = linears.any(|linear| linear.weights.types(Dtype::F32).packs(engine.level()));
        Plan::new(&self.config, tokens, packs, engine.level(), engine.threads())
            .and_then(|plan| plan.bytes().map(|bytes| (plan, bytes)))
            .ok_or(Error::Overflow { arg: "tokens" })
    }

    /// The plan for as many tokens as fit the scratch, at least the longest sequence.
    fn plan_for(&self, engine: &Engine<'_>, batch: &Batch<'_>, scratch: usize) -> Result<(usize, Plan)> {
        let (mut fits, mut most) = (batch.longest(), batch.ids().len());
        let (mut plan, needed) = self.plan(engine, fits)?;
        if scratch < needed {
            return Err(Error::Scratch { needed, got: scratch });
        }
        while fits < most {
            let tokens = most.saturating_sub(most.saturating_sub(fits) / 2);
            match self.plan(engine, tokens) {
                Ok((larger, bytes)) if bytes <= scratch => (fits, plan) = (tokens, larger),
                _ => most = tokens.saturating_sub(1),
            }
        }
        Ok((fits, plan))
    }

    fn attention<'a>(&self, lengths: &'a [usize]) -> Attention<'a> {
        Attention::new(self.config.heads, self.config.head_dim()).sequences(Sequences::Packed(lengths))
    }

    fn check(&self, batch: &Batch<'_>) -> Result<()> {
        check_ids(batch.ids(), self.config.vocab_size)?;
        if let (Some(types), true) = (batch.type_ids(), self.config.token_types > 0) {
            check_ids(types, self.config.token_types)?;
        }
        let (got, max) = (batch.longest(), self.config.max_positions);
        if got > max { Err(Error::TooLong { got, max }) } else { Ok(()) }
    }

    /// The last hidden state of every token: `hidden` is `tokens x hidden_size`, tokens in the order of the batch.
    ///
    /// The bits of a token's row depend on its own sequence, the weights and the level alone: not on the batch around it,
    /// the number of threads, or the size of the scratch.
    ///
    /// # Errors
    /// [`Error::Token`] for an id or a token type that is not in its table, [`Error::TooLong`] for a sequence with more tokens than
    /// the model has positions, [`Error::Shape`] for the output, [`Error::Scratch`] if the longest sequence does not fit
    /// the scratch, [`Error::Packed`] if the weights are packed for another level. Nothing is written then.
    pub fn forward(
        &self,
        engine: &Engine<'_>,
        batch: &Batch<'_>,
        hidden: MatMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        self.forward_with(engine, batch, hidden, scratch, &mut |_| ())
    }

    /// [`Encoder::forward`] with a look at each layer's queries, keys and values.
    ///
    /// # Errors
    /// As [`Encoder::forward`].
    pub fn forward_with(
        &self,
        engine: &Engine<'_>,
        batch: &Batch<'_>,
        mut hidden: MatMut<'_>,
        scratch: &mut [u8],
        probe: &mut dyn FnMut(Probe<'_>),
    ) -> Result<()> {
        same("hidden", batch.ids().len(), hidden.rows())?;
        same("hidden", self.config.hidden_size, hidden.cols())?;
        self.groups(engine, batch, scratch, |group, _, mut buffers| {
            let rows = range(group.start, group.batch.ids().len());
            let x = hidden.reborrow().rows_range(rows)?;
            self.run(&group, x, &mut buffers, probe)
        })
    }

    /// A vector for each sequence: the mean of its last hidden states, scaled to the Euclidean norm 1. `out` is
    /// `sequences x hidden_size`.
    ///
    /// # Errors
    /// As [`Encoder::forward`].
    pub fn embed(&self, engine: &Engine<'_>, batch: &Batch<'_>, mut out: MatMut<'_>, scratch: &mut [u8]) -> Result<()> {
        same("out", batch.lengths().len(), out.rows())?;
        same("out", self.config.hidden_size, out.cols())?;
        let mut done = 0;
        self.groups(engine, batch, scratch, |group, hidden, mut buffers| {
            let mut x = MatMut::new(hidden, group.batch.ids().len(), self.config.hidden_size)?;
            self.run(&group, x.reborrow(), &mut buffers, &mut |_| ())?;
            let lengths = group.batch.lengths();
            let rows = range(done, lengths.len());
            done = rows.end;
            let mut out = out.reborrow().rows_range(rows)?;
            engine.mean_pool(x.as_ref(), lengths, out.reborrow())?;
            engine.normalize(out);
            Ok(())
        })
    }

    /// Calls `work` for each group of sequences with the group, memory for its hidden state, and the other buffers. All
    /// arguments have been checked by then.
    fn groups(
        &self,
        engine: &Engine<'_>,
        batch: &Batch<'_>,
        scratch: &mut [u8],
        mut work: impl FnMut(Group<'_>, &mut [f32], Buffers<'_>) -> Result<()>,
    ) -> Result<()> {
        self.check(batch)?;
        for linear in self.layers.iter().flat_map(|layer| layer.linears()) {
            engine.check_packed(&linear.weights)?;
        }
        let (tokens, plan) = self.plan_for(engine, batch, scratch.len())?;
        let (mut rest, mut start) = (*batch, 0);
        while !rest.is_empty() {
            let (group, others) = rest.split(tokens);
            let (hidden, buffers) = plan.split(*engine, scratch)?;
            work(Group { batch: group, start }, hidden, buffers)?;
            (rest, start) = (others, range(start, group.ids().len()).end);
        }
        Ok(())
    }

    /// All layers over one group; `x` is its hidden state, `tokens x hidden_size`.
    fn run(
        &self,
        group: &Group<'_>,
        mut x: MatMut<'_>,
        buffers: &mut Buffers<'_>,
        probe: &mut dyn FnMut(Probe<'_>),
    ) -> Result<()> {
        let eps = self.config.norm_eps;
        let (tokens, hidden) = (x.rows(), x.cols());
        let attention = self.attention(group.batch.lengths());
        let Buffers { sum, wide, work } = buffers;
        let mut sum = MatMut::new(sum, tokens, hidden)?;

        let work = &mut *work.scope(|| Work::encoder([tokens, hidden, self.layers.len()]));
        self.embed_tokens(&work.engine, &group.batch, sum.reborrow());
        self.embeddings.norm.run(sum.as_ref(), eps, x.reborrow(), work)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let probe = |[q, k, v]: Projected<'_>| {
                probe(Probe { layer: i, tokens: range(group.start, tokens), q, k, v });
            };
            let work = &mut *work.scope(|| Work::layer(i, [tokens, hidden]));
            layer.attention.run(&attention, x.as_ref(), sum.reborrow(), wide, work, probe)?;
            layer.attention_norm.run(sum.as_ref(), eps, x.reborrow(), work)?;
            layer.feed_forward.run(self.config.activation, x.as_ref(), sum.reborrow(), wide, work)?;
            layer.output_norm.run(sum.as_ref(), eps, x.reborrow(), work)?;
        }
        Ok(())
    }

    /// The sum of each token's word, position and type vectors.
    fn embed_tokens(&self, engine: &Engine<'_>, batch: &Batch<'_>, mut out: MatMut<'_>) {
        let tables = &self.embeddings;
        let shape = [batch.ids().len(), self.config.hidden_size, if tables.token_types.is_some() { 3 } else { 2 }];
        let span = engine.span(|| Work::embed(shape, tables.words.dtype()));
        let positions = batch.lengths().iter().flat_map(|&len| range(self.config.position_offset, len));
        for (i, (&id, position)) in batch.ids().iter().zip(positions).enumerate() {
            let row = out.row_mut(i);
            span.engine().put_row(&tables.words, id as usize, false, row);
            if let Some(types) = &tables.token_types {
                let type_id = batch.type_ids().and_then(|types| types.get(i)).map_or(0, |&id| id);
                span.engine().put_row(types, type_id as usize, true, row);
            }
            span.engine().put_row(&tables.positions, position, true, row);
        }
    }
}

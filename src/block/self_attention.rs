//! Multi-head self-attention with learned projections.

use crate::block::linear::{Linear, Source, Tensors, Then, Workspace};
use crate::error::{Error, Result};
use crate::ops::attention::Attention;
use crate::profile::Work;
use crate::view::{MatMut, MatRef, range};
use crate::weights::Part;

/// `concat(heads) Wo^T + bo + x`, each head attending with its columns of the projections of `x`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SelfAttention<'w> {
    query: Linear<'w>,
    key: Linear<'w>,
    value: Linear<'w>,
    output: Linear<'w>,
}

/// Queries, keys and values of all heads, `tokens x hidden` each.
pub(crate) type Projected<'a> = [MatRef<'a>; 3];

/// So many states, of a token or of all of them.
#[inline(always)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "`WIDTH` states of all tokens fit in `usize`: the scratch was measured by them"
)]
const fn times(count: usize, states: usize) -> usize {
    count * states
}

impl<'w> SelfAttention<'w> {
    pub fn bind<S: Source<'w>>(tensors: &Tensors<'_, S>, hidden: usize) -> Result<Self> {
        let linear = |weight, bias| tensors.linear(weight, bias, hidden, hidden);
        Ok(Self {
            query: linear(Part::QueryWeight, Part::QueryBias)?,
            key: linear(Part::KeyWeight, Part::KeyBias)?,
            value: linear(Part::ValueWeight, Part::ValueBias)?,
            output: linear(Part::AttentionOutputWeight, Part::AttentionOutputBias)?,
        })
    }

    /// Floats of `wide` for each token, in units of the hidden size: queries, keys, values, and what the heads make of them.
    pub const WIDTH: usize = 4;

    /// `x` and `out` are `tokens x hidden`, `wide` is at least `tokens * WIDTH * hidden` long.
    pub fn run(
        &self,
        attention: &Attention<'_>,
        x: MatRef<'_>,
        out: MatMut<'_>,
        wide: &mut [f32],
        work: &mut Workspace<'_>,
        probe: impl FnOnce(Projected<'_>),
    ) -> Result<()> {
        let (tokens, hidden) = (x.rows(), x.cols());
        let work = &mut *work.scope(|| Work::self_attention([tokens, hidden]));
        let (states, got) = (times(tokens, hidden), wide.len());
        let expected = times(Self::WIDTH, states);
        let parts = wide.split_at_mut_checked(times(3, states));
        let (projected, context) = parts.ok_or(Error::Shape { arg: "wide", expected, got })?;
        let mut projected = MatMut::new(projected, tokens, times(3, hidden))?;
        for (i, layer) in [&self.query, &self.key, &self.value].into_iter().enumerate() {
            let third = projected.reborrow().cols_range(range(times(i, hidden), hidden))?;
            layer.run(x, Then::default(), third, work)?;
        }
        let third = |i: usize| projected.as_ref().cols_range(range(times(i, hidden), hidden));
        let (q, k, v) = (third(0)?, third(1)?, third(2)?);
        probe([q, k, v]);
        let mut context = MatMut::new(context, tokens, hidden)?;
        work.engine.attention(attention, q, k, v, context.reborrow(), work.scratch)?;
        let then = Then { residual: Some(x), ..Then::default() };
        self.output.run(context.as_ref(), then, out, work)
    }

    pub fn linears(&self) -> [&Linear<'w>; 4] {
        [&self.query, &self.key, &self.value, &self.output]
    }

    pub fn linears_mut(&mut self) -> [&mut Linear<'w>; 4] {
        [&mut self.query, &mut self.key, &mut self.value, &mut self.output]
    }
}

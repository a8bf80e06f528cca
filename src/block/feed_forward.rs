//! The feed-forward network of a transformer layer.

use crate::block::linear::{Linear, Source, Tensors, Then, Workspace};
use crate::engine::div_rem;
use crate::error::{Error, Result};
use crate::kernel::Activation;
use crate::profile::Work;
use crate::view::{MatMut, MatRef};
use crate::weights::{EncoderConfig, Part};

/// `act(x W1^T + b1) W2^T + b2 + x`
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeedForward<'w> {
    intermediate: Linear<'w>,
    output: Linear<'w>,
}

impl<'w> FeedForward<'w> {
    pub fn bind<S: Source<'w>>(tensors: &Tensors<'_, S>, config: &EncoderConfig) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            intermediate: tensors.linear(Part::IntermediateWeight, Part::IntermediateBias, inner, hidden)?,
            output: tensors.linear(Part::OutputWeight, Part::OutputBias, hidden, inner)?,
        })
    }

    /// `x` and `out` are `tokens x hidden`, `wide` is at least `intermediate` long: it goes by as many tokens at a time as fit there.
    pub fn run(
        &self,
        activation: Activation,
        x: MatRef<'_>,
        mut out: MatMut<'_>,
        wide: &mut [f32],
        work: &mut Workspace<'_>,
    ) -> Result<()> {
        let (tokens, width) = (x.rows(), self.intermediate.weights.n());
        let work = &mut *work.scope(|| Work::feed_forward([tokens, x.cols(), width]));
        let (got, expected) = (wide.len(), width);
        let together = div_rem(got, width.max(1)).0;
        if together == 0 {
            return Err(Error::Shape { arg: "wide", expected, got });
        }
        let mut start = 0;
        while start < tokens {
            let rows = start..tokens.min(start.saturating_add(together));
            let (x, out) = (x.rows_range(rows.clone())?, out.reborrow().rows_range(rows.clone())?);
            let mut inner = MatMut::new(wide, rows.len(), width)?;
            self.intermediate.run(x, Then { activation, residual: None }, inner.reborrow(), work)?;
            let then = Then { residual: Some(x), ..Then::default() };
            self.output.run(inner.as_ref(), then, out, work)?;
            start = rows.end;
        }
        Ok(())
    }

    pub fn linears(&self) -> [&Linear<'w>; 2] {
        [&self.intermediate, &self.output]
    }

    pub fn linears_mut(&mut self) -> [&mut Linear<'w>; 2] {
        [&mut self.intermediate, &mut self.output]
    }
}

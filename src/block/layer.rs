//! One layer of an encoder of the BERT family: attention and feed-forward network, a norm behind each (Devlin et al. 2018,
//! arXiv 1810.04805).

use crate::block::feed_forward::FeedForward;
use crate::block::linear::{Linear, Norm, Tensors};
use crate::block::self_attention::SelfAttention;
use crate::error::Result;
use crate::weights::{EncoderConfig, Part};

/// The weights of one encoder layer. An array of [`Layer::default`] is the memory that
/// [`Encoder::bind`](crate::block::Encoder::bind) fills.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layer<'w> {
    pub(crate) attention: SelfAttention<'w>,
    pub(crate) attention_norm: Norm<'w>,
    pub(crate) feed_forward: FeedForward<'w>,
    pub(crate) output_norm: Norm<'w>,
}

impl<'w> Layer<'w> {
    pub(crate) fn bind(tensors: &Tensors<'_, 'w>, config: &EncoderConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        Ok(Self {
            attention: SelfAttention::bind(tensors, hidden)?,
            attention_norm: tensors.norm(Part::AttentionNormWeight, Part::AttentionNormBias, hidden)?,
            feed_forward: FeedForward::bind(tensors, config)?,
            output_norm: tensors.norm(Part::OutputNormWeight, Part::OutputNormBias, hidden)?,
        })
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear<'w>> {
        self.attention.linears().into_iter().chain(self.feed_forward.linears())
    }

    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear<'w>> {
        self.attention.linears_mut().into_iter().chain(self.feed_forward.linears_mut())
    }
}

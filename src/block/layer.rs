//! One layer of an encoder of the BERT family: attention and feed-forward network, a norm behind each (Devlin et al. 2018,
//! arXiv 1810.04805).

use crate::block::feed_forward::FeedForward;
use crate::block::linear::{Linear, Norm, Source, Tensors};
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
    pub(crate) fn bind<S: Source<'w>>(tensors: &Tensors<'_, S>, config: &EncoderConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        Ok(Self {
            attention: SelfAttention::bind(tensors, hidden)?,
            attention_norm: tensors.norm(Part::AttentionNormWeight, Part::AttentionNormBias, hidden)?,
            feed_forward: FeedForward::bind(tensors, config)?,
            output_norm: tensors.norm(Part::OutputNormWeight, Part::OutputNormBias, hidden)?,
        })
    }

    pub(crate) fn linears(&self) -> [&Linear<'w>; 6] {
        let ([q, k, v, o], [inner, outer]) = (self.attention.linears(), self.feed_forward.linears());
        [q, k, v, o, inner, outer]
    }

    pub(crate) fn linears_mut(&mut self) -> [&mut Linear<'w>; 6] {
        let ([q, k, v, o], [inner, outer]) = (self.attention.linears_mut(), self.feed_forward.linears_mut());
        [q, k, v, o, inner, outer]
    }
}

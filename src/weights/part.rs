//! The parts of an encoder that have weights, and what each family calls them.

use super::config::Family;

/// A tensor of an encoder. Weights are stored as `outputs x inputs`, embeddings as `entries x hidden_size`; biases and
/// norms are vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// One row for each entry of the vocabulary.
    WordEmbeddings,
    /// One row for each position.
    PositionEmbeddings,
    /// One row for each token type (segment). DistilBERT has none.
    TokenTypeEmbeddings,
    /// Scale of the norm behind the embeddings.
    EmbeddingsNormWeight,
    /// Shift of the norm behind the embeddings.
    EmbeddingsNormBias,
    /// Projection to queries.
    QueryWeight,
    /// Its bias.
    QueryBias,
    /// Projection to keys.
    KeyWeight,
    /// Its bias.
    KeyBias,
    /// Projection to values.
    ValueWeight,
    /// Its bias.
    ValueBias,
    /// Projection of the attention's heads, side by side, to the hidden state.
    AttentionOutputWeight,
    /// Its bias.
    AttentionOutputBias,
    /// Scale of the norm behind the attention.
    AttentionNormWeight,
    /// Shift of the norm behind the attention.
    AttentionNormBias,
    /// First half of the feed-forward network: `intermediate_size x hidden_size`.
    IntermediateWeight,
    /// Its bias.
    IntermediateBias,
    /// Second half of the feed-forward network: `hidden_size x intermediate_size`.
    OutputWeight,
    /// Its bias.
    OutputBias,
    /// Scale of the norm behind the feed-forward network.
    OutputNormWeight,
    /// Shift of the norm behind the feed-forward network.
    OutputNormBias,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 21] = [
        Self::WordEmbeddings,
        Self::PositionEmbeddings,
        Self::TokenTypeEmbeddings,
        Self::EmbeddingsNormWeight,
        Self::EmbeddingsNormBias,
        Self::QueryWeight,
        Self::QueryBias,
        Self::KeyWeight,
        Self::KeyBias,
        Self::ValueWeight,
        Self::ValueBias,
        Self::AttentionOutputWeight,
        Self::AttentionOutputBias,
        Self::AttentionNormWeight,
        Self::AttentionNormBias,
        Self::IntermediateWeight,
        Self::IntermediateBias,
        Self::OutputWeight,
        Self::OutputBias,
        Self::OutputNormWeight,
        Self::OutputNormBias,
    ];

    /// How many of them each layer has its own of: the last ones.
    pub(super) const IN_LAYER: usize = 16;

    /// Whether each layer has its own.
    pub fn in_layer(self) -> bool {
        !matches!(
            self,
            Self::WordEmbeddings
                | Self::PositionEmbeddings
                | Self::TokenTypeEmbeddings
                | Self::EmbeddingsNormWeight
                | Self::EmbeddingsNormBias
        )
    }

    fn is_bias(self) -> bool {
        matches!(
            self,
            Self::EmbeddingsNormBias
                | Self::QueryBias
                | Self::KeyBias
                | Self::ValueBias
                | Self::AttentionOutputBias
                | Self::AttentionNormBias
                | Self::IntermediateBias
                | Self::OutputBias
                | Self::OutputNormBias
        )
    }

    fn is_norm(self) -> bool {
        matches!(
            self,
            Self::EmbeddingsNormWeight
                | Self::EmbeddingsNormBias
                | Self::AttentionNormWeight
                | Self::AttentionNormBias
                | Self::OutputNormWeight
                | Self::OutputNormBias
        )
    }

    /// The last word of the name.
    pub(super) fn parameter(self, old_norms: bool) -> &'static str {
        match (self.is_bias(), self.is_norm() && old_norms) {
            (false, false) => "weight",
            (true, false) => "bias",
            (false, true) => "gamma",
            (true, true) => "beta",
        }
    }

    /// The words between the layer's number, or the prefix, and the last. `None` if the family has no such part.
    pub(super) fn module(self, family: Family) -> Option<&'static str> {
        match family {
            Family::Bert | Family::Roberta => Some(self.bert_module()),
            Family::DistilBert => self.distilbert_module(),
        }
    }

    fn bert_module(self) -> &'static str {
        match self {
            Self::WordEmbeddings => "embeddings.word_embeddings",
            Self::PositionEmbeddings => "embeddings.position_embeddings",
            Self::TokenTypeEmbeddings => "embeddings.token_type_embeddings",
            Self::EmbeddingsNormWeight | Self::EmbeddingsNormBias => "embeddings.LayerNorm",
            Self::QueryWeight | Self::QueryBias => "attention.self.query",
            Self::KeyWeight | Self::KeyBias => "attention.self.key",
            Self::ValueWeight | Self::ValueBias => "attention.self.value",
            Self::AttentionOutputWeight | Self::AttentionOutputBias => "attention.output.dense",
            Self::AttentionNormWeight | Self::AttentionNormBias => "attention.output.LayerNorm",
            Self::IntermediateWeight | Self::IntermediateBias => "intermediate.dense",
            Self::OutputWeight | Self::OutputBias => "output.dense",
            Self::OutputNormWeight | Self::OutputNormBias => "output.LayerNorm",
        }
    }

    fn distilbert_module(self) -> Option<&'static str> {
        Some(match self {
            Self::TokenTypeEmbeddings => return None,
            Self::QueryWeight | Self::QueryBias => "attention.q_lin",
            Self::KeyWeight | Self::KeyBias => "attention.k_lin",
            Self::ValueWeight | Self::ValueBias => "attention.v_lin",
            Self::AttentionOutputWeight | Self::AttentionOutputBias => "attention.out_lin",
            Self::AttentionNormWeight | Self::AttentionNormBias => "sa_layer_norm",
            Self::IntermediateWeight | Self::IntermediateBias => "ffn.lin1",
            Self::OutputWeight | Self::OutputBias => "ffn.lin2",
            Self::OutputNormWeight | Self::OutputNormBias => "output_layer_norm",
            embeddings => embeddings.bert_module(),
        })
    }
}

impl Family {
    /// What names start with in a file that holds a model with a head.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert.",
            Self::Roberta => "roberta.",
            Self::DistilBert => "distilbert.",
        }
    }

    /// What the names of a layer's parts start with, before its number.
    pub(super) fn layers_prefix(self) -> &'static str {
        match self {
            Self::Bert | Self::Roberta => "encoder.layer.",
            Self::DistilBert => "transformer.layer.",
        }
    }
}

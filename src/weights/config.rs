//! The sizes and options of an encoder, from its `config.json` or by hand.

use super::config_fields::{Field, Settings};
use super::json::Reader;
use super::safetensors::MAX_TENSORS;
use crate::error::{Error, Result};

pub use crate::kernel::Activation;

/// A line of models that share names and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// BERT (Devlin et al. 2018), and the many models that kept its form.
    Bert,
    /// RoBERTa (Liu et al. 2019), XLM-RoBERTa, CamemBERT: positions start behind the padding id.
    Roberta,
    /// DistilBERT (Sanh et al. 2019): no token types, other names.
    DistilBert,
}

/// What must be known of an encoder besides its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Names and rules.
    pub family: Family,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Numbers that stand for a token between layers.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer; they share `hidden_size` evenly.
    pub heads: usize,
    /// Numbers between the two halves of the feed-forward network.
    pub intermediate_size: usize,
    /// Tokens that a sequence can have: rows of the position embeddings, less `position_offset`.
    pub max_positions: usize,
    /// Row of the position embeddings that the first token takes.
    pub position_offset: usize,
    /// Token types (segments); 0 for DistilBERT.
    pub token_types: usize,
    /// What norms add to the variance.
    pub norm_eps: f32,
    /// What stands between the two halves of the feed-forward network.
    pub activation: Activation,
}

impl EncoderConfig {
    /// Reads a `config.json` of the model types `bert`, `roberta`, `xlm-roberta`, `camembert` and `distilbert`.
    ///
    /// A field that is absent has the default of the reference library (transformers, the `*Config` class of the model
    /// type); of a field that comes twice, the last counts, as for that library (but each must be valid). Fields that do
    /// not change what an encoder computes are skipped.
    ///
    /// # Errors
    /// [`Error::Json`] if the bytes are not JSON; [`Error::Config`] with the field as the file spells it if its value is of
    /// the wrong kind, out of range, or one that this crate does not support; and as [`EncoderConfig::validate`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let json = Reader::new(bytes).map_err(|fault| Error::Json { at: fault.at })?;
        let settings = Settings::read(json)?;
        let config = settings.config()?;
        match config.wrong_field() {
            Some(field) => Err(Error::Config { field: field.key(config.family) }),
            None => Ok(config),
        }
    }

    /// Checks that the sizes fit each other: none is 0, heads divide `hidden_size`, the positions can be counted, token
    /// types suit the family, `norm_eps` is positive and finite.
    ///
    /// # Errors
    /// [`Error::Config`] with the field of this struct that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.wrong_field().map_or(Ok(()), |field| Err(Error::Config { field: field.name() }))
    }

    /// Numbers of the hidden state that each head takes; 0 if there are no heads.
    pub const fn head_dim(&self) -> usize {
        match self.hidden_size.checked_div(self.heads) {
            Some(dim) => dim,
            None => 0,
        }
    }

    /// Rows of the position embeddings.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the sum overflows.
    pub fn position_rows(&self) -> Result<usize> {
        self.max_positions.checked_add(self.position_offset).ok_or(Error::Overflow { arg: "max_positions" })
    }

    fn wrong_field(&self) -> Option<Field> {
        let has_types = self.family != Family::DistilBert;
        let rules = [
            (self.vocab_size > 0, Field::VocabSize),
            (self.hidden_size > 0, Field::HiddenSize),
            // No file has the tensors of more: refused before anyone makes room for them.
            (self.layers > 0 && self.layers <= MAX_TENSORS, Field::Layers),
            (self.hidden_size.checked_rem(self.heads) == Some(0), Field::Heads),
            (self.intermediate_size > 0, Field::IntermediateSize),
            (self.max_positions > 0 && self.position_rows().is_ok(), Field::MaxPositions),
            ((self.token_types > 0) == has_types, Field::TokenTypes),
            (self.norm_eps > 0.0 && self.norm_eps.is_finite(), Field::NormEps),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, field)| field)
    }
}

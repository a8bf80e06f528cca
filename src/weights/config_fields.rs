//! The fields of a `config.json`: their spellings, their defaults, their values.

use super::config::{Activation, EncoderConfig, Family};
use super::json::{Fault, Reader, Wrong};
use super::json_str::JsonStr;
use crate::error::{Error, Result};

/// A field that an encoder depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    VocabSize,
    HiddenSize,
    Layers,
    Heads,
    IntermediateSize,
    MaxPositions,
    PadTokenId,
    TokenTypes,
    NormEps,
    Activation,
    PositionEmbeddingType,
    IsDecoder,
}

impl Field {
    const ALL: [Self; 12] = [
        Self::VocabSize,
        Self::HiddenSize,
        Self::Layers,
        Self::Heads,
        Self::IntermediateSize,
        Self::MaxPositions,
        Self::PadTokenId,
        Self::TokenTypes,
        Self::NormEps,
        Self::Activation,
        Self::PositionEmbeddingType,
        Self::IsDecoder,
    ];

    /// As [`EncoderConfig`] spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::VocabSize => "vocab_size",
            Self::HiddenSize => "hidden_size",
            Self::Layers => "layers",
            Self::Heads => "heads",
            Self::IntermediateSize => "intermediate_size",
            Self::MaxPositions => "max_positions",
            Self::PadTokenId => "position_offset",
            Self::TokenTypes => "token_types",
            Self::NormEps => "norm_eps",
            Self::Activation => "activation",
            Self::PositionEmbeddingType | Self::IsDecoder => self.key(Family::Bert),
        }
    }

    /// As the family's `config.json` spells it.
    pub(super) fn key(self, family: Family) -> &'static str {
        let distilbert = family == Family::DistilBert;
        match self {
            Self::VocabSize => "vocab_size",
            Self::HiddenSize if distilbert => "dim",
            Self::HiddenSize => "hidden_size",
            Self::Layers if distilbert => "n_layers",
            Self::Layers => "num_hidden_layers",
            Self::Heads if distilbert => "n_heads",
            Self::Heads => "num_attention_heads",
            Self::IntermediateSize if distilbert => "hidden_dim",
            Self::IntermediateSize => "intermediate_size",
            Self::MaxPositions => "max_position_embeddings",
            Self::PadTokenId => "pad_token_id",
            Self::TokenTypes => "type_vocab_size",
            Self::NormEps => "layer_norm_eps",
            Self::Activation if distilbert => "activation",
            Self::Activation => "hidden_act",
            Self::PositionEmbeddingType => "position_embedding_type",
            Self::IsDecoder => "is_decoder",
        }
    }

    /// Whether the reference reads it for this family. DistilBERT has no token types and a fixed eps; the padding id has
    /// a say in RoBERTa's positions only.
    fn counts_for(self, family: Family) -> bool {
        match self {
            Self::PadTokenId => family == Family::Roberta,
            Self::TokenTypes | Self::NormEps => family != Family::DistilBert,
            _ => true,
        }
    }
}

const MODEL_TYPE: &str = "model_type";

/// The fields of a file, with the defaults of the reference library for those it lacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    family: Family,
    vocab_size: usize,
    hidden_size: usize,
    layers: usize,
    heads: usize,
    intermediate_size: usize,
    position_rows: usize,
    pad_token_id: usize,
    token_types: usize,
    norm_eps: f32,
    activation: Activation,
}

impl Settings {
    /// Reads twice: the fields mean what the model type says, and that may come last.
    pub(super) fn read(json: Reader<'_>) -> Result<Self> {
        let mut settings = read_model_type(json)?;
        each_member(json, |reader, key| {
            let family = settings.family;
            match Field::ALL.into_iter().find(|field| key == field.key(family) && field.counts_for(family)) {
                Some(field) => settings.set(field, reader).map_err(|fault| config_error(fault, field.key(family))),
                None => skip(reader),
            }
        })?;
        Ok(settings)
    }

    /// # Errors
    /// [`Error::Config`] if RoBERTa's padding leaves no positions.
    pub(super) fn config(&self) -> Result<EncoderConfig> {
        let position_offset = match self.family {
            // Padding has a position of its own, and positions start behind it.
            Family::Roberta => self.pad_token_id.checked_add(1),
            Family::Bert | Family::DistilBert => Some(0),
        };
        let no_room = Error::Config { field: Field::MaxPositions.key(self.family) };
        let position_offset = position_offset.ok_or(no_room)?;
        Ok(EncoderConfig {
            family: self.family,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            layers: self.layers,
            heads: self.heads,
            intermediate_size: self.intermediate_size,
            max_positions: self.position_rows.checked_sub(position_offset).ok_or(no_room)?,
            position_offset,
            token_types: self.token_types,
            norm_eps: self.norm_eps,
            activation: self.activation,
        })
    }

    fn set(&mut self, field: Field, reader: &mut Reader<'_>) -> core::result::Result<(), Fault> {
        match field {
            Field::VocabSize => self.vocab_size = reader.integer()?,
            Field::HiddenSize => self.hidden_size = reader.integer()?,
            Field::Layers => self.layers = reader.integer()?,
            Field::Heads => self.heads = reader.integer()?,
            Field::IntermediateSize => self.intermediate_size = reader.integer()?,
            Field::MaxPositions => self.position_rows = reader.integer()?,
            Field::PadTokenId => self.pad_token_id = reader.integer()?,
            Field::TokenTypes => self.token_types = reader.integer()?,
            Field::NormEps => self.norm_eps = reader.float()?,
            Field::Activation => {
                let name = reader.string()?;
                self.activation = activation(name).map_or_else(|| reader.kind(), Ok)?;
            }
            // The other types add terms to the attention's logits.
            Field::PositionEmbeddingType if reader.string()? != "absolute" => return reader.kind(),
            // A decoder's attention is causal.
            Field::IsDecoder if reader.boolean()? => return reader.kind(),
            Field::PositionEmbeddingType | Field::IsDecoder => {}
        }
        Ok(())
    }

    /// The defaults of `BertConfig`, `RobertaConfig`, `XLMRobertaConfig`, `CamembertConfig` and `DistilBertConfig` of the
    /// transformers library.
    fn defaults(model_type: JsonStr<'_>) -> Option<Self> {
        let bert = Self {
            family: Family::Bert,
            vocab_size: 30522,
            hidden_size: 768,
            layers: 12,
            heads: 12,
            intermediate_size: 3072,
            position_rows: 512,
            pad_token_id: 0,
            token_types: 2,
            norm_eps: 1e-12,
            activation: Activation::Gelu,
        };
        let roberta = Self { family: Family::Roberta, pad_token_id: 1, ..bert };
        let models = [
            ("bert", bert),
            ("roberta", Self { vocab_size: 50265, ..roberta }),
            ("xlm-roberta", roberta),
            ("camembert", roberta),
            ("distilbert", Self { family: Family::DistilBert, layers: 6, token_types: 0, ..bert }),
        ];
        models.into_iter().find(|(name, _)| model_type == *name).map(|(_, settings)| settings)
    }
}

fn read_model_type(json: Reader<'_>) -> Result<Settings> {
    let missing = Error::Config { field: MODEL_TYPE };
    let mut settings = Err(missing);
    each_member(json, |reader, key| {
        if key != MODEL_TYPE {
            return skip(reader);
        }
        let name = reader.string().map_err(|fault| config_error(fault, MODEL_TYPE))?;
        settings = Settings::defaults(name).ok_or(missing);
        Ok(())
    })?;
    settings
}

/// The names of the reference's `ACT2FN`. `gelu_fast` is the same formula as `gelu_new`, rounded elsewhere.
fn activation(name: JsonStr<'_>) -> Option<Activation> {
    let names = [
        ("gelu", Activation::Gelu),
        ("gelu_python", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
        ("relu", Activation::Relu),
    ];
    names.into_iter().find(|(known, _)| name == *known).map(|(_, activation)| activation)
}

/// Reads the object that is the whole text; `visit` is called behind each key and must read the value.
fn each_member<'a>(
    mut reader: Reader<'a>,
    mut visit: impl FnMut(&mut Reader<'a>, JsonStr<'a>) -> Result<()>,
) -> Result<()> {
    reader.object().map_err(json_error)?;
    while let Some(key) = reader.member().map_err(json_error)? {
        visit(&mut reader, key)?;
    }
    reader.end().map_err(json_error)
}

fn skip(reader: &mut Reader<'_>) -> Result<()> {
    reader.skip().map_err(json_error)
}

fn json_error(fault: Fault) -> Error {
    Error::Json { at: fault.at }
}

fn config_error(fault: Fault, field: &'static str) -> Error {
    match fault.wrong {
        Wrong::Syntax => json_error(fault),
        Wrong::Kind | Wrong::Range => Error::Config { field },
    }
}

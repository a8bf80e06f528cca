//! An encoder of the BERT family: its weights bound to their places, every name and shape checked.

use crate::block::batch::Batch;
use crate::block::layer::Layer;
use crate::block::linear::{Named, Norm, Source, Tensors};
use crate::error::{Error, Result};
use crate::profile::product;
use crate::scratch::{Arena, with_slack};
use crate::simd::Level;
use crate::view::Matrix;
use crate::weights::{EncoderConfig, Names, Part, Placed, SafeTensors};

/// A text encoder: BERT, MiniLM, RoBERTa, DistilBERT and their kin. It borrows its weights (`'w`) and the list of its layers
/// (`'s`), owns no memory, and works in the caller's scratch.
///
/// ```no_run
/// use selfattn::block::{Batch, Encoder, Layer};
/// use selfattn::weights::{EncoderConfig, SafeTensors};
/// use selfattn::{Engine, MatMut};
///
/// # fn read(_: &str) -> Vec<u8> { Vec::new() }
/// let (config, weights) = (read("config.json"), read("model.safetensors"));
/// let config = EncoderConfig::from_json(&config)?;
/// let tensors = SafeTensors::new(&weights)?;
/// let mut layers = vec![Layer::default(); config.layers];
/// let encoder = Encoder::bind(&config, &tensors, &mut layers)?;
///
/// let engine = Engine::new();
/// let batch = Batch::new(&[101, 7592, 102], &[3])?;
/// let mut scratch = vec![0; encoder.scratch_bytes(&engine, 3)?];
/// let mut vector = vec![0.0; config.hidden_size];
/// encoder.embed(&engine, &batch, MatMut::new(&mut vector, 1, config.hidden_size)?, &mut scratch)?;
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Debug)]
pub struct Encoder<'s, 'w> {
    pub(crate) config: EncoderConfig,
    pub(crate) embeddings: Embeddings<'w>,
    pub(crate) layers: &'s mut [Layer<'w>],
}

/// What makes the first hidden state: three tables and a norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Embeddings<'w> {
    pub words: Matrix<'w>,
    pub positions: Matrix<'w>,
    /// DistilBERT has none.
    pub token_types: Option<Matrix<'w>>,
    pub norm: Norm<'w>,
}

impl<'w> Embeddings<'w> {
    fn bind<S: Source<'w>>(tensors: &Tensors<'_, S>, config: &EncoderConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        let types = || tensors.matrix(Part::TokenTypeEmbeddings, config.token_types, hidden);
        Ok(Self {
            words: tensors.matrix(Part::WordEmbeddings, config.vocab_size, hidden)?,
            positions: tensors.matrix(Part::PositionEmbeddings, config.position_rows()?, hidden)?,
            token_types: if config.token_types > 0 { Some(types()?) } else { None },
            norm: tensors.norm(Part::EmbeddingsNormWeight, Part::EmbeddingsNormBias, hidden)?,
        })
    }
}

impl<'s, 'w> Encoder<'s, 'w> {
    /// Finds every tensor of the model in the file and checks its shape. The weights stay where they are; `layers` is
    /// memory for the list of them, at least `config.layers` long.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes that do not fit each other, [`Error::MissingTensor`], [`Error::TensorShape`],
    /// [`Error::TensorType`] and [`Error::Misaligned`] for the first tensor at fault, [`Error::UnknownTensor`] for one that
    /// is none of the model's, [`Error::Shape`] if `layers` is too short.
    pub fn bind(config: &EncoderConfig, file: &SafeTensors<'w>, layers: &'s mut [Layer<'w>]) -> Result<Self> {
        let layers = first_layers(config, layers)?;
        let names = Names::detect(file, config.family)?;
        let encoder = Self::bind_all(config, &Named { file, names }, layers)?;
        names.check_no_unknown(file, config.layers)?;
        Ok(encoder)
    }

    /// As [`Encoder::bind`], for weights whose places were found ahead of time: nothing is searched for, and firmware needs no
    /// code that reads files. The build that finds the places should bind the file as well: that checks names and shapes.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes that do not fit each other; [`Error::Shape`] if `layers` or the list of places is too short;
    /// [`Error::Truncated`] if the bytes end before a tensor does; [`Error::Misaligned`] and [`Error::BigEndian`] as
    /// [`SafeTensors::matrix`].
    pub fn bind_placed(config: &EncoderConfig, weights: &Placed<'w>, layers: &'s mut [Layer<'w>]) -> Result<Self> {
        Self::bind_all(config, weights, first_layers(config, layers)?)
    }

    fn bind_all<S: Source<'w>>(config: &EncoderConfig, source: &S, layers: &'s mut [Layer<'w>]) -> Result<Self> {
        let embeddings = Embeddings::bind(&Tensors { source, layer: 0 }, config)?;
        for (i, layer) in layers.iter_mut().enumerate() {
            *layer = Layer::bind(&Tensors { source, layer: i }, config)?;
        }
        Ok(Self { config: *config, embeddings, layers })
    }

    /// The sizes and options it was bound with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The table of word vectors, `vocab_size x hidden_size`.
    pub fn word_table(&self) -> &Matrix<'w> {
        &self.embeddings.words
    }

    /// Bytes of memory that [`Encoder::pack`] needs for this level.
    ///
    /// # Errors
    /// [`Error::Overflow`] if they do not fit in `usize`.
    pub fn packed_bytes(&self, level: Level) -> Result<usize> {
        let mut linears = self.layers.iter().flat_map(Layer::linears);
        linears.try_fold(0, |sum, linear| linear.add_packed_bytes(level, sum)).map(with_slack)
    }

    /// Packs the weights of all layers for a level, once, so that no product has to. After this the encoder runs at that
    /// level only.
    ///
    /// # Errors
    /// [`Error::Scratch`] if `memory` is smaller than [`Encoder::packed_bytes`] says; nothing has been packed then.
    pub fn pack(&mut self, level: Level, memory: &'w mut [u8]) -> Result<()> {
        let (needed, got) = (self.packed_bytes(level)?, memory.len());
        if got < needed {
            return Err(Error::Scratch { needed, got });
        }
        let mut arena = Arena::new(memory);
        self.layers.iter_mut().flat_map(Layer::linears_mut).try_for_each(|linear| linear.pack(level, &mut arena))
    }

    /// Floating-point operations of a forward pass over `batch`: those of the linear layers and of attention's two
    /// products, a multiply-add counted as two; `u64::MAX` if there are more.
    pub fn flops(&self, batch: &Batch<'_>) -> u64 {
        let linears = self.layers.iter().flat_map(Layer::linears);
        let weights =
            linears.map(|linear| product([linear.weights.n(), linear.weights.k()])).fold(0, u64::saturating_add);
        let pairs = batch.lengths().iter().map(|&len| product([len, len])).fold(0, u64::saturating_add);
        let linear = weights.saturating_mul(product([2, batch.ids().len()]));
        let attention = pairs.saturating_mul(product([4, self.layers.len(), self.config.hidden_size]));
        linear.saturating_add(attention)
    }
}

/// As many layers as the model has, its sizes having been checked.
fn first_layers<'s, 'w>(config: &EncoderConfig, layers: &'s mut [Layer<'w>]) -> Result<&'s mut [Layer<'w>]> {
    config.validate()?;
    let (expected, got) = (config.layers, layers.len());
    layers.get_mut(..expected).ok_or(Error::Shape { arg: "layers", expected, got })
}
